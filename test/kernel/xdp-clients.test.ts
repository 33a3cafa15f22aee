/** uplink_xdp, packets from clients: what is not ours passes, what is goes to the bucket's owner or is refused. */
import t from 'tap';
import { clusterState, endpoints, frontendSlot, ports, vip } from './cluster.ts';
import { Fixture, hosts, macs } from './fixture.ts';
import {
  ethernetPadded,
  fromGateway,
  type Golden,
  runXdpTable,
  soundPacket,
  towards,
  tunnelFromSelf,
} from './golden.ts';
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

const client = { source: hosts.client, sourcePort: 40_000 };
const { fin, syn, rst, psh, ack } = tcpFlags;

/** A client's TCP packet for a published port of this node. */
function toPort(
  destinationPort: number,
  flags: number,
  extra: Partial<Parameters<typeof tcpPacket>[0]> = {},
) {
  return tcpPacket({ ...client, destination: hosts.self, destinationPort, flags, ...extra });
}

function udpToPort(destinationPort: number, extra: Partial<Parameters<typeof udpPacket>[0]> = {}) {
  return udpPacket({ ...client, destination: hosts.self, destinationPort, body: payload(20), ...extra });
}

function serveStamp(port: number, slot: number, protocol: 'tcp' | 'udp' = 'tcp') {
  return { kind: stampKinds.serve, slot, frontend: frontendSlot(port, protocol), node: 1 };
}

const passed = { verdict: 'XDP_PASS', counts: { xdp_passed: 1 } };

t.test('what is none of ours passes untouched', async (t) => {
  const arp = ethernet(
    { destination: 'ff:ff:ff:ff:ff:ff', source: macs.gateway, type: etherTypes.arp },
    payload(28),
  );
  const ipv6 = ethernet(
    { destination: macs.uplink, source: macs.gateway, type: etherTypes.ipv6 },
    payload(40),
  );
  const tagged = ethernet(
    { destination: macs.uplink, source: macs.gateway, vlan: 7 },
    toPort(ports.remote, syn),
  );
  const echo = ipv4(
    { source: hosts.client, destination: hosts.self, protocol: protocols.icmp },
    icmp(8, 0, 1, payload(32)),
  );
  const other = ipv4({ source: hosts.client, destination: hosts.self, protocol: 132 }, payload(12));
  const rows: Golden[] = [
    { name: 'ARP', frame: arp, ...passed },
    { name: 'IPv6', frame: ipv6, ...passed },
    { name: 'VLAN', reason: 'the tag is another network', frame: tagged, ...passed },
    { name: 'ICMP echo', frame: fromGateway(echo), ...passed },
    { name: 'SCTP', frame: fromGateway(other), ...passed },
    { name: 'Ethernet header alone', frame: arp.subarray(0, 14), ...passed },
    { name: 'TCP to a port that is not published', frame: fromGateway(toPort(22, syn)), ...passed },
    { name: 'UDP to a port that is not published', frame: fromGateway(udpToPort(53)), ...passed },
    {
      name: 'TCP to another address with a published port',
      frame: fromGateway(toPort(ports.remote, syn, { destination: hosts.node2 })),
      ...passed,
    },
    {
      name: 'UDP to the tunnel port of an address that is not the VTEP',
      frame: fromGateway(udpToPort(4789, { destination: vip })),
      ...passed,
    },
    { name: 'TCP to the tunnel port', frame: fromGateway(toPort(4789, syn)), ...passed },
  ];
  runXdpTable(t, fixture, rows);
});

t.test('an endpoint of this node: stamped, and up to uplink_ingress', async (t) => {
  const verdict = { verdict: 'XDP_PASS', counts: { xdp_to_local_endpoint: 1 } };
  const rows: Golden[] = [];
  for (const [name, packet] of [
    ['SYN', toPort(ports.host, syn)],
    ['ACK with data', toPort(ports.host, ack | psh, { body: payload(100) })],
    ['RST', toPort(ports.host, rst)],
    ['IP options', toPort(ports.host, syn, { ip: { options: Uint8Array.of(148, 4, 0, 0) } })],
    ['most IP options', toPort(ports.host, syn, { ip: { options: new Uint8Array(40).fill(1) } })],
    ['most TCP options', toPort(ports.host, syn, { tcp: { options: new Uint8Array(40).fill(1) } })],
  ] as const) {
    const out = stamped(serveStamp(ports.host, endpoints.host), packet);
    rows.push({ name, frame: fromGateway(packet), out, ...verdict });
  }
  const datagram = udpToPort(ports.host);
  rows.push({
    name: 'UDP',
    frame: fromGateway(datagram),
    out: stamped(serveStamp(ports.host, endpoints.host, 'udp'), datagram),
    ...verdict,
  });
  const toVip = toPort(ports.host, syn, { destination: vip });
  rows.push({
    name: 'VIP',
    frame: fromGateway(toVip),
    out: stamped(serveStamp(ports.host, endpoints.host), toVip),
    ...verdict,
  });
  const short = toPort(ports.host, ack);
  rows.push({
    name: 'padded by Ethernet',
    frame: ethernetPadded(fromGateway(short)),
    out: ethernetPadded(stamped(serveStamp(ports.host, endpoints.host), short)),
    ...verdict,
  });
  runXdpTable(t, fixture, rows);
});

