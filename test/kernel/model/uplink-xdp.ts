/**
 * What uplink_xdp must do with a frame, from the desired state itself and the words of the design: none of the maps
 * that the programs read, and none of their code. Only the hash and the tables of owners are shared with the agent,
 * since all nodes must agree on those; they have tests of their own.
 */
import { flowHash } from '../../../dataplane/flow-hash.ts';
import type { DesiredService, DesiredState } from '../../../dataplane/state/desired.ts';
import { ownersPerBucket, ownersTable } from '../../../dataplane/state/owners.ts';
import { hosts, macs, type Outcome, tunnelPort, tunnelVni } from '../fixture.ts';
import {
  concat,
  ethernet,
  icmp,
  ipv4,
  macText,
  protocols,
  stampAddresses,
  stampKinds,
  tcpFlags,
  tcpPacket,
  udp,
  vxlan,
} from '../packets.ts';
import { type ReadPacket, readFrame } from './read-packet.ts';

const mtu_bytes = 1500;
const tunnelBytes = 50;

type Frontend = { readonly slot: number; readonly service: DesiredService; readonly table: Uint32Array };

/** A state, prepared for many packets. */
export class UplinkXdpModel {
  readonly #state: DesiredState;
  readonly #seed: bigint;
  readonly #frontends = new Map<string, Frontend>();
  readonly #meshAddresses: ReadonlySet<string>;

