/** Golden packets: what goes in, and exactly what must come out. */
import type { Test } from 'tap';
import { flowHash } from '../../dataplane/flow-hash.ts';
import { type Fixture, hosts, macs, type Outcome, tunnelPort, tunnelVni } from './fixture.ts';
import {
  concat,
  ethernet,
  hex,
  ipv4,
  protocols,
  type Stamp,
  stamped,
  udp,
  vxlan,
  wrongChecksums,
} from './packets.ts';

/** One row of a table. */
export type Golden = {
  readonly name: string;
  /** Why it must be so, where the name does not say it. */
  readonly reason?: string;
  readonly frame: Uint8Array;
  readonly verdict: string;
  /** Default: the frame as it came in. */
  readonly out?: Uint8Array;
  /** Every counter that changes, and no other may. */
  readonly counts: Record<string, number>;
};

/** Compares verdict, bytes and counters. */
export function compare(t: Test, outcome: Outcome, golden: Golden): void {
  const { name, reason, frame, verdict, out = frame, counts } = golden;
  const title = reason === undefined ? name : `${name}: ${reason}`;
  t.strictSame(
    { verdict: outcome.verdict, counts: outcome.counts, frame: hex(outcome.frame) },
    { verdict, counts, frame: hex(out) },
    title,
  );
}

/** Runs a table for `uplink_xdp`; every row counts as seen besides what it names. */
export function runXdpTable(t: Test, fixture: Fixture, rows: readonly Golden[]): void {
  for (const row of rows) {
    compare(t, fixture.runXdp(row.frame), { ...row, counts: { xdp_seen: 1, ...row.counts } });
  }
}

/** A frame that the gateway sends to the uplink. */
export function fromGateway(packet: Uint8Array): Uint8Array {
  return ethernet({ destination: macs.uplink, source: macs.gateway }, packet);
}

/** The addresses of the next hop of a packet that leaves by the uplink. */
export const towards = {
  node2: { destination: macs.node2, source: macs.uplink },
  gateway: { destination: macs.gateway, source: macs.uplink },
  neighbour: { destination: macs.neighbour, source: macs.uplink },
} as const;

/** What a node sends through the tunnel, without the outer Ethernet header. */
export type TunnelOptions = {
  readonly source: string;
  readonly destination: string;
  readonly sender: number;
  readonly stamp: Stamp;
  readonly inner: Uint8Array;
  readonly sourcePort?: number;
  readonly typeOfService?: number;
  readonly vni?: number;
  readonly flags?: number;
};

export function tunnelPacket(options: TunnelOptions): Uint8Array {
  return tunnelAround(options, stamped(options.stamp, options.inner));
}

/** The same around any inner frame. */
export function tunnelAround(
  options: Omit<TunnelOptions, 'stamp' | 'inner'>,
  innerFrame: Uint8Array,
): Uint8Array {
  const { source, destination, sender, vni = tunnelVni, flags = 0x08 } = options;
  const datagram = udp(
    { source, destination },
    { sourcePort: options.sourcePort ?? 0xc000, destinationPort: tunnelPort, checksum: 0 },
    vxlan({ sender, vni, flags }, innerFrame),
  );
  const typeOfService = options.typeOfService ?? 0;
  return ipv4({ source, destination, protocol: protocols.udp, typeOfService }, datagram);
}

/** The outer source port for an inner TCP or UDP packet without IP options: 14 bits of the flow's hash. */
export function tunnelSourcePort(fixture: Fixture, inner: Uint8Array): number {
  const view = new DataView(inner.buffer, inner.byteOffset);
  const address = (at: number): string => inner.subarray(at, at + 4).join('.');
  const header_bytes = (view.getUint8(0) & 15) * 4;
  const hash = flowHash(
    {
      source: address(12),
      destination: address(16),
      sourcePort: view.getUint16(header_bytes),
      destinationPort: view.getUint16(header_bytes + 2),
      protocol: view.getUint8(9),
    },
    fixture.constants.hashSeed,
  );
  return 0xc000 | (hash & 0x3fff);
}

/** From this node to another, as the programs must write it. */
export function tunnelFromSelf(
  fixture: Fixture,
  destination: string,
  stamp: Stamp,
  inner: Uint8Array,
  options: { sourcePort?: number; typeOfService?: number } = {},
): Uint8Array {
  const sourcePort = options.sourcePort ?? tunnelSourcePort(fixture, inner);
  const { typeOfService = 0 } = options;
  return tunnelPacket({
    source: hosts.self,
    destination,
    sender: fixture.constants.selfNode,
    stamp,
    inner,
    sourcePort,
    typeOfService,
  });
}

/** From node 2 to this one, as it arrives. */
export function tunnelFromNode2(
  stamp: Stamp,
  inner: Uint8Array,
  options: Partial<TunnelOptions> = {},
): Uint8Array {
  return ethernet(
    { destination: macs.uplink, source: macs.node2 },
    tunnelPacket({
      source: hosts.node2,
      destination: hosts.self,
      sender: 2,
      stamp,
      inner,
      ...options,
    }),
  );
}

/** The IP packet of an outcome, after checking that all its checksums are right. */
export function soundPacket(t: Test, frame: Uint8Array, what: string): Uint8Array {
  const packet = frame.subarray(14);
  t.strictSame(wrongChecksums(packet), [], `${what}: checksums`);
  return packet;
}

/** A frame with zeros behind it, as Ethernet pads what is shorter than 60 bytes. */
export function ethernetPadded(frame: Uint8Array): Uint8Array {
  return frame.length >= 60 ? frame : concat(frame, new Uint8Array(60 - frame.length));
}