t.test('an endpoint of another node: the same packet inside the tunnel', async (t) => {
  const sent = { verdict: 'XDP_TX', counts: { xdp_encapsulated: 1 } };
  const rows: Golden[] = [];
  for (const [name, packet] of [
    ['SYN', toPort(ports.remote, syn, { tcp: { options: Uint8Array.of(2, 4, 5, 180) } })],
    ['data of odd length', toPort(ports.remote, ack | psh, { body: payload(333) })],
    ['a type of service', toPort(ports.remote, ack, { ip: { typeOfService: 0xb8 } })],
    ['time to live 1', toPort(ports.remote, ack, { ip: { timeToLive: 1 } })],
    ['a client on the uplink itself', toPort(ports.remote, ack, { source: hosts.neighbour })],
    ['another client port', toPort(ports.remote, ack, { sourcePort: 1 })],
    ['a wrong TCP checksum', toPort(ports.remote, ack, { tcp: { checksum: 1 } })],
    ['IP options', toPort(ports.remote, ack, { ip: { options: Uint8Array.of(7, 7, 4, 0, 0, 0, 0) } })],
  ] as const) {
    const typeOfService = packet[1] ?? 0;
    const tunnel = tunnelFromSelf(fixture, hosts.node2, serveStamp(ports.remote, endpoints.remote), packet, {
      typeOfService,
    });
    soundPacket(t, ethernet(towards.node2, tunnel), name);
    rows.push({ name, frame: fromGateway(packet), out: ethernet(towards.node2, tunnel), ...sent });
  }
  for (const [name, typeOfService] of [
    ['ECT(0)', 2],
    ['ECT(1)', 1],
    ['CE', 3],
  ] as const) {
    const packet = toPort(ports.remote, ack, { ip: { typeOfService: 0xb8 | typeOfService } });
    rows.push({
      name,
      reason: 'the outer header is not ECN-capable, as nothing reads its mark (RFC 6040, 4.3)',
      frame: fromGateway(packet),
      out: ethernet(
        towards.node2,
        tunnelFromSelf(fixture, hosts.node2, serveStamp(ports.remote, endpoints.remote), packet, {
          typeOfService: 0xb8,
        }),
      ),
      ...sent,
    });
  }
  const datagram = udpToPort(ports.remote);
  const udpStamp = serveStamp(ports.remote, endpoints.remote, 'udp');
  rows.push({
    name: 'UDP',
    frame: fromGateway(datagram),
    out: ethernet(towards.node2, tunnelFromSelf(fixture, hosts.node2, udpStamp, datagram)),
    ...sent,
  });
  const far = toPort(ports.far, syn);
  rows.push({
    name: 'a node behind the gateway',
    frame: fromGateway(far),
    out: ethernet(
      towards.gateway,
      tunnelFromSelf(fixture, '198.51.100.4', serveStamp(ports.far, endpoints.far), far),
    ),
    ...sent,
  });
  const short = toPort(ports.remote, ack);
  rows.push({
    name: 'padded by Ethernet: the padding stays outside of every length',
    frame: ethernetPadded(fromGateway(short)),
    out: concat(
      ethernet(
        towards.node2,
        tunnelFromSelf(fixture, hosts.node2, serveStamp(ports.remote, endpoints.remote), short),
      ),
      new Uint8Array(60 - 14 - short.length),
    ),
    ...sent,
  });
  const unresolved = toPort(ports.unresolved, syn);
  rows.push({
    name: 'no neighbour entry for the node: left to the neighbour subsystem',
    frame: fromGateway(unresolved),
    out: stamped(
      { kind: stampKinds.transmit },
      tunnelFromSelf(
        fixture,
        hosts.unresolved,
        serveStamp(ports.unresolved, endpoints.unresolved),
        unresolved,
      ),
    ),
    verdict: 'XDP_PASS',
    counts: { xdp_encapsulated: 1, xdp_next_hop_unresolved: 1 },
  });
  rows.push({
    name: 'the largest that fits the tunnel',
    frame: fromGateway(toPort(ports.remote, ack, { body: payload(1410) })),
    out: ethernet(
      towards.node2,
      tunnelFromSelf(
        fixture,
        hosts.node2,
        serveStamp(ports.remote, endpoints.remote),
        toPort(ports.remote, ack, { body: payload(1410) }),
      ),
    ),
    ...sent,
  });
  rows.push({
    name: 'a byte too big for the tunnel',
    frame: fromGateway(toPort(ports.remote, ack, { body: payload(1411) })),
    verdict: 'XDP_DROP',
    counts: { 'drop:too-big': 1 },
  });
  rows.push({
    name: 'a node that is not there',
    frame: fromGateway(toPort(ports.nodeGone, syn)),
    verdict: 'XDP_DROP',
    counts: { 'drop:node-gone': 1 },
  });
  runXdpTable(t, fixture, rows);
});

