/** The life of a flow's two entries: begun, moved to another ingress node, ended, begun anew, in each other's way. */
import t from 'tap';
import { clusterState, endpoints, frontendSlot, ports, vip } from './cluster.ts';
import { Fixture, hosts, type Outcome } from './fixture.ts';
import { type Connection, entriesOf, flowTable } from './flow-table.ts';
import { payload, type Stamp, stamped, stampKinds, tcpFlags, tcpPacket, udpPacket } from './packets.ts';

const fixture = await Fixture.open();
t.teardown(() => fixture[Symbol.dispose]());
t.beforeEach(() => {
  fixture.clearFlows();
  fixture.apply(clusterState());
});

const { fin, syn, rst, ack } = tcpFlags;
/** Bits of flow.seen. */
const seen = { syn: 1, ack: 2, fin: 4, rst: 8 } as const;
const client = { source: hosts.client, sourcePort: 40_000 };
const endpointEnd = { source: '127.0.0.1', sourcePort: 9001 };

function stampOf(port: number, slot: number, node = 1, protocol: 'tcp' | 'udp' = 'tcp'): Stamp {
  return { kind: stampKinds.serve, slot, frontend: frontendSlot(port, protocol), node };
}

type Extra = { destination?: string; sourcePort?: number; node?: number; slot?: number };

/** A client's segment for the frontend `port`, as it comes from node `node`. */
function send(port: number, flags: number, extra: Extra = {}): Outcome {
  const { destination = hosts.self, sourcePort = client.sourcePort } = extra;
  const packet = tcpPacket({ ...client, sourcePort, destination, destinationPort: port, flags });
  return fixture.runTc(
    'uplink_ingress',
    stamped(stampOf(port, extra.slot ?? endpoints.host, extra.node), packet),
  );
}

/** The endpoint's segment to the client. */
function answer(flags: number, destinationPort: number = client.sourcePort): Outcome {
  const packet = tcpPacket({ ...endpointEnd, destination: hosts.client, destinationPort, flags });
  return fixture.runTc('uplink_egress', stamped({ kind: 0 }, packet));
}

function sourcePortOf(outcome: Outcome): number {
  return new DataView(outcome.frame.buffer, outcome.frame.byteOffset).getUint16(34);
}

const plain: Connection = {
  protocol: 6,
  client: '198.51.100.10:40000',
  frontend: '192.0.2.1:8101',
  endpoint: '127.0.0.1:9001',
  slot: endpoints.host,
  node: 1,
  forward: [seen.syn, 1, 40],
};

t.test('both directions are counted, and what was seen of each', async (t) => {
  send(ports.host, syn);
  answer(syn | ack);
  send(ports.host, ack);
  answer(ack);
  answer(fin | ack);
  t.strictSame(
    flowTable(fixture),
    entriesOf({
      ...plain,
      forward: [seen.syn | seen.ack, 2, 80],
      reply: [seen.syn | seen.ack | seen.fin, 3, 120],
    }),
  );
  const [forward, reply] = fixture.flows().map(([, flow]) => flow);
  t.equal(forward?.created_ns, reply?.created_ns);
  t.ok((forward?.last_seen_ns ?? 0n) > (forward?.created_ns ?? 0n));
  t.ok((reply?.last_seen_ns ?? 0n) > (forward?.last_seen_ns ?? 0n));
  t.ok(process.hrtime.bigint() >= (reply?.last_seen_ns ?? 0n), 'times are of the monotonic clock');
});

t.test('when the client’s packets come through another node, so do the replies', async (t) => {
  send(ports.host, syn, { node: 1 });
  t.strictSame(answer(ack).counts, { replies_direct: 1 });
  send(ports.host, ack, { node: 2 });
  t.strictSame(
    flowTable(fixture).map(({ node }) => node),
    [2, 2],
  );
  t.strictSame(answer(ack).counts, { replies_tunnelled: 1 });
  send(ports.host, ack, { node: 1 });
  t.strictSame(answer(ack).counts, { replies_direct: 1 });
});

