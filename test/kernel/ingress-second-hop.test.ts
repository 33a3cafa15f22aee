/** uplink_ingress, packets whose flow this node does not know: asked of earlier owners, and refused at the end. */
import t from 'tap';
import { flowHash } from '../../dataplane/flow-hash.ts';
import { clusterState, endpoints, frontendSlot, ports } from './cluster.ts';
import { Fixture, hosts, type Outcome } from './fixture.ts';
import { flowTable } from './flow-table.ts';
import { compare, soundPacket, tunnelFromSelf } from './golden.ts';
import {
  concat,
  finalHop,
  icmp,
  ipv4,
  payload,
  protocols,
  type Stamp,
  stamped,
  stampKinds,
  tcpFlags,
  tcpPacket,
  udpPacket,
} from './packets.ts';

const fixture = await Fixture.open();
t.teardown(() => fixture[Symbol.dispose]());
t.beforeEach(() => {
  fixture.clearFlows();
  fixture.apply(clusterState());
});

const { fin, syn, rst, ack } = tcpFlags;
const client = { source: hosts.client, destination: hosts.node2, sourcePort: 40_000 };

function serveStamp(port: number, slot: number, protocol: 'tcp' | 'udp', hop = 0, node = 2): Stamp {
  return { kind: stampKinds.serve, hop, slot, frontend: frontendSlot(port, protocol), node };
}

function segment(
  destinationPort: number,
  flags: number,
  extra: Partial<Parameters<typeof tcpPacket>[0]> = {},
) {
  return tcpPacket({ ...client, destinationPort, flags, ...extra });
}

function datagram(destinationPort: number) {
  return udpPacket({ ...client, destinationPort, body: payload(25) });
}

function ingress(frame: Uint8Array): Outcome {
  return fixture.runTc('uplink_ingress', frame);
}

/** What leaves for node 2; the Ethernet header in front stays until the neighbour subsystem writes it. */
function passedOn(
  arrived: Stamp,
  next: Stamp,
  inner: Uint8Array,
  options: { sourcePort?: number } = {},
): Uint8Array {
  return concat(
    stamped(arrived, new Uint8Array(0)),
    tunnelFromSelf(fixture, hosts.node2, next, inner, options),
  );
}

/** The stamp with which this node, of slot 1, passes a packet on, having no flow for it. */
function onward(arrived: Stamp, hop: number, slot: number): Stamp {
  return { ...arrived, hop, slot, asked: (arrived.asked ?? 0) | (1 << 1) };
}

/** Passes from owner to owner that a packet has behind it at most. */
const passesMax = 4;
const hopped = { verdict: 'TC_ACT_REDIRECT', counts: { second_hop: 1 } };

t.test('a TCP segment of an unknown flow goes to the earlier owner', async (t) => {
  for (const flags of [ack, fin | ack, rst, rst | ack, syn | ack, fin, 0]) {
    for (const [name, port] of [
      ['the one before', ports.movedHere],
      ['the one before that, as the one before is of this node', ports.movedTwice],
    ] as const) {
      const stamp = serveStamp(port, endpoints.host, 'tcp');
      const packet = segment(port, flags, { body: payload(13) });
      compare(t, ingress(stamped(stamp, packet)), {
        name: `flags ${flags}, ${name}`,
        frame: packet,
        ...hopped,
        out: passedOn(stamp, onward(stamp, 1, endpoints.formerThere), packet),
      });
    }
  }
  t.strictSame(flowTable(fixture), [], 'no flow is made');
});

t.test('a SYN is served here', async (t) => {
  const stamp = serveStamp(ports.movedHere, endpoints.host, 'tcp');
  const outcome = ingress(stamped(stamp, segment(ports.movedHere, syn)));
  t.equal(outcome.verdict, 'TC_ACT_OK');
  t.strictSame(outcome.counts, { flows_created: 1, served: 1 });
});

