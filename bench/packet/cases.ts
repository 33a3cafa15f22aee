/** What is sent through the programs, and how much of it: one case for each row of the table. */
import type { DesiredEndpoint, DesiredService, DesiredState } from '../../dataplane/state/desired.ts';
import { hosts, macs, tunnelPort, tunnelVni } from '../../test/kernel/fixture.ts';
import {
  ethernet,
  ipv4,
  protocols,
  stamped,
  stampKinds,
  tcpFlags,
  tcpPacket,
  udp,
  udpPacket,
  vxlan,
} from '../../test/kernel/packets.ts';

/** Floors measure the machine and the method; the others, shoal's program on the uplink. */
export type Program = 'floor_transmit' | 'floor_parse' | 'floor_encapsulate' | 'uplink_xdp';

export type PacketCase = {
  readonly name: string;
  readonly about: string;
  readonly program: Program;
  readonly frame: Uint8Array;
  /** Flows that come in turn: a power of two. */
  readonly flows: number;
  /** The cluster; a small one unless told. */
  readonly state?: () => DesiredState;
};

const publishedPort = 8080;
const localPort = 8081;

function node(slot: number, vtep: string): DesiredState['nodes'][number] {
  return { slot, vtep, meshAddress: `10.250.0.${slot}`, addresses: [vtep] };
}

/** Services on one port each, from `publishedPort` on and over the VIPs, whose endpoints are all on node 2. */
export function clusterOf(services: number, endpointsEach: number): DesiredState {
  const endpoints: DesiredEndpoint[] = [];
  const list: DesiredService[] = [];
  let slot = 1;
  for (let index = 0; index < services; index += 1) {
    const owners: number[] = [];
    for (let endpoint = 0; endpoint < endpointsEach; endpoint += 1) {
      endpoints.push({ slot, address: '127.0.0.1', port: 3000, kind: 'host', node: 2 });
      owners.push(slot);
      slot += 1;
    }
    list.push({
      id: `service-${index}`,
      vip: `10.248.${index >> 8}.${index & 255}`,
      publishes: [
        { slot: index + 1, address: '10.255.255.255', port: publishedPort, target: null, protocol: 'tcp' },
      ].map((publish) =>
        index === 0 ? { ...publish, address: null } : publish,
      ) as DesiredService['publishes'],
      owners,
      generations: [],
    });
  }
  const udpService: DesiredService = {
    id: 'udp',
    vip: null,
    publishes: [{ slot: services + 1, address: null, port: publishedPort, target: null, protocol: 'udp' }],
    owners: [1],
    generations: [],
  };
  const local: DesiredService = {
    id: 'local',
    vip: null,
    publishes: [{ slot: services + 2, address: null, port: localPort, target: null, protocol: 'tcp' }],
    owners: [slot],
    generations: [],
  };
  endpoints.push({ slot, address: '127.0.0.1', port: 3000, kind: 'host', node: 1 });
  return {
    self: 1,
    nodes: [node(1, hosts.self), node(2, hosts.node2)],
    services: [...list, udpService, local],
    endpoints,
    attachments: [],
    sharedAddresses: [],
  };
}

function frame(packet: Uint8Array): Uint8Array {
  return ethernet({ destination: macs.uplink, source: macs.gateway }, packet);
}

function tcpFrame(flags: number, destinationPort = publishedPort): Uint8Array {
  const ends = { source: hosts.client, destination: hosts.self, sourcePort: 40_000, destinationPort };
  return frame(tcpPacket({ ...ends, flags, body: new Uint8Array(10) }));
}

/** A reply of node 2 to a client behind the gateway, in the tunnel. */
function replyFrame(): Uint8Array {
  const reply = tcpPacket({
    source: hosts.self,
    destination: hosts.client,
    sourcePort: publishedPort,
    destinationPort: 40_000,
    flags: tcpFlags.ack,
    body: new Uint8Array(32),
  });
  const inner = vxlan(
    { sender: 2, vni: tunnelVni },
    stamped({ kind: stampKinds.reply, slot: 1, node: 2 }, reply),
  );
  const ends = { source: hosts.node2, destination: hosts.self };
  const ports = { sourcePort: 50_000, destinationPort: tunnelPort };
  return frame(ipv4({ ...ends, protocol: protocols.udp }, udp(ends, { ...ports, checksum: 0 }, inner)));
}

const established = tcpFrame(tcpFlags.ack);
const udpFrame = frame(
  udpPacket({
    source: hosts.client,
    destination: hosts.self,
    sourcePort: 40_000,
    destinationPort: publishedPort,
    body: new Uint8Array(22),
  }),
);

/** Every case, floors first. */
export const cases: readonly PacketCase[] = [
  {
    name: 'transmit',
    about: 'floor: the generator and XDP_TX',
    program: 'floor_transmit',
    frame: established,
    flows: 1,
  },
  {
    name: 'parse',
    about: 'floor: parse, swap addresses',
    program: 'floor_parse',
    frame: established,
    flows: 1,
  },
  {
    name: 'encapsulate',
    about: 'floor: 50 bytes in front, no map',
    program: 'floor_encapsulate',
    frame: established,
    flows: 1,
  },
  {
    name: 'tcp-1',
    about: 'established TCP to another node, 1 flow',
    program: 'uplink_xdp',
    frame: established,
    flows: 1,
  },
  {
    name: 'tcp-64k',
    about: 'the same, 65,536 flows in turn',
    program: 'uplink_xdp',
    frame: established,
    flows: 2 ** 16,
  },
  {
    name: 'tcp-1m',
    about: 'the same, 1,048,576 flows in turn',
    program: 'uplink_xdp',
    frame: established,
    flows: 2 ** 20,
  },
  {
    name: 'syn',
    about: 'SYNs, every one a new flow',
    program: 'uplink_xdp',
    frame: tcpFrame(tcpFlags.syn),
    flows: 2 ** 31,
  },
  { name: 'udp-1', about: 'UDP to another node, 1 flow', program: 'uplink_xdp', frame: udpFrame, flows: 1 },
  {
    name: 'not-ours',
    about: 'TCP to a port that is not published',
    program: 'uplink_xdp',
    frame: tcpFrame(tcpFlags.ack, 22),
    flows: 1,
  },
  {
    name: 'local',
    about: 'to an endpoint on this node: stamped, passed',
    program: 'uplink_xdp',
    frame: tcpFrame(tcpFlags.ack, localPort),
    flows: 1,
  },
  {
    name: 'reply',
    about: 'a reply out of the tunnel, to its client',
    program: 'uplink_xdp',
    frame: replyFrame(),
    flows: 1,
  },
  {
    name: 'services-10',
    about: 'tcp-64k with 10 services',
    program: 'uplink_xdp',
    frame: established,
    flows: 2 ** 16,
    state: () => clusterOf(10, 2),
  },
  {
    name: 'services-10k',
    about: 'tcp-64k with 10,000 services',
    program: 'uplink_xdp',
    frame: established,
    flows: 2 ** 16,
    state: () => clusterOf(10_000, 2),
  },
  {
    name: 'endpoints-1000',
    about: 'tcp-64k with 1,000 endpoints',
    program: 'uplink_xdp',
    frame: established,
    flows: 2 ** 16,
    state: () => clusterOf(1, 1_000),
  },
];
