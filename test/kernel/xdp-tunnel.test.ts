/** uplink_xdp, packets from the tunnel: who may send them, what may be inside, and where a reply goes. */
import t from 'tap';
import { clusterState, endpoints, frontendSlot, ports } from './cluster.ts';
import { Fixture, hosts, macs } from './fixture.ts';
import {
  fromGateway,
  type Golden,
  runXdpTable,
  towards,
  tunnelAround,
  tunnelFromNode2,
  tunnelPacket,
} from './golden.ts';
import {
  concat,
  ethernet,
  etherTypes,
  icmp,
  ipv4,
  payload,
  protocols,
  stampAddresses,
  stamped,
  stampKinds,
  tcpFlags,
  tcpPacket,
  udpPacket,
} from './packets.ts';

const fixture = await Fixture.open();
t.teardown(() => fixture[Symbol.dispose]());
fixture.apply(clusterState());

const serve = {
  kind: stampKinds.serve,
  slot: endpoints.host,
  frontend: frontendSlot(ports.host, 'tcp'),
  node: 2,
};
const direct = { kind: stampKinds.direct, node: 2 };
const reply = { kind: stampKinds.reply, slot: 1, node: 2 };
const request = tcpPacket({
  source: hosts.client,
  destination: hosts.node2,
  sourcePort: 40_000,
  destinationPort: ports.host,
  flags: tcpFlags.syn,
});

/** What an endpoint behind node 2 answers to a client of this node. */
function answer(destination: string, body = payload(40)): Uint8Array {
  const ends = { source: hosts.self, destination };
  return tcpPacket({ ...ends, sourcePort: 8102, destinationPort: 40_000, flags: tcpFlags.ack, body });
}

function dropped(reason: string): Pick<Golden, 'verdict' | 'counts'> {
  return { verdict: 'XDP_DROP', counts: { [`drop:${reason}`]: 1 } };
}

t.test('from a node of the mesh, for this one', async (t) => {
  const up = { verdict: 'XDP_PASS', counts: { xdp_decapsulated: 1 } };
  const rows: Golden[] = [];
  const echo = ipv4(
    { source: hosts.node2Mesh, destination: hosts.selfMesh, protocol: protocols.icmp },
    icmp(8, 0, 7, payload(16)),
  );
  for (const [name, stamp, inner] of [
    ['to serve', serve, request],
    ['to serve, at a later hop', { ...serve, hop: 3 }, request],
    ['to serve, at the last hop', { ...serve, hop: 15 }, request],
    ['to serve, as large as they get', serve, tcpPacket({ ...ends(), flags: 16, body: payload(1410) })],
    ['to serve, a fragment', serve, udpPacket({ ...ends(), ip: { fragment: 0x2000 } })],
    ['between mesh addresses', direct, udpPacket({ ...ends(), destination: hosts.selfMesh })],
    ['ICMP between mesh addresses', direct, echo],
    ['a reply to this node itself', reply, answer(hosts.selfMesh)],
    ['a reply to an attached namespace', reply, answer(hosts.namespace)],
    ['a reply to a mesh address of another node', reply, answer(hosts.remoteNamespace)],
  ] as const) {
    rows.push({ name, frame: tunnelFromNode2(stamp, inner), out: stamped(stamp, inner), ...up });
  }
  const padded = concat(stamped(serve, request), new Uint8Array(9));
  rows.push({
    name: 'padding of the client’s frame inside',
    frame: ethernet(
      { destination: macs.uplink, source: macs.node2 },
      tunnelAround({ source: hosts.node2, destination: hosts.self, sender: 2 }, padded),
    ),
    out: padded,
    ...up,
  });
  runXdpTable(t, fixture, rows);
});

function ends() {
  return { source: hosts.client, destination: hosts.node2, sourcePort: 40_000, destinationPort: ports.host };
}

