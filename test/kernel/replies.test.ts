/** What endpoints send back: by the host's own uplink, out of a namespace, or from a plain address. */
import t from 'tap';
import { clusterState, endpoints, frontendSlot, ports, vip } from './cluster.ts';
import { Fixture, hosts, macs, type Outcome } from './fixture.ts';
import { flowTable } from './flow-table.ts';
import { compare, fromGateway, soundPacket, tunnelFromNode2, tunnelFromSelf } from './golden.ts';
import {
  concat,
  ethernet,
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
fixture.apply(clusterState());
t.beforeEach(() => fixture.clearFlows());

const { syn, ack } = tcpFlags;
const client = { source: hosts.client, sourcePort: 40_000 };
const toClient = { destination: hosts.client, destinationPort: client.sourcePort };
/** The Ethernet header of a packet that the host's stack sends to the gateway. */
const leaving = { destination: macs.gateway, source: macs.uplink };
const replyStamp: Stamp = { kind: stampKinds.reply, slot: 2, node: 1 };

/** Opens a connection from `source` that came through `node`; returns the port that the endpoint sees. */
function connect(port: number, slot: number, node: number, source: string = hosts.client, protocol = 'tcp') {
  const ends = { ...client, source, destination: hosts.self, destinationPort: port };
  const packet = protocol === 'tcp' ? tcpPacket({ ...ends, flags: syn }) : udpPacket(ends);
  const frontend = frontendSlot(port, protocol === 'tcp' ? 'tcp' : 'udp');
  const stamp = { kind: stampKinds.serve, slot, frontend, node };
  const { frame } = fixture.runTc('uplink_ingress', stamped(stamp, packet));
  return new DataView(frame.buffer, frame.byteOffset).getUint16(34);
}

function egress(packet: Uint8Array): Outcome {
  return fixture.runTc('uplink_egress', ethernet(leaving, packet));
}

t.test('a socket of the host, by uplink_egress', async (t) => {
  const reply = { source: '127.0.0.1', sourcePort: 9001, ...toClient };
  const seenAs = { source: hosts.self, sourcePort: ports.host, ...toClient };
  for (const [name, flags, extra, out] of [
    ['data', ack, { body: payload(77) }, { body: payload(77) }],
    [
      'SYN, ACK with an MSS',
      syn | ack,
      { tcp: { options: Uint8Array.of(2, 4, 0xff, 0xd7) } },
      { tcp: { options: Uint8Array.of(2, 4, 5, 130) } },
    ],
  ] as const) {
    fixture.clearFlows();
    connect(ports.host, endpoints.host, 1);
    const packet = tcpPacket({ ...reply, flags, ...extra });
    const translated = tcpPacket({ ...seenAs, flags, ...out });
    compare(t, egress(packet), {
      name: `${name}, client of this node`,
      frame: packet,
      verdict: 'TCX_NEXT',
      out: ethernet(leaving, translated),
      counts: { replies_direct: 1 },
    });
    fixture.clearFlows();
    connect(ports.host, endpoints.host, 2);
    compare(t, egress(packet), {
      name: `${name}, client of node 2`,
      frame: packet,
      verdict: 'TC_ACT_REDIRECT',
      out: concat(
        ethernet(leaving, new Uint8Array(0)),
        tunnelFromSelf(fixture, hosts.node2, replyStamp, translated),
      ),
      counts: { replies_tunnelled: 1 },
    });
  }
  fixture.clearFlows();
  connect(ports.host, endpoints.host, 1, hosts.client, 'udp');
  const datagram = udpPacket({ ...reply, body: payload(33) });
  compare(t, egress(datagram), {
    name: 'UDP',
    frame: datagram,
    verdict: 'TCX_NEXT',
    out: ethernet(leaving, udpPacket({ ...seenAs, body: payload(33) })),
    counts: { replies_direct: 1 },
  });
  const unsummed = udpPacket({ ...reply, body: payload(33), udp: { checksum: 0 } });
  compare(t, egress(unsummed), {
    name: 'UDP without a checksum',
    frame: unsummed,
    verdict: 'TCX_NEXT',
    out: ethernet(leaving, udpPacket({ ...seenAs, body: payload(33), udp: { checksum: 0 } })),
    counts: { replies_direct: 1 },
  });
});

t.test('what else leaves by the uplink passes', async (t) => {
  connect(ports.host, endpoints.host, 1);
  for (const [name, packet] of [
    [
      'a connection of the host’s own',
      tcpPacket({ ...toClient, source: hosts.self, sourcePort: 5000, flags: ack }),
    ],
    [
      'another port of the endpoint’s address',
      udpPacket({ ...toClient, source: hosts.self, sourcePort: 9001 }),
    ],
    [
      'our own tunnel',
      tunnelFromSelf(fixture, hosts.node2, replyStamp, udpPacket({ ...toClient, ...client })),
    ],
    [
      'ICMP',
      ipv4(
        { source: hosts.self, destination: hosts.client, protocol: protocols.icmp },
        icmp(8, 0, 1, payload(8)),
      ),
    ],
    [
      'a fragment',
      udpPacket({ ...toClient, source: hosts.self, sourcePort: 9001, ip: { fragment: 0x2000 } }),
    ],
  ] as const) {
    compare(t, egress(packet), {
      name,
      frame: ethernet(leaving, packet),
      verdict: 'TCX_NEXT',
      counts: {},
    });
  }
  const loopback = { ...toClient, source: '127.0.0.1', sourcePort: 9001 };
  for (const [name, packet, reason] of [
    ['of no flow', udpPacket(loopback), 'loopback-on-wire'],
    ['a fragment', udpPacket({ ...loopback, ip: { fragment: 0x2000 } }), 'fragment'],
  ] as const) {
    compare(t, egress(packet), {
      name: `from 127.0.0.1, ${name}: it shows an address that nobody may see`,
      frame: ethernet(leaving, packet),
      verdict: 'TC_ACT_SHOT',
      counts: { [`drop:${reason}`]: 1 },
    });
  }
});

t.test('a reply that is too big for the tunnel', async (t) => {
  connect(ports.host, endpoints.host, 2);
  const reply = { source: '127.0.0.1', sourcePort: 9001, ...toClient, flags: ack };
  const outcome = egress(tcpPacket({ ...reply, body: payload(1411) }));
  t.equal(outcome.verdict, 'TC_ACT_SHOT');
  t.match(outcome.counts, { 'drop:too-big': 1 });
  const segments = fixture.runTc(
    'uplink_egress',
    ethernet(leaving, tcpPacket({ ...reply, body: payload(2820) })),
    { gsoSegments: 2 },
  );
  t.equal(segments.verdict, 'TC_ACT_REDIRECT', 'segments that the device cuts are counted one by one');
});

t.test('the node that the client used is gone', async (t) => {
  connect(ports.host, endpoints.host, 5);
  const outcome = egress(tcpPacket({ source: '127.0.0.1', sourcePort: 9001, ...toClient, flags: ack }));
  t.equal(outcome.verdict, 'TC_ACT_SHOT');
  t.match(outcome.counts, { 'drop:node-gone': 1 });
});

t.test('a namespace, by mesh_ingress', async (t) => {
  const reply = { source: hosts.namespace, sourcePort: 9004, ...toClient, flags: ack, body: payload(9) };
  const inside = ethernet({ destination: macs.mesh, source: macs.namespace }, tcpPacket(reply));
  const translated = tcpPacket({ ...reply, source: hosts.self, sourcePort: ports.namespace });
  const header = inside.subarray(0, 14);
  const run = (): Outcome => fixture.runTc('mesh_ingress', inside, { ifindex: fixture.ifindexes.namespace });
  connect(ports.namespace, endpoints.namespace, 1);
  compare(t, run(), {
    name: 'client of this node',
    frame: inside,
    verdict: 'TC_ACT_REDIRECT',
    out: concat(header, translated),
    counts: { from_mesh: 1, replies_direct: 1 },
  });
  fixture.clearFlows();
  connect(ports.namespace, endpoints.namespace, 2);
  compare(t, run(), {
    name: 'client of node 2',
    frame: inside,
    verdict: 'TC_ACT_REDIRECT',
    out: concat(header, tunnelFromSelf(fixture, hosts.node2, replyStamp, translated)),
    counts: { from_mesh: 1, replies_tunnelled: 1 },
  });
  for (const [name, ifindex] of [
    ['another namespace', fixture.ifindexes.other],
    ['the node’s own device', fixture.ifindexes.mesh],
  ] as const) {
    compare(t, fixture.runTc('mesh_ingress', inside, { ifindex }), {
      name: `the same from ${name}: not the endpoint`,
      frame: inside,
      verdict: 'TC_ACT_SHOT',
      counts: { from_mesh: 1, 'drop:spoofed-source': 1 },
    });
  }
  t.equal(
    flowTable(fixture).find(({ direction }) => direction === 'reply')?.packets,
    1,
    'only one was counted',
  );
});

t.test('a plain address, by NAT’s port', async (t) => {
  for (const [node, source] of [
    [1, hosts.client],
    [2, hosts.client],
    [1, hosts.otherNamespace],
  ] as const) {
    fixture.clearFlows();
    const port = connect(ports.nat, endpoints.nat, node, source);
    const reply = tcpPacket({
      source: hosts.plain,
      sourcePort: 9005,
      destination: hosts.self,
      destinationPort: port,
      flags: ack,
      body: payload(11),
    });
    t.strictSame(fixture.runXdp(fromGateway(reply)).verdict, 'XDP_PASS');
    const translated = tcpPacket({
      source: hosts.self,
      sourcePort: ports.nat,
      destination: source,
      destinationPort: client.sourcePort,
      flags: ack,
      body: payload(11),
    });
    const local = source === hosts.otherNamespace;
    const outcome = fixture.runTc('uplink_ingress', fromGateway(reply));
    compare(t, outcome, {
      name: `client ${source} of node ${node}`,
      frame: reply,
      verdict: 'TC_ACT_REDIRECT',
      out: local
        ? ethernet({ destination: macs.otherNamespace, source: macs.mesh }, translated)
        : node === 1
          ? fromGateway(translated)
          : concat(
              fromGateway(new Uint8Array(0)),
              tunnelFromSelf(fixture, hosts.node2, replyStamp, translated),
            ),
      counts: node === 1 ? { replies_direct: 1 } : { replies_tunnelled: 1 },
    });
    if (node === 1) soundPacket(t, outcome.frame, 'reply');
    const stranger = tcpPacket({
      source: '203.0.113.99',
      sourcePort: 9005,
      destination: hosts.self,
      destinationPort: port,
      flags: ack,
    });
    compare(t, fixture.runTc('uplink_ingress', fromGateway(stranger)), {
      name: 'from an address that NAT has no flow with',
      frame: fromGateway(stranger),
      verdict: 'TCX_NEXT',
      counts: {},
    });
  }
});

t.test('a reply that came through the tunnel', async (t) => {
  const answer = (destination: string): Uint8Array =>
    tcpPacket({ source: vip, sourcePort: 8101, destination, destinationPort: 40_000, flags: ack });
  for (const [name, destination, golden] of [
    [
      'for a namespace of this node',
      hosts.namespace,
      {
        verdict: 'TC_ACT_REDIRECT',
        out: ethernet({ destination: macs.namespace, source: macs.mesh }, answer(hosts.namespace)),
        counts: {},
      },
    ],
    ['for the node itself', hosts.selfMesh, { verdict: 'TC_ACT_OK', counts: {} }],
    [
      'for an address of another node: not passed on, or it could go round',
      hosts.remoteNamespace,
      { verdict: 'TC_ACT_SHOT', counts: { 'drop:no-route': 1 } },
    ],
  ] as const) {
    const up = fixture.runXdp(
      tunnelFromNode2({ kind: stampKinds.reply, slot: 1, node: 2 }, answer(destination)),
    );
    t.equal(up.verdict, 'XDP_PASS');
    compare(t, fixture.runTc('uplink_ingress', up.frame), { name, frame: up.frame, ...golden });
  }
  const transmit = stamped({ kind: stampKinds.transmit }, answer(hosts.client));
  compare(t, fixture.runTc('uplink_ingress', transmit), {
    name: 'complete, but XDP knew no next hop',
    frame: transmit,
    verdict: 'TC_ACT_REDIRECT',
    counts: {},
  });
});
