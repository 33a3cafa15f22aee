/** uplink_ingress, a client's packet for an endpoint of this node: flow made, translated, delivered. */
import t, { type Test } from 'tap';
import { clusterState, endpoints, frontendSlot, ports } from './cluster.ts';
import { Fixture, hosts, macs, type Outcome } from './fixture.ts';
import { type Connection, entriesOf, flowTable } from './flow-table.ts';
import { compare, soundPacket } from './golden.ts';
import {
  ethernet,
  hex,
  payload,
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
/** What fits the tunnel on an uplink of 1500: less 50 for the tunnel and 40 for IP and TCP. */
const largestMss = 1410;
const client = { source: hosts.client, sourcePort: 40_000 };
const created = { flows_created: 1, served: 1 };

function serveStamp(port: number, slot: number, protocol: 'tcp' | 'udp' = 'tcp', node = 1): Stamp {
  return { kind: stampKinds.serve, slot, frontend: frontendSlot(port, protocol), node };
}

function toPort(
  destinationPort: number,
  flags: number,
  extra: Partial<Parameters<typeof tcpPacket>[0]> = {},
) {
  return tcpPacket({ ...client, destination: hosts.self, destinationPort, flags, ...extra });
}

function ingress(frame: Uint8Array): Outcome {
  return fixture.runTc('uplink_ingress', frame);
}

function checkFlows(t: Test, ...connections: readonly Connection[]): void {
  const order = (a: { direction: string }, b: { direction: string }): number =>
    a.direction.localeCompare(b.direction);
  t.strictSame(flowTable(fixture).sort(order), connections.flatMap(entriesOf).sort(order), 'flow table');
}

t.test('a socket of the host', async (t) => {
  const packet = toPort(ports.host, syn);
  const stamp = serveStamp(ports.host, endpoints.host, 'tcp', 2);
  const translated = toPort(ports.host, syn, { destination: '127.0.0.1', destinationPort: 9001 });
  compare(t, ingress(stamped(stamp, packet)), {
    name: 'SYN',
    reason: 'only destination and port change; the Ethernet header stays as it is',
    frame: stamped(stamp, packet),
    verdict: 'TC_ACT_OK',
    out: stamped(stamp, translated),
    counts: created,
  });
  checkFlows(t, {
    protocol: 6,
    client: '198.51.100.10:40000',
    frontend: '192.0.2.1:8101',
    endpoint: '127.0.0.1:9001',
    slot: endpoints.host,
    node: 2,
    forward: [1, 1, 40],
  });

  const data = toPort(ports.host, ack, { body: payload(101) });
  compare(t, ingress(stamped(stamp, data)), {
    name: 'ACK on the known flow',
    frame: stamped(stamp, data),
    verdict: 'TC_ACT_OK',
    out: stamped(
      stamp,
      toPort(ports.host, ack, { destination: '127.0.0.1', destinationPort: 9001, body: payload(101) }),
    ),
    counts: { served: 1 },
  });
  checkFlows(t, {
    protocol: 6,
    client: '198.51.100.10:40000',
    frontend: '192.0.2.1:8101',
    endpoint: '127.0.0.1:9001',
    slot: endpoints.host,
    node: 2,
    forward: [1 | 2, 2, 40 + 141],
  });
});

t.test('the frontend’s target port goes before the endpoint’s own', async (t) => {
  const stamp = serveStamp(ports.target, endpoints.host);
  compare(t, ingress(stamped(stamp, toPort(ports.target, syn))), {
    name: 'SYN',
    frame: new Uint8Array(0),
    verdict: 'TC_ACT_OK',
    out: stamped(stamp, toPort(ports.target, syn, { destination: '127.0.0.1', destinationPort: 9911 })),
    counts: created,
  });
});

t.test('a namespace', async (t) => {
  const stamp = serveStamp(ports.namespace, endpoints.namespace);
  const inside = { destination: hosts.namespace, destinationPort: 9004 };
  const delivered = { destination: macs.namespace, source: macs.mesh };
  compare(t, ingress(stamped(stamp, toPort(ports.namespace, syn))), {
    name: 'SYN',
    frame: new Uint8Array(0),
    verdict: 'TC_ACT_REDIRECT',
    out: ethernet(delivered, toPort(ports.namespace, syn, inside)),
    counts: created,
  });
  const udpStamp = serveStamp(ports.namespace, endpoints.namespace, 'udp');
  for (const [name, length, checksum] of [
    ['UDP', 30, undefined],
    ['UDP without a checksum', 31, 0],
  ] as const) {
    const udp = checksum === undefined ? {} : { udp: { checksum } };
    const datagram = { ...client, body: payload(length), ...udp };
    const packet = udpPacket({ ...datagram, destination: hosts.self, destinationPort: ports.namespace });
    compare(t, ingress(stamped(udpStamp, packet)), {
      name,
      frame: packet,
      verdict: 'TC_ACT_REDIRECT',
      out: ethernet(delivered, udpPacket({ ...datagram, ...inside })),
      counts: length === 30 ? created : { served: 1 },
    });
  }
});

t.test('a plain address, by NAT', async (t) => {
  const stamp = serveStamp(ports.nat, endpoints.nat);
  const packet = toPort(ports.nat, syn, { body: payload(5) });
  const outcome = ingress(stamped(stamp, packet));
  t.equal(outcome.verdict, 'TC_ACT_REDIRECT');
  t.strictSame(outcome.counts, created);
  const translated = soundPacket(t, outcome.frame, 'SYN');
  const port = new DataView(translated.buffer, translated.byteOffset).getUint16(20);
  t.ok(port >= 61_000 && port < 65_536, `port ${port} is one of NAT's`);
  const expected = toPort(ports.nat, syn, {
    source: hosts.self,
    sourcePort: port,
    destination: hosts.plain,
    destinationPort: 9005,
    body: payload(5),
  });
  t.strictSame(hex(translated), hex(expected));
  checkFlows(t, {
    protocol: 6,
    client: '198.51.100.10:40000',
    frontend: '192.0.2.1:8105',
    seenAs: `192.0.2.1:${port}`,
    endpoint: '203.0.113.15:9005',
    slot: endpoints.nat,
    node: 1,
    forward: [1, 1, 45],
  });
  const again = ingress(stamped(stamp, toPort(ports.nat, ack)));
  t.equal(
    new DataView(again.frame.buffer, again.frame.byteOffset).getUint16(34),
    port,
    'the port stays for the whole flow',
  );
});

t.test('the MSS that a SYN offers', async (t) => {
  const stamp = serveStamp(ports.host, endpoints.host);
  const mss = (value: number): number[] => [2, 4, value >> 8, value & 255];
  const most = mss(largestMss);
  for (const [name, options, expected] of [
    ['too big', mss(1460), most],
    ['the largest there is', mss(65_535), most],
    ['just too big', mss(largestMss + 1), most],
    ['as big as may be', most, most],
    ['smaller', mss(536), mss(536)],
    ['0', mss(0), mss(0)],
    ['absent', [], []],
    ['absent among others', [1, 3, 3, 7, 4, 2, 1, 1], [1, 3, 3, 7, 4, 2, 1, 1]],
    ['behind one NOP: at an odd offset', [1, ...mss(1460), 0, 0, 0], [1, ...most, 0, 0, 0]],
    ['behind two NOPs', [1, 1, ...mss(1460), 0, 0], [1, 1, ...most, 0, 0]],
    ['behind three NOPs', [1, 1, 1, ...mss(8960), 0], [1, 1, 1, ...most, 0]],
    ['behind window scale, odd', [3, 3, 7, ...mss(1460), 0], [3, 3, 7, ...most, 0]],
    [
      'behind timestamps and SACK permitted',
      [8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 4, 2, ...mss(1460)],
      [8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 4, 2, ...most],
    ],
    ['last of 40 bytes', [...Array(36).fill(1), ...mss(1460)], [...Array(36).fill(1), ...most]],
    ['behind the end of options', [0, 1, 1, 1, ...mss(1460)], [0, 1, 1, 1, ...mss(1460)]],
    ['behind an option of length 0', [9, 0, 1, 1, ...mss(1460)], [9, 0, 1, 1, ...mss(1460)]],
    ['behind an option of length 1', [9, 1, 1, 1, ...mss(1460)], [9, 1, 1, 1, ...mss(1460)]],
    ['behind an option that ends outside', [9, 250, 1, 1, ...mss(1460)], [9, 250, 1, 1, ...mss(1460)]],
    ['of a wrong length', [2, 3, 5, 180, 1, 1, 1, 1], [2, 3, 5, 180, 1, 1, 1, 1]],
    ['cut off by the header’s end', [1, 1, 2, 4], [1, 1, 2, 4]],
  ] as const) {
    for (const flags of [syn, syn | ack]) {
      fixture.clearFlows();
      // A SYN, ACK begins no flow, so it needs one.
      if (flags !== syn) ingress(stamped(stamp, toPort(ports.host, syn)));
      const packet = toPort(ports.host, flags, {
        tcp: { options: Uint8Array.from(options), sequence: 0x8000_0001, window: 0xffff },
        body: payload(7),
      });
      const outcome = ingress(stamped(stamp, packet));
      soundPacket(t, outcome.frame, name);
      compare(t, outcome, {
        name: `MSS ${name}, flags ${flags}`,
        frame: packet,
        verdict: 'TC_ACT_OK',
        out: stamped(
          stamp,
          toPort(ports.host, flags, {
            tcp: { options: Uint8Array.from(expected), sequence: 0x8000_0001, window: 0xffff },
            body: payload(7),
            destination: '127.0.0.1',
            destinationPort: 9001,
          }),
        ),
        counts: flags === syn ? created : { served: 1 },
      });
    }
  }
  fixture.clearFlows();
  ingress(stamped(stamp, toPort(ports.host, syn)));
  const body = toPort(ports.host, ack, { tcp: { options: Uint8Array.from(mss(1460)) } });
  const outcome = ingress(stamped(stamp, body));
  t.strictSame(
    hex(outcome.frame),
    hex(
      stamped(
        stamp,
        toPort(ports.host, ack, {
          tcp: { options: Uint8Array.from(mss(1460)) },
          destination: '127.0.0.1',
          destinationPort: 9001,
        }),
      ),
    ),
    'only a SYN is changed',
  );
});

t.test('addresses and checksums of every kind', async (t) => {
  const stamp = serveStamp(ports.host, endpoints.host);
  for (const [name, extra] of [
    ['IP options', { ip: { options: Uint8Array.of(7, 7, 4, 0, 0, 0, 0) } }],
    ['most IP options', { ip: { options: new Uint8Array(40).fill(1) } }],
    ['a type of service', { ip: { typeOfService: 0xb9, identification: 0xffff, timeToLive: 1 } }],
    ['odd payload', { body: payload(999) }],
    ['large payload', { body: payload(1400) }],
  ] as const) {
    fixture.clearFlows();
    const outcome = ingress(stamped(stamp, toPort(ports.host, syn, extra)));
    soundPacket(t, outcome.frame, name);
    compare(t, outcome, {
      name,
      frame: new Uint8Array(0),
      verdict: 'TC_ACT_OK',
      out: stamped(
        stamp,
        toPort(ports.host, syn, { ...extra, destination: '127.0.0.1', destinationPort: 9001 }),
      ),
      counts: created,
    });
  }
  const udpStamp = serveStamp(ports.host, endpoints.host, 'udp');
  // Payloads whose checksum after translation would be 0, which UDP writes as 0xffff.
  for (let word = 0; word < 0x10000; word += 1) {
    const body = Uint8Array.of(word >> 8, word & 255);
    const after = udpPacket({ ...client, destination: '127.0.0.1', destinationPort: 9001, body });
    if (after[26] !== 0xff || after[27] !== 0xff) continue;
    const before = udpPacket({ ...client, destination: hosts.self, destinationPort: ports.host, body });
    fixture.clearFlows();
    const outcome = ingress(stamped(udpStamp, before));
    t.strictSame(hex(outcome.frame), hex(stamped(udpStamp, after)), 'a checksum that comes to 0');
    return;
  }
  t.fail('no payload gives the checksum 0');
});

t.test('what cannot be served', async (t) => {
  const syns = toPort(ports.host, syn);
  for (const [name, stamp, packet, reason] of [
    ['an endpoint that does not exist', serveStamp(ports.host, 99), syns, 'endpoint-gone'],
    ['an endpoint of another node', serveStamp(ports.host, endpoints.remote), syns, 'endpoint-gone'],
    ['an endpoint beyond all slots', serveStamp(ports.host, 0xffffff), syns, 'endpoint-gone'],
    [
      'a fragment',
      serveStamp(ports.host, endpoints.host),
      toPort(ports.host, syn, { ip: { fragment: 0x2000 } }),
      'fragment',
    ],
    [
      'IP header too short',
      serveStamp(ports.host, endpoints.host),
      toPort(ports.host, syn, { ip: { headerWords: 4 } }),
      'malformed-ip',
    ],
    [
      'TCP header too short',
      serveStamp(ports.host, endpoints.host),
      toPort(ports.host, syn, { tcp: { headerWords: 4 } }),
      'malformed-transport',
    ],
    ['a kind of stamp that is none', { kind: 9, slot: endpoints.host }, syns, 'no-route'],
  ] as const) {
    compare(t, ingress(stamped(stamp, packet)), {
      name,
      frame: stamped(stamp, packet),
      verdict: 'TC_ACT_SHOT',
      counts: { [`drop:${reason}`]: 1 },
    });
  }
  t.strictSame(flowTable(fixture), [], 'no flow is made');
});