t.test('a reply goes on to the client', async (t) => {
  const sent = { verdict: 'XDP_TX', counts: { xdp_decapsulated: 1, xdp_returned: 1 } };
  const refusal = ipv4(
    { source: hosts.self, destination: hosts.client, protocol: protocols.icmp },
    icmp(3, 3, 0, udpPacket(ends()).subarray(0, 28)),
  );
  const inner = answer(hosts.client);
  const near = answer(hosts.neighbour);
  const aside = answer(hosts.plain);
  const unresolved = answer('192.0.2.77');
  runXdpTable(t, fixture, [
    {
      name: 'behind the gateway',
      frame: tunnelFromNode2(reply, inner),
      out: ethernet(towards.gateway, inner),
      ...sent,
    },
    {
      name: 'on the uplink’s own network',
      frame: tunnelFromNode2(reply, near),
      out: ethernet(towards.neighbour, near),
      ...sent,
    },
    {
      name: 'ICMP port unreachable',
      frame: tunnelFromNode2(reply, refusal),
      out: ethernet(towards.gateway, refusal),
      ...sent,
    },
    {
      name: 'by another device',
      frame: tunnelFromNode2(reply, aside),
      out: ethernet({ destination: macs.plain, source: macs.second }, aside),
      verdict: 'XDP_REDIRECT',
      counts: sent.counts,
    },
    {
      name: 'no neighbour entry',
      frame: tunnelFromNode2(reply, unresolved),
      out: stamped({ kind: stampKinds.transmit }, unresolved),
      verdict: 'XDP_PASS',
      counts: { ...sent.counts, xdp_next_hop_unresolved: 1 },
    },
    {
      name: 'no route',
      frame: tunnelFromNode2(reply, answer('8.8.8.8')),
      out: stamped({ kind: stampKinds.transmit }, answer('8.8.8.8')),
      verdict: 'XDP_PASS',
      counts: { ...sent.counts, xdp_next_hop_unresolved: 1 },
    },
  ]);
});

t.test('from anyone else', async (t) => {
  const rows: Golden[] = [
    {
      name: 'an address that is no node’s',
      frame: tunnelFromNode2(serve, request, { source: hosts.neighbour }),
      ...dropped('forged-tunnel'),
    },
    {
      name: 'a node’s slot from another node’s address',
      frame: tunnelFromNode2(serve, request, { sender: 3 }),
      ...dropped('forged-tunnel'),
    },
    {
      name: 'a slot that is free',
      frame: tunnelFromNode2(serve, request, { sender: 5 }),
      ...dropped('forged-tunnel'),
    },
    {
      name: 'a slot beyond all slots',
      frame: tunnelFromNode2(serve, request, { sender: 65_535 }),
      ...dropped('forged-tunnel'),
    },
    {
      name: 'slot 0 from 0.0.0.0',
      frame: tunnelFromNode2(serve, request, { sender: 0, source: '0.0.0.0' }),
      ...dropped('forged-tunnel'),
    },
    {
      name: 'without the I flag (RFC 7348, 5)',
      frame: tunnelFromNode2(serve, request, { flags: 0xf7 }),
      ...dropped('malformed-tunnel'),
    },
    {
      name: 'other flags',
      reason: 'reserved, to be ignored (RFC 7348, 5)',
      frame: tunnelFromNode2(serve, request, { flags: 0xff }),
      out: stamped(serve, request),
      verdict: 'XDP_PASS',
      counts: { xdp_decapsulated: 1 },
    },
    {
      name: 'to another address of this node',
      frame: tunnelFromNode2(serve, request, { destination: '192.0.2.99' }),
      verdict: 'XDP_PASS',
      counts: { xdp_passed: 1 },
    },
  ];
  for (const vni of [0, 1, 0xffffff]) {
    rows.push({
      name: `VNI ${vni}`,
      reason: 'another tunnel of the kernel’s own on the same port',
      frame: tunnelFromNode2(serve, request, { vni }),
      verdict: 'XDP_PASS',
      counts: { xdp_passed: 1 },
    });
  }
  const around = (inner: Uint8Array): Uint8Array =>
    ethernet(
      { destination: macs.uplink, source: macs.node2 },
      tunnelAround({ source: hosts.node2, destination: hosts.self, sender: 2 }, inner),
    );
  rows.push({
    name: 'no stamp inside',
    frame: around(fromGateway(request)),
    ...dropped('forged-tunnel'),
  });
  for (const kind of [0, stampKinds.transmit, 5, 15]) {
    rows.push({
      name: `stamp of kind ${kind}`,
      frame: around(stamped({ ...serve, kind }, request)),
      ...dropped('malformed-tunnel'),
    });
  }
  const outer = { source: hosts.node2, destination: hosts.self };
  const inside = tunnelPacket({ ...outer, sender: 2, stamp: serve, inner: request });
  rows.push({
    name: 'IP options outside',
    frame: fromGateway(
      ipv4({ ...outer, protocol: protocols.udp, options: Uint8Array.of(1, 1, 1, 1) }, inside.subarray(20)),
    ),
    ...dropped('malformed-tunnel'),
  });
  runXdpTable(t, fixture, rows);
});