  constructor(state: DesiredState, seed: bigint) {
    this.#state = state;
    this.#seed = seed;
    const self = state.nodes.find(({ slot }) => slot === state.self);
    for (const service of state.services) {
      const table = ownersTable(service.owners, service.generations, (slot) => this.#isPresent(slot));
      for (const { slot, address, port, protocol } of service.publishes) {
        const addresses = address === null ? [...(self?.addresses ?? [])] : [address];
        if (service.vip !== null) addresses.push(service.vip);
        for (const each of addresses) {
          this.#frontends.set(`${each} ${port} ${protocols[protocol]}`, { slot, service, table });
        }
      }
    }
    this.#meshAddresses = new Set([
      ...state.nodes.map(({ meshAddress }) => meshAddress),
      ...state.attachments.map(({ address }) => address),
    ]);
  }

  /** What must come of a frame of at least 14 bytes. */
  expect(frame: Uint8Array): Outcome {
    const outcome = this.#decide(frame);
    return { ...outcome, counts: { xdp_seen: 1, ...outcome.counts } };
  }

  #decide(frame: Uint8Array): Outcome {
    if (isStamp(frame)) return dropped(frame, 'forged-stamp');
    const packet = readFrame(frame);
    if (packet.kind === 'not-ipv4') return passed(frame);
    if (packet.kind === 'malformed-ip') return dropped(frame, packet.kind);
    if (isLoopback(packet.source) || isLoopback(packet.destination))
      return dropped(frame, 'loopback-on-wire');
    if (packet.kind === 'malformed-transport') return dropped(frame, packet.kind);
    if (packet.kind === 'other') return passed(frame);
    const isTunnel =
      packet.destination === hosts.self &&
      packet.protocol === protocols.udp &&
      packet.destinationPort === tunnelPort;
    if (isTunnel) return this.#fromTunnel(frame, packet);
    const key = `${packet.destination} ${packet.destinationPort} ${packet.protocol}`;
    const frontend = this.#frontends.get(key);
    return frontend === undefined ? passed(frame) : this.#balance(frame, packet, frontend);
  }

  /** Step 2 and 3 of the life of a connection: the bucket names the endpoint. */
  #balance(frame: Uint8Array, packet: ReadPacket, frontend: Frontend): Outcome {
    const hash = flowHash(packet, this.#seed);
    const bucket = hash & (frontend.table.length / ownersPerBucket - 1);
    const owner = frontend.table[bucket * ownersPerBucket] ?? 0;
    const endpoint = this.#state.endpoints.find(({ slot }) => slot === owner);
    const { syn, ack, rst, fin } = tcpFlags;
    const begins = packet.protocol === protocols.tcp && (packet.flags & (syn | ack | rst | fin)) === syn;
    const takesNone = frontend.service.owners.length === 0;
    if (endpoint === undefined || (takesNone && begins)) return refused(frame, packet);
    const stamp = stampAddresses({
      kind: stampKinds.serve,
      slot: owner,
      frontend: frontend.slot,
      node: this.#state.self,
    });
    const stampedFrame = ethernet(stamp, frame.subarray(14));
    if (endpoint.node === this.#state.self) {
      return { verdict: 'XDP_PASS', frame: stampedFrame, counts: { xdp_to_local_endpoint: 1 } };
    }
    const vtep = this.#vtep(endpoint.node);
    if (vtep === undefined) return dropped(frame, 'node-gone');
    if (packet.totalLength + tunnelBytes > mtu_bytes) return dropped(frame, 'too-big');
    // Padding behind the client's packet is in no length.
    const end = 14 + packet.totalLength;
    const outer = { source: hosts.self, destination: vtep };
    const sender = this.#state.self;
    const ports = { sourcePort: 0xc000 | (hash & 0x3fff), destinationPort: tunnelPort, checksum: 0 };
    const inner = vxlan({ sender, vni: tunnelVni }, stampedFrame.subarray(0, end));
    const typeOfService = packet.typeOfService & 0xfc;
    const tunnelled = ipv4({ ...outer, protocol: protocols.udp, typeOfService }, udp(outer, ports, inner));
    return send(vtep, concat(tunnelled, stampedFrame.subarray(end)), tunnelled.length, {
      xdp_encapsulated: 1,
    });
  }

  #fromTunnel(frame: Uint8Array, outer: ReadPacket): Outcome {
    if (outer.headerBytes !== 20 || outer.totalLength < tunnelBytes + 20)
      return dropped(frame, 'malformed-tunnel');
    const header = frame.subarray(42, 50);
    const field = (start: number, end: number): number =>
      [...header.subarray(start, end)].reduce((value, octet) => value * 256 + octet, 0);
    if ((field(0, 1) & 8) === 0) return dropped(frame, 'malformed-tunnel');
    if (field(4, 7) !== tunnelVni) return passed(frame);
    const inside = frame.subarray(50);
    const isNode = this.#vtep(field(2, 4)) === outer.source;
    if (!isNode || !isStamp(inside)) return dropped(frame, 'forged-tunnel');
    const kind = (inside[2] ?? 0) >> 4;
    if (kind < stampKinds.serve || kind > stampKinds.direct) return dropped(frame, 'malformed-tunnel');
    const inner = readFrame(inside);
    if (inner.kind === 'not-ipv4') return dropped(frame, 'malformed-tunnel');
    if (inner.kind === 'malformed-ip') return dropped(frame, inner.kind);
    if (inner.totalLength + tunnelBytes > outer.totalLength) return dropped(frame, 'malformed-tunnel');
    if (inner.kind === 'malformed-transport') return dropped(frame, inner.kind);
    const counts = { xdp_decapsulated: 1 };
    if (kind !== stampKinds.reply || this.#meshAddresses.has(inner.destination)) {
      return { verdict: 'XDP_PASS', frame: inside, counts };
    }
    return send(inner.destination, inside.subarray(14), inner.totalLength, { ...counts, xdp_returned: 1 });
  }

  #vtep(slot: number): string | undefined {
    return this.#state.nodes.find((node) => node.slot === slot)?.vtep;
  }

  /** Whether an earlier owner may still have flows: it exists, on a node of the cluster, heard from or not. */
  #isPresent(slot: number): boolean {
    const endpoint = this.#state.endpoints.find((each) => each.slot === slot);
    return this.#state.nodes.some((node) => node.slot === endpoint?.node);
  }
}

function isStamp(frame: Uint8Array): boolean {
  return frame[0] === 0x5a && frame[1] === 0x53;
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.');
}

function passed(frame: Uint8Array): Outcome {
  return { verdict: 'XDP_PASS', frame, counts: { xdp_passed: 1 } };
}

function dropped(frame: Uint8Array, reason: string): Outcome {
  return { verdict: 'XDP_DROP', frame, counts: { [`drop:${reason}`]: 1 } };
}

