/** uplink_xdp, packets that lie about themselves or about where they come from: dropped, with the reason counted. */
import t from 'tap';
import { clusterState, endpoints, frontendSlot, ports } from './cluster.ts';
import { Fixture, hosts, macs } from './fixture.ts';
import { fromGateway, type Golden, runXdpTable } from './golden.ts';
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
  udp,
  udpPacket,
} from './packets.ts';

const fixture = await Fixture.open();
t.teardown(() => fixture[Symbol.dispose]());
fixture.apply(clusterState());

const flow = {
  source: hosts.client,
  destination: hosts.self,
  sourcePort: 40_000,
  destinationPort: ports.host,
};
const segment = tcpPacket({ ...flow, flags: tcpFlags.ack, body: payload(6) });
const datagram = udpPacket({ ...flow, body: payload(6) });
const passed = { verdict: 'XDP_PASS', counts: { xdp_passed: 1 } };

function dropped(reason: string): Pick<Golden, 'verdict' | 'counts'> {
  return { verdict: 'XDP_DROP', counts: { [`drop:${reason}`]: 1 } };
}

t.test('a frame cut off anywhere', async (t) => {
  const rows: Golden[] = [];
  for (const [name, packet] of [
    ['TCP', segment],
    ['UDP', datagram],
  ] as const) {
    const frame = fromGateway(packet);
    for (let length = 14; length < frame.length; length += 1) {
      rows.push({
        name: `${name}, first ${length} bytes`,
        frame: frame.subarray(0, length),
        ...dropped('malformed-ip'),
      });
    }
  }
  runXdpTable(t, fixture, rows);
});

t.test('an IP header that cannot be', async (t) => {
  const rows: Golden[] = [];
  const body = segment.subarray(20);
  for (const words of [0, 1, 4]) {
    rows.push({
      name: `header of ${words} words`,
      frame: fromGateway(ipv4({ ...flow, protocol: 6, headerWords: words }, body)),
      ...dropped('malformed-ip'),
    });
  }
  for (const version of [0, 5, 6, 15]) {
    rows.push({
      name: `version ${version}`,
      frame: fromGateway(ipv4({ ...flow, protocol: 6, version }, body)),
      ...dropped('malformed-ip'),
    });
  }
  for (const [name, totalLength] of [
    ['0', 0],
    ['one less than the header', 19],
    ['one more than the frame', segment.length + 1],
    ['65535', 65_535],
  ] as const) {
    rows.push({
      name: `total length ${name}`,
      frame: fromGateway(ipv4({ ...flow, protocol: 6, totalLength }, body)),
      ...dropped('malformed-ip'),
    });
  }
  rows.push({
    name: 'total length shorter than a header with options',
    frame: fromGateway(ipv4({ ...flow, protocol: 6, options: payload(8), totalLength: 24 }, body)),
    ...dropped('malformed-ip'),
  });
  rows.push({
    name: 'header of 15 words in a packet of 26 bytes',
    frame: fromGateway(ipv4({ ...flow, protocol: 6, headerWords: 15 }, payload(6))),
    ...dropped('malformed-ip'),
  });
  runXdpTable(t, fixture, rows);
});

t.test('a TCP or UDP header that cannot be', async (t) => {
  const bad = dropped('malformed-transport');
  const rows: Golden[] = [];
  for (let words = 0; words < 5; words += 1) {
    rows.push({
      name: `TCP header of ${words} words`,
      frame: fromGateway(tcpPacket({ ...flow, flags: 2, tcp: { headerWords: words } })),
      ...bad,
    });
  }
  rows.push({
    name: 'TCP header that ends behind the packet',
    frame: fromGateway(tcpPacket({ ...flow, flags: 2, tcp: { headerWords: 6 }, body: payload(3) })),
    ...bad,
  });
  rows.push({
    name: 'TCP header that ends where the packet does',
    frame: fromGateway(tcpPacket({ ...flow, flags: 2, tcp: { headerWords: 6 }, body: payload(4) })),
    out: stamped(
      {
        kind: stampKinds.serve,
        slot: endpoints.host,
        frontend: frontendSlot(ports.host, 'tcp'),
        node: 1,
      },
      tcpPacket({ ...flow, flags: 2, tcp: { headerWords: 6 }, body: payload(4) }),
    ),
    verdict: 'XDP_PASS',
    counts: { xdp_to_local_endpoint: 1 },
  });
  for (const length of [0, 1, 19]) {
    const body = segment.subarray(20, 20 + length);
    rows.push({
      name: `${length} bytes of TCP header`,
      frame: fromGateway(ipv4({ ...flow, protocol: 6 }, body)),
      ...bad,
    });
  }
  rows.push({
    name: 'TCP header in the padding behind the packet',
    frame: fromGateway(ipv4({ ...flow, protocol: 6, totalLength: 20 }, segment.subarray(20))),
    ...bad,
  });
  for (const length of [0, 1, 7, datagram.length - 20 + 1, 65_535]) {
    rows.push({
      name: `UDP length ${length}`,
      frame: fromGateway(udpPacket({ ...flow, body: payload(6), udp: { length } })),
      ...bad,
    });
  }
  for (const length of [0, 1, 7]) {
    rows.push({
      name: `${length} bytes of UDP header`,
      frame: fromGateway(ipv4({ ...flow, protocol: 17 }, datagram.subarray(20, 20 + length))),
      ...bad,
    });
  }
  rows.push({
    name: 'UDP header in the padding behind the packet',
    frame: fromGateway(ipv4({ ...flow, protocol: 17, totalLength: 20 }, datagram.subarray(20))),
    ...bad,
  });
  runXdpTable(t, fixture, rows);
});