t.test('tables differ for a moment, so TCP is looked for at all owners', async (t) => {
  for (const [name, port, slot, hop, next] of [
    [
      'the last of this table: from the front again',
      ports.movedAway,
      endpoints.formerHere,
      1,
      endpoints.remote,
    ],
    [
      'one that this table does not know: from the front',
      ports.movedHere,
      endpoints.far,
      2,
      endpoints.formerThere,
    ],
    ['the last pass', ports.movedHere, endpoints.host, 3, endpoints.formerThere],
  ] as const) {
    const stamp = serveStamp(port, slot, 'tcp', hop);
    const packet = segment(port, ack);
    compare(t, ingress(stamped(stamp, packet)), {
      name: `asked for ${name}`,
      frame: packet,
      ...hopped,
      out: passedOn(stamp, onward(stamp, hop + 1, next), packet),
    });
  }
});

t.test('where nobody is left to ask, the client gets a reset through the node it came by', async (t) => {
  const numbers = { sequence: 1000, acknowledgement: 5000 };
  for (const [name, port, slot, hop] of [
    ['no earlier owner', ports.host, endpoints.host, 0],
    ['enough passes', ports.movedAway, endpoints.formerHere, passesMax],
    ['more than enough passes', ports.movedHere, endpoints.host, passesMax + 1],
    ['the last hop', ports.movedHere, endpoints.host, finalHop],
  ] as const) {
    const packet = segment(port, ack, { tcp: numbers, body: payload(30) });
    const reset = tcpPacket({
      source: hosts.node2,
      sourcePort: port,
      destination: hosts.client,
      destinationPort: client.sourcePort,
      flags: rst,
      tcp: { sequence: numbers.acknowledgement },
    });
    const stamp = serveStamp(port, slot, 'tcp', hop);
    const outcome = ingress(stamped(stamp, packet));
    soundPacket(t, stamped(stamp, reset), 'reset');
    compare(t, outcome, {
      name: `${name}: by node 2`,
      frame: packet,
      verdict: 'TC_ACT_REDIRECT',
      out: passedOn(stamp, { kind: stampKinds.reply, slot: 2, node: 1 }, reset),
      counts: { 'drop:no-flow': 1, replies_tunnelled: 1 },
    });
    const own = serveStamp(port, slot, 'tcp', hop, 1);
    compare(t, ingress(stamped(own, packet)), {
      name: `${name}: by this node`,
      frame: packet,
      verdict: 'TC_ACT_REDIRECT',
      out: stamped(own, reset),
      counts: { 'drop:no-flow': 1, replies_direct: 1 },
    });
    compare(t, ingress(stamped(own, segment(port, rst))), {
      name: `${name}: a reset is not answered`,
      frame: stamped(own, segment(port, rst)),
      verdict: 'TC_ACT_SHOT',
      counts: { 'drop:no-flow': 1 },
    });
  }
  const gone = serveStamp(ports.host, endpoints.host, 'tcp', 0, 5);
  const outcome = ingress(stamped(gone, segment(ports.host, ack)));
  t.equal(outcome.verdict, 'TC_ACT_SHOT', 'the node it came by is gone');
  t.match(outcome.counts, { 'drop:no-flow': 1, 'drop:node-gone': 1 });
});

t.test('a node that was asked is not asked again', async (t) => {
  const stamp = { ...serveStamp(ports.movedHere, endpoints.host, 'tcp', 1, 1), asked: 1 << 2 };
  const outcome = ingress(stamped(stamp, segment(ports.movedHere, ack)));
  t.strictSame(outcome.counts, { 'drop:no-flow': 1, replies_direct: 1 });
  const other = { ...stamp, asked: 1 << 3 };
  compare(t, ingress(stamped(other, segment(ports.movedHere, ack))), {
    name: 'another was',
    frame: segment(ports.movedHere, ack),
    ...hopped,
    out: passedOn(other, onward(other, 2, endpoints.formerThere), segment(ports.movedHere, ack)),
  });
});

t.test('earlier owners that are gone are not asked', async (t) => {
  fixture.apply(clusterState([endpoints.formerThere]));
  const stamp = serveStamp(ports.movedHere, endpoints.host, 'tcp', 0, 1);
  const outcome = ingress(stamped(stamp, segment(ports.movedHere, ack)));
  t.strictSame(outcome.counts, { 'drop:no-flow': 1, replies_direct: 1 });
});