t.test('a flow stays where it is when its bucket goes to another endpoint', async (t) => {
  send(ports.host, syn);
  const outcome = send(ports.host, ack, { slot: endpoints.formerHere });
  t.equal(outcome.verdict, 'TC_ACT_OK');
  t.strictSame(outcome.counts, { served: 1 });
  t.strictSame(
    flowTable(fixture).map(({ endpoint }) => endpoint),
    [endpoints.host, endpoints.host],
  );
});

t.test('a SYN on an open flow is the same connection again', async (t) => {
  send(ports.host, syn);
  t.strictSame(send(ports.host, syn).counts, { served: 1 });
  t.equal(flowTable(fixture)[0]?.packets, 2);
});

t.test('a SYN on a finished flow begins anew, with the bucket’s owner of now', async (t) => {
  for (const [name, end] of [
    ['reset by the client', () => send(ports.host, rst)],
    ['reset by the endpoint', () => answer(rst)],
    ['finished by both', () => [send(ports.host, fin | ack), answer(fin | ack)]],
  ] as const) {
    fixture.clearFlows();
    send(ports.host, syn);
    answer(syn | ack);
    end();
    t.strictSame(
      send(ports.host, ack).counts,
      { served: 1 },
      `${name}: what is still under way is delivered`,
    );
    t.strictSame(
      send(ports.host, syn, { slot: endpoints.formerHere, node: 2 }).counts,
      { flows_created: 1, served: 1 },
      name,
    );
    const forward = flowTable(fixture).find(({ direction }) => direction === 'forward');
    t.match(
      forward,
      { endpoint: endpoints.formerHere, destination: '127.0.0.1:9018', seen: seen.syn, packets: 1, node: 2 },
      name,
    );
  }
  fixture.clearFlows();
  send(ports.host, syn);
  send(ports.host, fin | ack);
  t.strictSame(send(ports.host, syn).counts, { served: 1 }, 'finished by one side only: still open');
});

t.test('anew with the same endpoint, the entries are the same', async (t) => {
  send(ports.host, syn);
  answer(rst);
  send(ports.host, syn);
  t.strictSame(flowTable(fixture), entriesOf(plain));
});

t.test('two connections that would look alike behind the endpoint', async (t) => {
  send(ports.host, syn);
  // The same client and port to the VIP: another frontend address of the same service, so the same endpoint.
  const outcome = send(ports.host, syn, { destination: vip });
  t.strictSame(outcome.counts, { flows_created: 1, served: 1 });
  const port = sourcePortOf(outcome);
  t.ok(port >= 61_000 && port <= 65_535, `the later one gets a port of NAT's: ${port}`);
  const toVip: Connection = {
    ...plain,
    frontend: `${vip}:8101`,
    seenAs: `198.51.100.10:${port}`,
    forward: [seen.syn, 1, 40],
  };
  const order = (rows: ReturnType<typeof flowTable>) =>
    rows.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
  t.strictSame(order(flowTable(fixture)), order([...entriesOf(plain), ...entriesOf(toVip)]));
  t.equal(sourcePortOf(send(ports.host, ack)), client.sourcePort, 'the earlier one keeps its own');
  t.equal(sourcePortOf(send(ports.host, ack, { destination: vip })), port);
  const back = answer(ack, port);
  const view = new DataView(back.frame.buffer, back.frame.byteOffset);
  t.equal(back.frame.subarray(26, 30).join('.'), vip, 'its replies come from the VIP');
  t.equal(view.getUint16(36), client.sourcePort, 'to the port that the client has');
});

t.test('the port of a connection that has ended is taken over', async (t) => {
  send(ports.host, syn);
  answer(rst);
  const outcome = send(ports.host, syn, { destination: vip });
  t.equal(sourcePortOf(outcome), client.sourcePort);
  t.strictSame(flowTable(fixture), entriesOf({ ...plain, frontend: `${vip}:8101` }));
});