/** What a host without a listener would answer (RFC 9293, 3.10.7.1; RFC 792), back the way that it came. */
function refused(frame: Uint8Array, packet: ReadPacket): Outcome {
  const { syn, fin, rst, ack } = tcpFlags;
  const reason = { 'drop:no-endpoint': 1 };
  if (packet.flags & rst) return { verdict: 'XDP_DROP', frame, counts: reason };
  const back = { destination: macText(frame.subarray(6, 12)), source: macText(frame.subarray(0, 6)) };
  const ends = { source: packet.destination, destination: packet.source };
  const counts = { ...reason, xdp_refused: 1 };
  if (packet.protocol === protocols.udp) {
    const view = new DataView(packet.header.buffer, packet.header.byteOffset);
    const quoted = ipv4(
      {
        source: packet.source,
        destination: packet.destination,
        protocol: protocols.udp,
        typeOfService: packet.typeOfService,
        identification: view.getUint16(4),
        fragment: view.getUint16(6),
        timeToLive: view.getUint8(8),
        totalLength: packet.totalLength - packet.headerBytes + 20,
      },
      packet.transport.subarray(0, 8),
    );
    const answer = ipv4({ ...ends, protocol: protocols.icmp }, icmp(3, 3, 0, quoted));
    return { verdict: 'XDP_TX', frame: ethernet(back, answer), counts };
  }
  const view = new DataView(packet.transport.buffer, packet.transport.byteOffset);
  const payload_bytes = packet.transport.length - (view.getUint8(12) >> 4) * 4;
  const octets = payload_bytes + (packet.flags & syn ? 1 : 0) + (packet.flags & fin ? 1 : 0);
  const numbers =
    packet.flags & ack
      ? { flags: rst, tcp: { sequence: view.getUint32(8) } }
      : { flags: rst | ack, tcp: { acknowledgement: (view.getUint32(4) + octets) >>> 0 } };
  const answer = tcpPacket({
    ...ends,
    sourcePort: packet.destinationPort,
    destinationPort: packet.sourcePort,
    ...numbers,
  });
  return { verdict: 'XDP_TX', frame: ethernet(back, answer), counts };
}

/** Where the fixture's routes and neighbours lead. */
function nextHop(destination: string): { mac?: string; device: 'uplink' | 'second' } | undefined {
  const known = new Map<string, string>([
    [hosts.node2, macs.node2],
    [hosts.gateway, macs.gateway],
    [hosts.neighbour, macs.neighbour],
  ]);
  // The node's own addresses and those for all are not forwarded to.
  if (
    [hosts.self, '203.0.113.1'].includes(destination) ||
    /^(192\.0\.2|203\.0\.113)\.(0|255)$/.test(destination)
  )
    return undefined;
  if (destination.startsWith('198.51.100.')) return { mac: macs.gateway, device: 'uplink' };
  if (destination === hosts.plain) return { mac: macs.plain, device: 'second' };
  if (destination.startsWith('203.0.113.')) return { device: 'second' };
  if (!destination.startsWith('192.0.2.')) return undefined;
  const mac = known.get(destination);
  return mac === undefined ? { device: 'uplink' } : { mac, device: 'uplink' };
}

function send(
  destination: string,
  packet: Uint8Array,
  length_bytes: number,
  counts: Record<string, number>,
): Outcome {
  const hop = nextHop(destination);
  if (hop !== undefined && length_bytes > mtu_bytes) {
    return { verdict: 'XDP_DROP', frame: new Uint8Array(0), counts: { ...counts, 'drop:too-big': 1 } };
  }
  if (hop?.mac === undefined) {
    const stamp = stampAddresses({ kind: stampKinds.transmit });
    return {
      verdict: 'XDP_PASS',
      frame: ethernet(stamp, packet),
      counts: { ...counts, xdp_next_hop_unresolved: 1 },
    };
  }
  const frame = ethernet({ destination: hop.mac, source: macs[hop.device] }, packet);
  return { verdict: hop.device === 'uplink' ? 'XDP_TX' : 'XDP_REDIRECT', frame, counts };
}