t.test('a UDP datagram that no owner knew goes back to the current one, which makes the flow', async (t) => {
  const served = { flows_created: 1, served: 1 };
  const translated = udpPacket({
    ...client,
    destination: '127.0.0.1',
    destinationPort: 9001,
    body: payload(25),
  });
  const first = serveStamp(ports.movedHere, endpoints.host, 'udp');
  const packet = datagram(ports.movedHere);
  compare(t, ingress(stamped(first, packet)), {
    name: 'the current owner asks the earlier one',
    frame: packet,
    ...hopped,
    out: passedOn(first, onward(first, 1, endpoints.formerThere), packet),
  });
  t.strictSame(flowTable(fixture), []);
  const last = { ...first, hop: finalHop };
  compare(t, ingress(stamped(last, packet)), {
    name: 'back again',
    frame: packet,
    verdict: 'TC_ACT_OK',
    out: stamped(last, translated),
    counts: served,
  });
  t.equal(flowTable(fixture)[0]?.endpoint, endpoints.host);

  const asked = serveStamp(ports.movedAway, endpoints.formerHere, 'udp', 1);
  const unknown = datagram(ports.movedAway);
  compare(t, ingress(stamped(asked, unknown)), {
    name: 'an earlier owner that does not know it sends it back',
    frame: unknown,
    ...hopped,
    out: passedOn(asked, onward(asked, finalHop, endpoints.remote), unknown),
  });

  fixture.clearFlows();
  const again = serveStamp(ports.backAndForth, endpoints.formerHere, 'udp', 2);
  compare(t, ingress(stamped(again, datagram(ports.backAndForth))), {
    name: 'back as an earlier owner where the current one is: the flow is the current one’s',
    frame: packet,
    verdict: 'TC_ACT_OK',
    out: stamped(again, translated),
    counts: served,
  });
  t.equal(flowTable(fixture)[0]?.endpoint, endpoints.host);

  fixture.clearFlows();
  const local = serveStamp(ports.host, endpoints.host, 'udp');
  t.strictSame(ingress(stamped(local, datagram(ports.host))).counts, served, 'no earlier owner: at once');
});

t.test('no endpoint takes new connections: open ones are searched, new ones refused', async (t) => {
  const open = serveStamp(ports.drainingThere, endpoints.host, 'tcp', 0, 1);
  const search = segment(ports.drainingThere, ack);
  compare(t, ingress(stamped(open, search)), {
    name: 'TCP',
    frame: search,
    ...hopped,
    out: passedOn(open, onward(open, 1, endpoints.formerThere), search),
  });
  const stamp = serveStamp(ports.drainingHere, endpoints.formerHere, 'udp');
  const packet = datagram(ports.drainingHere);
  const quote = packet.subarray(0, 28);
  const unreachable = ipv4(
    { source: hosts.node2, destination: hosts.client, protocol: protocols.icmp },
    icmp(3, 3, 0, quote),
  );
  // The tunnel's source port is of the reply's flow, which is a UDP one.
  const hash = flowHash(
    {
      source: hosts.node2,
      sourcePort: ports.drainingHere,
      destination: hosts.client,
      destinationPort: client.sourcePort,
      protocol: protocols.udp,
    },
    fixture.constants.hashSeed,
  );
  compare(t, ingress(stamped(stamp, packet)), {
    name: 'UDP: port unreachable, by the node it came through',
    frame: packet,
    verdict: 'TC_ACT_REDIRECT',
    out: passedOn(stamp, { kind: stampKinds.reply, slot: 2, node: 1 }, unreachable, {
      sourcePort: 0xc000 | (hash & 0x3fff),
    }),
    counts: { 'drop:no-endpoint': 1, replies_tunnelled: 1 },
  });
  t.strictSame(flowTable(fixture), []);
});

t.test('too big for the tunnel', async (t) => {
  const stamp = serveStamp(ports.movedHere, endpoints.host, 'tcp');
  const fits = segment(ports.movedHere, ack, { body: payload(1410) });
  t.equal(ingress(stamped(stamp, fits)).verdict, 'TC_ACT_REDIRECT');
  const big = segment(ports.movedHere, ack, { body: payload(1411) });
  compare(t, ingress(stamped(stamp, big)), {
    name: 'one byte more',
    frame: stamped(stamp, big),
    verdict: 'TC_ACT_SHOT',
    counts: { second_hop: 1, 'drop:too-big': 1 },
  });
});