t.test('what is left of an old connection takes nothing from a live one', async (t) => {
  send(ports.host, syn);
  answer(rst);
  // The same client and frontend again, now with another endpoint; the first one's reply entry is left behind.
  send(ports.host, syn, { slot: endpoints.formerHere });
  send(ports.host, ack, { slot: endpoints.formerHere });
  // Another frontend, and the endpoint of the first connection.
  send(ports.host, syn, { destination: vip });
  t.strictSame(send(ports.host, ack).counts, { served: 1 }, 'the live connection is still known');
});

t.test('NAT: many clients, each with a port of its own, until there are none', async (t) => {
  const used = new Set<number>();
  const clients = 400;
  for (let index = 0; index < clients; index += 1) {
    const packet = tcpPacket({
      source: `198.51.100.${1 + (index % 200)}`,
      sourcePort: 1024 + index,
      destination: hosts.self,
      destinationPort: ports.nat,
      flags: syn,
    });
    const outcome = fixture.runTc('uplink_ingress', stamped(stampOf(ports.nat, endpoints.nat), packet));
    t.strictSame(outcome.counts, { flows_created: 1, served: 1 });
    used.add(sourcePortOf(outcome));
  }
  t.equal(used.size, clients, 'no port is given twice');
  t.ok([...used].every((port) => port >= 61_000 && port <= 65_535));
});

t.test('NAT: no port free', async (t) => {
  using narrow = await Fixture.open();
  narrow.apply(clusterState());
  // Fill every reply entry that the endpoint could have, as if 4536 connections were open.
  const open = openNat(narrow, 1024);
  t.equal(open.verdict, 'TC_ACT_REDIRECT');
  const [reply] = narrow.flows().filter(([key]) => key.direction === 1);
  const [forward] = narrow.flows().filter(([key]) => key.direction === 0);
  if (reply === undefined || forward === undefined) throw new Error('the flow was not made');
  const entries = Array.from({ length: 4536 }, (_, offset) => 61_000 + offset);
  narrow.maps.flows.updateBatch(
    entries.map((port) => [
      { ...reply[0], client_port: port },
      { ...reply[1], destination_port: port },
    ]),
  );
  narrow.maps.flows.updateBatch(
    entries.map((port) => [
      { ...forward[0], client_port: port },
      { ...forward[1], source_port: port },
    ]),
  );
  const refused = openNat(narrow, 1025);
  t.equal(refused.verdict, 'TC_ACT_SHOT');
  t.strictSame(refused.counts, { 'drop:nat-ports-exhausted': 1 });
});

function openNat(target: Fixture, sourcePort: number): Outcome {
  const packet = tcpPacket({
    source: hosts.client,
    sourcePort,
    destination: hosts.self,
    destinationPort: ports.nat,
    flags: syn,
  });
  return target.runTc('uplink_ingress', stamped(stampOf(ports.nat, endpoints.nat), packet));
}

t.test('an endpoint that is gone', async (t) => {
  const udp = (slot: number): Outcome =>
    fixture.runTc(
      'uplink_ingress',
      stamped(
        stampOf(ports.host, slot, 1, 'udp'),
        udpPacket({ ...client, destination: hosts.self, destinationPort: ports.host, body: payload(4) }),
      ),
    );
  send(ports.host, syn);
  send(ports.host, ack);
  udp(endpoints.host);
  fixture.apply(clusterState([endpoints.host], [endpoints.formerHere]));
  t.strictSame(
    udp(endpoints.formerHere).counts,
    { flows_created: 1, served: 1 },
    'UDP begins anew with the owner of now',
  );
  t.strictSame(
    send(ports.host, ack, { slot: endpoints.formerHere }).counts,
    { 'drop:no-flow': 1, replies_direct: 1 },
    'an open TCP connection is reset',
  );
  t.strictSame(
    send(ports.host, syn, { slot: endpoints.formerHere }).counts,
    { flows_created: 1, served: 1 },
    'a SYN begins anew',
  );
});
