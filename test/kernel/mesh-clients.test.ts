/** mesh_ingress, what attached namespaces and the node itself begin: balanced here, delivered, or refused. */
import t from 'tap';
import { clusterState, endpoints, frontendSlot, ports, vip } from './cluster.ts';
import { Fixture, hosts, macs, type Outcome } from './fixture.ts';
import { flowTable } from './flow-table.ts';
import { compare, soundPacket, tunnelFromNode2, tunnelFromSelf } from './golden.ts';
import {
  concat,
  ethernet,
  etherTypes,
  icmp,
  ipv4,
  payload,
  protocols,
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

const { syn, rst, ack } = tcpFlags;
/** As a namespace sends: to its gateway's address. */
const leaving = { destination: macs.mesh, source: macs.namespace };
const fromNamespace = { source: hosts.namespace, sourcePort: 40_000 };
const fromSelf = { source: hosts.selfMesh, sourcePort: 40_000 };
/** Own mesh address of an endpoint: 10.252.0.0/15 and its slot. */
const addressOf = (slot: number): string => `10.252.0.${slot}`;

function mesh(packet: Uint8Array, device: 'namespace' | 'other' | 'mesh' = 'namespace'): Outcome {
  return fixture.runTc('mesh_ingress', ethernet(leaving, packet), { ifindex: fixture.ifindexes[device] });
}

const header = ethernet(leaving, new Uint8Array(0));

t.test('a frontend with an endpoint of this node', async (t) => {
  const packet = tcpPacket({ ...fromNamespace, destination: vip, destinationPort: ports.host, flags: syn });
  const outcome = mesh(packet);
  compare(t, outcome, {
    name: 'from a namespace to a socket of the host',
    frame: packet,
    verdict: 'TC_ACT_OK',
    out: ethernet(
      leaving,
      tcpPacket({ ...fromNamespace, destination: '127.0.0.1', destinationPort: 9001, flags: syn }),
    ),
    counts: { from_mesh: 1, flows_created: 1, served: 1 },
  });
  t.match(flowTable(fixture)[0], { node: 1, endpoint: endpoints.host });

  const own = tcpPacket({ ...fromSelf, destination: vip, destinationPort: ports.host, flags: syn });
  const hairpin = mesh(own, 'mesh');
  t.equal(hairpin.verdict, 'TC_ACT_OK');
  const translated = soundPacket(t, hairpin.frame, 'hairpin');
  t.equal(
    translated.subarray(12, 16).join('.'),
    hosts.hairpin,
    'from the node to itself: a source that is not its own, so that the answer comes back through the programs',
  );
  const port = new DataView(translated.buffer, translated.byteOffset).getUint16(20);
  t.ok(port >= 61_000);
  const answer = tcpPacket({
    source: '127.0.0.1',
    sourcePort: 9001,
    destination: hosts.hairpin,
    destinationPort: port,
    flags: syn | ack,
  });
  compare(t, mesh(answer, 'mesh'), {
    name: 'the answer',
    frame: answer,
    verdict: 'TC_ACT_OK',
    out: ethernet(
      leaving,
      tcpPacket({
        source: vip,
        sourcePort: ports.host,
        destination: hosts.selfMesh,
        destinationPort: 40_000,
        flags: syn | ack,
      }),
    ),
    counts: { from_mesh: 1, replies_direct: 1 },
  });
});

t.test('a namespace that is an endpoint reaches itself and others', async (t) => {
  for (const [name, source, device] of [
    ['another', hosts.otherNamespace, 'other'],
    ['itself', hosts.namespace, 'namespace'],
  ] as const) {
    fixture.clearFlows();
    const ends = { source, sourcePort: 40_000, flags: syn };
    const packet = tcpPacket({ ...ends, destination: hosts.self, destinationPort: ports.namespace });
    compare(t, mesh(packet, device), {
      name,
      frame: packet,
      verdict: 'TC_ACT_REDIRECT',
      out: ethernet(
        { destination: macs.namespace, source: macs.mesh },
        tcpPacket({ ...ends, destination: hosts.namespace, destinationPort: 9004 }),
      ),
      counts: { from_mesh: 1, flows_created: 1, served: 1 },
    });
  }
});

t.test('a frontend with an endpoint of another node', async (t) => {
  for (const protocol of ['tcp', 'udp'] as const) {
    const ends = { ...fromNamespace, destination: hosts.self, destinationPort: ports.remote };
    const packet = protocol === 'tcp' ? tcpPacket({ ...ends, flags: syn }) : udpPacket(ends);
    const stamp = {
      kind: stampKinds.serve,
      slot: endpoints.remote,
      frontend: frontendSlot(ports.remote, protocol),
      node: 1,
    };
    compare(t, mesh(packet), {
      name: protocol,
      frame: packet,
      verdict: 'TC_ACT_REDIRECT',
      out: concat(header, tunnelFromSelf(fixture, hosts.node2, stamp, packet)),
      counts: { from_mesh: 1 },
    });
  }
  t.strictSame(flowTable(fixture), [], 'flow state is made where the endpoint is, and only there');
  const gone = tcpPacket({
    ...fromNamespace,
    destination: hosts.self,
    destinationPort: ports.nodeGone,
    flags: syn,
  });
  compare(t, mesh(gone), {
    name: 'of a node that is gone',
    frame: ethernet(leaving, gone),
    verdict: 'TC_ACT_SHOT',
    counts: { from_mesh: 1, 'drop:node-gone': 1 },
  });
});

t.test('a frontend without an endpoint', async (t) => {
  const ends = { ...fromNamespace, destination: hosts.self, destinationPort: ports.empty };
  const back = {
    source: hosts.self,
    sourcePort: ports.empty,
    destination: hosts.namespace,
    destinationPort: 40_000,
  };
  const delivered = { destination: macs.namespace, source: macs.mesh };
  const refused = {
    verdict: 'TC_ACT_REDIRECT',
    counts: { from_mesh: 1, 'drop:no-endpoint': 1, replies_direct: 1 },
  };
  const body = payload(200);
  compare(t, mesh(tcpPacket({ ...ends, flags: syn, body })), {
    name: 'TCP: reset',
    frame: header,
    out: ethernet(delivered, tcpPacket({ ...back, flags: rst | ack, tcp: { acknowledgement: 201 } })),
    ...refused,
  });
  for (const options of [undefined, Uint8Array.of(7, 3, 4, 0)]) {
    const datagram = udpPacket({ ...ends, body, ip: options === undefined ? {} : { options } });
    const quote = udpPacket({ ...ends, body }).subarray(0, 28);
    compare(t, mesh(datagram), {
      name: `UDP${options === undefined ? '' : ' with IP options'}: port unreachable`,
      frame: header,
      out: ethernet(
        delivered,
        ipv4({ source: hosts.self, destination: hosts.namespace, protocol: 1 }, icmp(3, 3, 0, quote)),
      ),
      ...refused,
    });
  }
  const reset = tcpPacket({ ...ends, flags: rst });
  compare(t, mesh(reset), {
    name: 'a reset is not answered',
    frame: ethernet(leaving, reset),
    verdict: 'TC_ACT_SHOT',
    counts: { from_mesh: 1, 'drop:no-flow': 1 },
  });
});

t.test('an endpoint’s own address on the mesh', async (t) => {
  const delivered = { destination: macs.otherNamespace, source: macs.mesh };
  const ends = { ...fromNamespace, destination: addressOf(endpoints.otherNamespace) };
  const inside = { ...fromNamespace, destination: hosts.otherNamespace, destinationPort: 9021, flags: syn };
  const local = tcpPacket({ ...ends, destinationPort: 9021, flags: syn });
  compare(t, mesh(local), {
    name: 'on this node',
    frame: local,
    verdict: 'TC_ACT_REDIRECT',
    out: ethernet(delivered, tcpPacket(inside)),
    counts: { from_mesh: 1, flows_created: 1, served: 1 },
  });
  const wrong = tcpPacket({ ...ends, sourcePort: 40_001, destinationPort: 22, flags: syn });
  compare(t, mesh(wrong), {
    name: 'another port: a namespace reaches the endpoint’s and no other',
    frame: wrong,
    verdict: 'TC_ACT_REDIRECT',
    out: ethernet(delivered, tcpPacket({ ...inside, sourcePort: 40_001 })),
    counts: { from_mesh: 1, flows_created: 1, served: 1 },
  });
  const front = { ...fromSelf, destination: ends.destination, destinationPort: 7777, flags: syn };
  compare(t, mesh(tcpPacket(front), 'mesh'), {
    name: 'another port, from the node: its front end means it',
    frame: header,
    verdict: 'TC_ACT_REDIRECT',
    out: ethernet(delivered, tcpPacket({ ...front, destination: hosts.otherNamespace })),
    counts: { from_mesh: 1, flows_created: 1, served: 1 },
  });
  const away = tcpPacket({
    ...fromNamespace,
    destination: addressOf(endpoints.remote),
    destinationPort: 9002,
    flags: syn,
  });
  compare(t, mesh(away), {
    name: 'on node 2',
    frame: away,
    verdict: 'TC_ACT_REDIRECT',
    out: concat(
      header,
      tunnelFromSelf(fixture, hosts.node2, { kind: stampKinds.serve, slot: endpoints.remote, node: 1 }, away),
    ),
    counts: { from_mesh: 1 },
  });
  for (const destination of [
    addressOf(0),
    addressOf(99),
    '10.253.255.255',
    '10.254.0.11',
    '10.251.255.255',
  ]) {
    const nobody = tcpPacket({ ...fromNamespace, destination, destinationPort: 9002, flags: syn });
    compare(t, mesh(nobody), {
      name: `${destination} is nobody’s`,
      frame: ethernet(leaving, nobody),
      verdict: 'TC_ACT_SHOT',
      counts: { from_mesh: 1, 'drop:no-route': 1 },
    });
  }
  const unknown = tcpPacket({ ...ends, sourcePort: 50_000, destinationPort: 9021, flags: ack });
  t.strictSame(
    mesh(unknown).counts,
    { from_mesh: 1, 'drop:no-flow': 1, replies_direct: 1 },
    'no table is behind it, so nobody else is asked',
  );
});

t.test('an address behind the endpoints’ range is no endpoint’s', async (t) => {
  using narrow = await Fixture.open({ constants: { endpointRange: { base: 0x0afc0000, length: 28 } } });
  narrow.apply(clusterState());
  const run = (slot: number): Outcome => {
    const packet = tcpPacket({
      ...fromNamespace,
      destination: addressOf(slot),
      destinationPort: 1,
      flags: syn,
    });
    return narrow.runTc('mesh_ingress', ethernet(leaving, packet), { ifindex: narrow.ifindexes.namespace });
  };
  t.strictSame(run(endpoints.namespace).counts, { from_mesh: 1, flows_created: 1, served: 1 });
  t.strictSame(run(endpoints.otherNamespace).counts, { from_mesh: 1, 'drop:no-route': 1 });
});

t.test('between addresses of the mesh', async (t) => {
  const ends = { ...fromNamespace, destinationPort: 5000 };
  const echo = (destination: string): Uint8Array =>
    ipv4({ source: hosts.namespace, destination, protocol: protocols.icmp }, icmp(8, 0, 1, payload(8)));
  for (const [name, packet, out, verdict] of [
    [
      'another namespace of this node',
      udpPacket({ ...ends, destination: hosts.otherNamespace }),
      { destination: macs.otherNamespace, source: macs.mesh },
      'TC_ACT_REDIRECT',
    ],
    [
      'ICMP',
      echo(hosts.otherNamespace),
      { destination: macs.otherNamespace, source: macs.mesh },
      'TC_ACT_REDIRECT',
    ],
    ['the node itself', udpPacket({ ...ends, destination: hosts.selfMesh }), leaving, 'TC_ACT_OK'],
  ] as const) {
    compare(t, mesh(packet), {
      name,
      frame: packet,
      verdict,
      out: ethernet(out, packet),
      counts: { from_mesh: 1 },
    });
  }
  const direct = { kind: stampKinds.direct, node: 1 };
  for (const [name, destination] of [
    ['a namespace of node 2', hosts.remoteNamespace],
    ['node 2 itself', hosts.node2Mesh],
  ] as const) {
    const packet = udpPacket({ ...ends, destination });
    compare(t, mesh(packet), {
      name,
      frame: packet,
      verdict: 'TC_ACT_REDIRECT',
      out: concat(header, tunnelFromSelf(fixture, hosts.node2, direct, packet)),
      counts: { from_mesh: 1 },
    });
  }
});

t.test('from node 2, between addresses of the mesh', async (t) => {
  const direct = { kind: stampKinds.direct, node: 2 };
  const packet = (destination: string): Uint8Array =>
    udpPacket({ source: hosts.remoteNamespace, destination, sourcePort: 1, destinationPort: 2 });
  const shot = { verdict: 'TC_ACT_SHOT', counts: { 'drop:no-route': 1 } };
  for (const [name, destination, golden] of [
    [
      'to a namespace',
      hosts.namespace,
      {
        verdict: 'TC_ACT_REDIRECT',
        out: ethernet({ destination: macs.namespace, source: macs.mesh }, packet(hosts.namespace)),
        counts: {},
      },
    ],
    ['to the node itself', hosts.selfMesh, { verdict: 'TC_ACT_OK', counts: {} }],
    ['to an address that tables here say is node 2’s: it would go round', hosts.remoteNamespace, shot],
    ['to an address that nobody has', '10.249.9.9', shot],
    ['to an address outside of the mesh', hosts.client, shot],
  ] as const) {
    const up = fixture.runXdp(tunnelFromNode2(direct, packet(destination)));
    t.strictSame(up.frame, stamped(direct, packet(destination)));
    compare(t, fixture.runTc('uplink_ingress', up.frame), { name, frame: up.frame, ...golden });
  }
});

t.test('what a namespace may not send', async (t) => {
  const to = { destination: hosts.otherNamespace, sourcePort: 1, destinationPort: 2 };
  const frontend = { destination: vip, sourcePort: 1, destinationPort: ports.host };
  const spoofed = { from_mesh: 1, 'drop:spoofed-source': 1 };
  for (const [name, packet, device, counts] of [
    ['another namespace’s address', udpPacket({ ...to, source: hosts.otherNamespace }), 'namespace', spoofed],
    ['an address of node 2', udpPacket({ ...to, source: hosts.remoteNamespace }), 'namespace', spoofed],
    ['the node’s own address', udpPacket({ ...to, source: hosts.selfMesh }), 'namespace', spoofed],
    ['a client’s address', udpPacket({ ...to, source: hosts.client }), 'namespace', spoofed],
    ['the frontend’s address', udpPacket({ ...to, source: vip }), 'namespace', spoofed],
    ['to a frontend too', tcpPacket({ ...frontend, source: hosts.client, flags: syn }), 'namespace', spoofed],
    ['a namespace’s address, from the node', udpPacket({ ...to, source: hosts.namespace }), 'mesh', spoofed],
    [
      'ICMP from another’s address',
      ipv4({ source: hosts.client, destination: hosts.self, protocol: 1 }, icmp(8, 0, 1, payload(8))),
      'namespace',
      spoofed,
    ],
    [
      'a fragment',
      udpPacket({ ...to, source: hosts.namespace, ip: { fragment: 0x2000 } }),
      'namespace',
      { 'drop:fragment': 1 },
    ],
    [
      'to an address that is not of the mesh',
      udpPacket({ ...to, source: hosts.namespace, destination: hosts.client }),
      'namespace',
      { from_mesh: 1, 'drop:no-route': 1 },
    ],
    [
      'a UDP header that cannot be',
      udpPacket({ ...to, source: hosts.namespace, udp: { length: 3 } }),
      'namespace',
      { 'drop:malformed-transport': 1 },
    ],
    [
      'an IP header that cannot be',
      udpPacket({ ...to, source: hosts.namespace, ip: { headerWords: 3 } }),
      'namespace',
      { 'drop:malformed-ip': 1 },
    ],
  ] as const) {
    compare(t, mesh(packet, device), {
      name,
      frame: ethernet(leaving, packet),
      verdict: 'TC_ACT_SHOT',
      counts,
    });
  }
  for (const type of [etherTypes.arp, etherTypes.ipv6]) {
    const frame = ethernet({ ...leaving, type }, payload(60));
    const outcome = fixture.runTc('mesh_ingress', frame, { ifindex: fixture.ifindexes.namespace });
    compare(t, outcome, {
      name: `EtherType ${type.toString(16)}`,
      frame,
      verdict: 'TC_ACT_SHOT',
      counts: { 'drop:no-route': 1 },
    });
  }
  t.strictSame(flowTable(fixture), [], 'no flow is made');
});
