/** Random states and random frames: valid, damaged, cut off and padded. */
import type {
  DesiredEndpoint,
  DesiredNode,
  DesiredService,
  DesiredState,
} from '../../../dataplane/state/desired.ts';
import type { Random } from '../../sim/random.ts';
import { hosts, macs, tunnelPort } from '../fixture.ts';
import { type TunnelOptions, tunnelAround } from '../golden.ts';
import {
  concat,
  ethernet,
  etherTypes,
  type Ipv4Header,
  icmp,
  ipv4,
  payload,
  protocols,
  stampAddresses,
  type TcpHeader,
  tcpPacket,
  udpPacket,
} from '../packets.ts';

const vteps = [hosts.self, hosts.node2, hosts.unresolved, '198.51.100.4', '203.0.113.15', '8.8.8.8'];
const clients = [hosts.client, hosts.neighbour, '198.51.100.77', '127.0.0.1', '0.0.0.0', '255.255.255.255'];
const publishedPorts = [80, 443, 8080, 53, tunnelPort];
const highestSlot = 20;

function slots(random: Random, most: number): number[] {
  const all = Array.from({ length: highestSlot }, (_, index) => index + 1);
  return random.shuffle(all).slice(0, random.between(0, most));
}

/** A state of a few nodes and services, some of them without endpoints, some endpoints without nodes. */
export function randomState(random: Random): DesiredState {
  const count = random.between(1, vteps.length);
  const nodes = vteps.slice(0, count).map<DesiredNode>((vtep, index) => ({
    slot: index + 1,
    vtep,
    meshAddress: `10.250.0.${index + 1}`,
    addresses: index === 0 && random.chance(0.3) ? [vtep, '192.0.2.100'] : [vtep],
  }));
  const endpoints = slots(random, highestSlot).map<DesiredEndpoint>((slot) => ({
    slot,
    address: '127.0.0.1',
    port: 9000 + slot,
    kind: random.pick(['host', 'namespace', 'nat'] as const),
    node: random.between(1, count + 1),
  }));
  const existing = endpoints.map(({ slot }) => slot);
  const present = (list: readonly number[]): number[] =>
    random.chance(0.9) ? list.filter((slot) => existing.includes(slot)) : [...list];
  const services: DesiredService[] = [];
  const taken = new Set<string>();
  for (let index = 0; index < random.between(1, 6); index += 1) {
    const vip = random.chance(0.4) ? `10.248.0.${index + 1}` : null;
    const publishes = [];
    for (let number = 0; number < random.between(0, 3); number += 1) {
      const port = random.pick(publishedPorts);
      const protocol = random.pick(['tcp', 'udp'] as const);
      if (taken.has(`${port}/${protocol}`)) continue;
      taken.add(`${port}/${protocol}`);
      publishes.push({
        slot: 1 + index * 3 + number,
        address: random.chance(0.2) ? '192.0.2.200' : null,
        port,
        target: random.chance(0.3) ? 7000 : null,
        protocol,
      });
    }
    services.push({
      id: `service-${index}`,
      vip,
      publishes,
      owners: random.chance(0.15) ? [] : present(slots(random, 5)),
      generations: Array.from({ length: random.between(0, 3) }, () => slots(random, 5)),
    });
  }
  const attachments = ['10.249.0.14', '10.249.0.22'].map((address, index) => ({
    id: address,
    address,
    node: index + 1,
    netns: '/run/netns/unused',
  }));
  return { self: 1, nodes, services, endpoints, attachments, sharedAddresses: [] };
}

/** A frame for a state; one in three is damaged in some way. */
export function randomFrame(random: Random, state: DesiredState): Uint8Array {
  const whole = random.chance(0.3) ? tunnelled(random, state) : fromClient(random, state);
  return random.chance(0.35) ? damaged(random, whole) : whole;
}

function fromClient(random: Random, state: DesiredState): Uint8Array {
  const addresses = { destination: macs.uplink, source: macs.gateway };
  if (random.chance(0.03)) {
    const type = random.pick([etherTypes.arp, etherTypes.ipv6, etherTypes.vlan, 0, 0xffff]);
    return ethernet({ ...addresses, type }, payload(random.between(0, 60)));
  }
  return ethernet(addresses, clientPacket(random, state));
}