t.test('no endpoint: refused as a host without a listener would', async (t) => {
  const back = { destination: macs.gateway, source: macs.uplink };
  const refused = { verdict: 'XDP_TX', counts: { xdp_refused: 1, 'drop:no-endpoint': 1 } };
  const numbers = { sequence: 0xffff_fff0, acknowledgement: 0x1234_5678 };
  const reset = (tcp: { sequence?: number; acknowledgement?: number }, flags: number): Uint8Array =>
    ethernet(
      back,
      tcpPacket({
        source: hosts.self,
        sourcePort: ports.empty,
        destination: hosts.client,
        destinationPort: client.sourcePort,
        flags,
        tcp,
      }),
    );
  const segment = (flags: number, body: Uint8Array = new Uint8Array(0), ip = {}): Uint8Array =>
    fromGateway(toPort(ports.empty, flags, { tcp: { ...numbers, window: 1000 }, body, ip }));
  const acknowledging = (octets: number) =>
    reset({ acknowledgement: (numbers.sequence + octets) >>> 0 }, rst | ack);
  const rows: Golden[] = [
    { name: 'SYN', frame: segment(syn), out: acknowledging(1), ...refused },
    { name: 'SYN with data', frame: segment(syn, payload(20)), out: acknowledging(21), ...refused },
    { name: 'no flags', frame: segment(0, payload(9)), out: acknowledging(9), ...refused },
    { name: 'ACK', frame: segment(ack), out: reset({ sequence: numbers.acknowledgement }, rst), ...refused },
    {
      name: 'FIN, ACK with data',
      frame: segment(fin | ack, payload(50)),
      out: reset({ sequence: numbers.acknowledgement }, rst),
      ...refused,
    },
    { name: 'FIN with data', frame: segment(fin, payload(15)), out: acknowledging(16), ...refused },
    {
      name: 'SYN with IP options',
      frame: segment(syn, payload(3), { options: Uint8Array.of(1, 1, 1, 0) }),
      out: acknowledging(4),
      ...refused,
    },
    { name: 'padded SYN', frame: ethernetPadded(segment(syn)), out: acknowledging(1), ...refused },
    {
      name: 'RST',
      reason: 'a reset is not answered with one',
      frame: segment(rst),
      verdict: 'XDP_DROP',
      counts: { 'drop:no-endpoint': 1 },
    },
  ];
  for (const [name, datagram, quoted] of [
    ['UDP', udpToPort(ports.empty), udpToPort(ports.empty)],
    ['UDP without payload', udpToPort(ports.empty, { body: new Uint8Array(0) }), undefined],
    ['UDP of full size', udpToPort(ports.empty, { body: payload(1472) }), undefined],
    [
      'UDP with IP options',
      udpToPort(ports.empty, { ip: { options: Uint8Array.of(7, 3, 4, 0) } }),
      // The options are left out of the quote, and its header says so.
      udpToPort(ports.empty),
    ],
  ] as const) {
    const quote = (quoted ?? datagram).subarray(0, 28);
    const unreachable = ipv4(
      { source: hosts.self, destination: hosts.client, protocol: protocols.icmp },
      icmp(3, 3, 0, quote),
    );
    rows.push({ name, frame: fromGateway(datagram), out: ethernet(back, unreachable), ...refused });
  }
  for (const row of rows) if (row.out !== undefined) soundPacket(t, row.out, row.name);
  runXdpTable(t, fixture, rows);
});

t.test('only new connections are refused while the last endpoint drains', async (t) => {
  const open = toPort(ports.drainingHere, ack);
  const away = toPort(ports.drainingThere, ack);
  runXdpTable(t, fixture, [
    {
      name: 'an open connection whose endpoint is here',
      frame: fromGateway(open),
      out: stamped(serveStamp(ports.drainingHere, endpoints.formerHere), open),
      verdict: 'XDP_PASS',
      counts: { xdp_to_local_endpoint: 1 },
    },
    {
      name: 'an open connection whose endpoint is on another node',
      frame: fromGateway(away),
      out: ethernet(
        towards.node2,
        tunnelFromSelf(fixture, hosts.node2, serveStamp(ports.drainingThere, endpoints.formerThere), away),
      ),
      verdict: 'XDP_TX',
      counts: { xdp_encapsulated: 1 },
    },
    {
      name: 'a new connection',
      frame: fromGateway(toPort(ports.drainingThere, syn)),
      out: ethernet(
        { destination: macs.gateway, source: macs.uplink },
        tcpPacket({
          source: hosts.self,
          sourcePort: ports.drainingThere,
          destination: hosts.client,
          destinationPort: client.sourcePort,
          flags: rst | ack,
          tcp: { acknowledgement: 1 },
        }),
      ),
      verdict: 'XDP_TX',
      counts: { xdp_refused: 1, 'drop:no-endpoint': 1 },
    },
  ]);
});