t.test('cut off anywhere', async (t) => {
  const whole = tunnelFromNode2(serve, request);
  const rows: Golden[] = [];
  for (let length = 14; length < whole.length; length += 1) {
    rows.push({
      name: `first ${length} bytes of the frame`,
      frame: whole.subarray(0, length),
      ...dropped('malformed-ip'),
    });
  }
  // The outer lengths are right for what is left, so that only the inner ones are not.
  const inner = stamped(serve, request);
  const header = { source: hosts.node2, destination: hosts.self, sender: 2 };
  for (let length = 0; length < inner.length; length += 1) {
    const short = length < 14 + 20;
    rows.push({
      name: `first ${length} bytes of the inner frame`,
      frame: ethernet(
        { destination: macs.uplink, source: macs.node2 },
        tunnelAround(header, inner.subarray(0, length)),
      ),
      ...dropped(short ? 'malformed-tunnel' : innerCutReason),
    });
  }
  for (let length = 0; length < 8; length += 1) {
    const packet = udpPacket({ ...header, sourcePort: 49_152, destinationPort: 4789, body: payload(length) });
    rows.push({
      name: `${length} bytes of VXLAN header`,
      frame: fromGateway(packet),
      ...dropped('malformed-tunnel'),
    });
  }
  runXdpTable(t, fixture, rows);
});

/** Lengths inside that reach behind the outer datagram. */
const innerCutReason = 'malformed-ip';

t.test('malformed inside', async (t) => {
  const client = ends();
  const rows: Golden[] = [];
  for (const [name, inner, reason] of [
    ['IP version', ipv4({ ...client, protocol: 6, version: 5 }, request.subarray(20)), 'malformed-ip'],
    [
      'IP header length',
      ipv4({ ...client, protocol: 6, headerWords: 4 }, request.subarray(20)),
      'malformed-ip',
    ],
    ['TCP header length', tcpPacket({ ...client, flags: 2, tcp: { headerWords: 4 } }), 'malformed-transport'],
    ['UDP length', udpPacket({ ...client, udp: { length: 7 } }), 'malformed-transport'],
  ] as const) {
    rows.push({ name, frame: tunnelFromNode2(serve, inner), ...dropped(reason) });
  }
  for (const stamp of [serve, reply, direct]) {
    for (const type of [etherTypes.arp, etherTypes.ipv6, etherTypes.vlan]) {
      rows.push({
        name: `stamp of kind ${stamp.kind} on EtherType ${type.toString(16)}`,
        frame: ethernet(
          { destination: macs.uplink, source: macs.node2 },
          tunnelAround(
            { source: hosts.node2, destination: hosts.self, sender: 2 },
            ethernet({ ...stampAddresses(stamp), type }, request),
          ),
        ),
        ...dropped('malformed-tunnel'),
      });
    }
  }
  const behind = concat(
    ethernet(
      { destination: macs.uplink, source: macs.node2 },
      udpPacket({
        source: hosts.node2,
        destination: hosts.self,
        sourcePort: 49_152,
        destinationPort: 4789,
        body: new Uint8Array(0),
      }),
    ),
    tunnelFromNode2(serve, request).subarray(42),
  );
  rows.push({
    name: 'all of it in the padding behind an empty datagram',
    frame: behind,
    ...dropped('malformed-tunnel'),
  });
  runXdpTable(t, fixture, rows);
});