/** An IPv4 packet, mostly for a frontend of the state. */
function clientPacket(random: Random, state: DesiredState): Uint8Array {
  const published = state.services.flatMap(({ vip, publishes }) =>
    publishes.map(({ address, port, protocol }) => ({ addresses: [address, vip], port, protocol })),
  );
  const target = published.length > 0 && random.chance(0.85) ? random.pick(published) : undefined;
  const own = [hosts.self, '192.0.2.100', hosts.node2, '127.0.0.1'];
  const special = (target?.addresses ?? []).filter((address) => address !== null);
  const destination =
    special.length > 0 && random.chance(0.5)
      ? random.pick(special)
      : random.chance(0.85)
        ? hosts.self
        : random.pick(own);
  const ends = {
    source: random.chance(0.9) ? random.pick(clients.slice(0, 3)) : random.pick(clients),
    destination,
    sourcePort: random.between(0, 65_535),
    destinationPort: target?.port ?? random.between(0, 65_535),
  };
  const ip: Partial<Ipv4Header> = {
    typeOfService: random.chance(0.3) ? random.between(0, 255) : 0,
    identification: random.between(0, 65_535),
    timeToLive: random.between(0, 255),
    fragment: random.chance(0.04) ? random.between(0, 65_535) : random.pick([0, 0x4000]),
    ...(random.chance(0.15) ? { options: random.bytes(random.between(1, 40)) } : {}),
  };
  const body = payload(random.chance(0.1) ? random.between(1300, 1460) : random.between(0, 40));
  if (random.chance(0.03))
    return ipv4({ ...ends, protocol: random.pick([1, 2, 47, 132, 255]), ...ip }, icmp(8, 0, 1, body));
  if ((target?.protocol ?? random.pick(['tcp', 'udp'])) === 'udp') return udpPacket({ ...ends, body, ip });
  const tcp: Partial<TcpHeader> = {
    sequence: random.between(0, 2 ** 32 - 1),
    acknowledgement: random.between(0, 2 ** 32 - 1),
    ...(random.chance(0.2) ? { options: random.bytes(random.between(1, 40)) } : {}),
  };
  const flags = random.chance(0.7) ? random.pick([2, 16, 18, 17, 4, 24]) : random.between(0, 255);
  return tcpPacket({ ...ends, flags, tcp, body, ip });
}

/** From another node, or from one that claims to be. */
function tunnelled(random: Random, state: DesiredState): Uint8Array {
  const node = random.pick(state.nodes);
  const outer: Omit<TunnelOptions, 'stamp' | 'inner'> = {
    source: random.chance(0.95) ? node.vtep : random.pick(clients),
    destination: hosts.self,
    sender: random.chance(0.95) ? node.slot : random.between(0, 70_000) & 0xffff,
    sourcePort: random.between(0, 65_535),
    ...(random.chance(0.05) ? { vni: random.between(0, 0xffffff) } : {}),
    ...(random.chance(0.05) ? { flags: random.between(0, 255) } : {}),
  };
  const stamp = {
    kind: random.chance(0.95) ? random.between(1, 3) : random.between(0, 15),
    hop: random.between(0, 15),
    slot: random.between(0, 0xffffff),
    frontend: random.between(0, 0xffffff),
    node: random.between(0, 0xffff),
  };
  const inner = random.chance(0.5) ? clientPacket(random, state) : reply(random);
  const header = random.chance(0.97)
    ? stampAddresses(stamp)
    : { destination: macs.uplink, source: macs.gateway };
  const body = concat(
    ethernet(header, inner),
    new Uint8Array(random.chance(0.1) ? random.between(0, 20) : 0),
  );
  return ethernet({ destination: macs.uplink, source: macs.node2 }, tunnelAround(outer, body));
}

function reply(random: Random): Uint8Array {
  const destination = random.pick([
    ...clients,
    ...vteps,
    '192.0.2.77',
    '192.0.2.255',
    '203.0.113.9',
    '10.250.0.1',
    '10.249.0.14',
    '10.249.0.22',
  ]);
  const ends = { source: hosts.node2, destination, sourcePort: 80, destinationPort: 40_000 };
  const body = payload(random.chance(0.1) ? random.between(1400, 1500) : random.between(0, 60));
  if (random.chance(0.2)) return ipv4({ ...ends, protocol: protocols.icmp }, icmp(3, 3, 0, body));
  return random.chance(0.5) ? udpPacket({ ...ends, body }) : tcpPacket({ ...ends, flags: 16, body });
}

/** Bytes changed, the end cut off, or bytes behind the end. At least an Ethernet header stays. */
function damaged(random: Random, frame: Uint8Array): Uint8Array {
  const result = Uint8Array.from(frame);
  const kind = random.between(0, 2);
  if (kind === 0) return result.subarray(0, random.between(14, result.length));
  if (kind === 1) return concat(result, random.bytes(random.between(1, 30)));
  for (let change = 0; change < random.between(1, 3); change += 1) {
    const at = random.between(0, Math.min(result.length, 120) - 1);
    result[at] = random.chance(0.5)
      ? random.between(0, 255)
      : (result[at] ?? 0) ^ (1 << random.between(0, 7));
  }
  return result;
}