t.test('fragments go to the stack, which may put them together', async (t) => {
  const rows: Golden[] = [];
  for (const [name, fragment] of [
    ['first', 0x2000],
    ['middle', 0x2001],
    ['last', 0x0003],
    ['furthest', 0x1fff],
  ] as const) {
    for (const packet of [
      tcpPacket({ ...flow, flags: 2, ip: { fragment } }),
      udpPacket({ ...flow, ip: { fragment } }),
    ]) {
      rows.push({ name: `${name} fragment`, frame: fromGateway(packet), ...passed });
    }
  }
  rows.push({
    name: 'a fragment too short for ports',
    frame: fromGateway(ipv4({ ...flow, protocol: 17, fragment: 2 }, payload(3))),
    ...passed,
  });
  runXdpTable(t, fixture, rows);
});

t.test('127.0.0.0/8 has no business on the wire, whatever it comes in', async (t) => {
  const rows: Golden[] = [];
  for (const ends of [
    { source: hosts.client, destination: '127.0.0.1' },
    { source: hosts.client, destination: '127.255.255.254' },
    { source: '127.0.0.1', destination: hosts.self },
    { source: '127.0.0.1', destination: '127.0.0.1' },
  ]) {
    const numbers = { sourcePort: 40_000, destinationPort: 22 };
    for (const [name, packet] of [
      ['TCP', tcpPacket({ ...ends, ...numbers, flags: 2 })],
      ['TCP to a published port', tcpPacket({ ...ends, ...numbers, destinationPort: ports.host, flags: 2 })],
      ['UDP', udpPacket({ ...ends, ...numbers })],
      ['UDP for the tunnel', udpPacket({ ...ends, ...numbers, destinationPort: 4789 })],
      ['first fragment', udpPacket({ ...ends, ...numbers, ip: { fragment: 0x2000 } })],
      ['last fragment', ipv4({ ...ends, protocol: 17, fragment: 1 }, payload(20))],
      ['ICMP', ipv4({ ...ends, protocol: protocols.icmp }, icmp(8, 0, 1, payload(8)))],
      ['SCTP', ipv4({ ...ends, protocol: 132 }, payload(12))],
      ['UDP with a wrong length', udpPacket({ ...ends, ...numbers, udp: { length: 4 } })],
    ] as const) {
      rows.push({
        name: `${name}, ${ends.source} to ${ends.destination}`,
        frame: fromGateway(packet),
        ...dropped('loopback-on-wire'),
      });
    }
  }
  for (const destination of ['126.255.255.255', '128.0.0.1']) {
    rows.push({
      name: `${destination} is none`,
      frame: fromGateway(tcpPacket({ ...flow, destination, flags: 2 })),
      ...passed,
    });
  }
  runXdpTable(t, fixture, rows);
  // The kernel takes a tag of network 0 off and treats the packet as untagged: uplink_ingress sees it so.
  for (const ends of [
    { source: hosts.client, destination: '127.0.0.1' },
    { source: '127.0.0.1', destination: hosts.self },
  ]) {
    const inside = udpPacket({ ...ends, sourcePort: 1, destinationPort: 2 });
    const outcome = fixture.runTc('uplink_ingress', fromGateway(inside));
    t.equal(outcome.verdict, 'TC_ACT_SHOT', 'behind a priority tag');
    t.strictSame(outcome.counts, { 'drop:loopback-on-wire': 1 });
  }
});

t.test('a stamp does not come from the wire', async (t) => {
  const rows: Golden[] = [];
  for (const kind of [0, 1, 2, 3, 4, 15]) {
    rows.push({
      name: `stamp of kind ${kind}`,
      frame: stamped({ kind, slot: endpoints.host, frontend: 101, node: 1 }, segment),
      ...dropped('forged-stamp'),
    });
  }
  const claims = { destination: '5a:53:10:00:00:0b', source: macs.gateway };
  rows.push(
    {
      name: 'under a VLAN tag',
      frame: ethernet({ ...claims, vlan: 0 }, segment),
      ...dropped('forged-stamp'),
    },
    {
      name: 'on what is not IP',
      frame: ethernet({ ...claims, type: etherTypes.arp }, payload(28)),
      ...dropped('forged-stamp'),
    },
    {
      name: 'on an Ethernet header alone',
      frame: ethernet(claims, new Uint8Array(0)),
      ...dropped('forged-stamp'),
    },
    {
      name: 'an address that only begins alike',
      frame: ethernet(
        { ...claims, destination: '5a:54:10:00:00:0b' },
        udpPacket({ ...flow, destinationPort: 9 }),
      ),
      ...passed,
    },
    {
      name: 'as the source it means nothing',
      frame: ethernet(
        { destination: macs.uplink, source: '5a:53:10:00:00:0b' },
        concat(ipv4({ ...flow, protocol: 17 }, udp(flow, { ...flow, destinationPort: 9 }))),
      ),
      ...passed,
    },
  );
  runXdpTable(t, fixture, rows);
});
