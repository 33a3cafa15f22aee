/**
 * Builds frames byte by byte from the RFCs: Ethernet with 802.1Q tags, IPv4 (RFC 791), TCP (RFC 9293), UDP
 * (RFC 768), ICMP (RFC 792), VXLAN (RFC 7348), and the stamp of bpf/include/stamp.h. Checksums are right unless a
 * field is given on purpose, so that a wrong packet is as easy to make as a right one.
 */
import { formatIpv4, parseIpv4 } from '../../dataplane/addresses.ts';

export const protocols = { icmp: 1, tcp: 6, udp: 17 } as const;
export const etherTypes = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;
/** Bits of the 14th byte of a TCP header. */
export const tcpFlags = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;
export const stampKinds = { serve: 1, reply: 2, direct: 3, transmit: 4 } as const;
/** Hop of a packet that came back to the current owner. */
export const finalHop = 15;

/** Joins byte strings. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** `length` bytes of payload that differ from each other and from zeros. */
export function payload(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 7 + 33) & 255);
}

/** The Internet checksum (RFC 1071) of `parts` one after the other; all but the last have an even length. */
export function internetChecksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) sum += ((part[at] ?? 0) << 8) | (part[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** The pseudo-header that TCP and UDP checksums cover. */
export function pseudoHeader(
  source: string,
  destination: string,
  protocol: number,
  length_bytes: number,
): Uint8Array {
  const header = new Uint8Array(12);
  const view = new DataView(header.buffer);
  view.setUint32(0, parseIpv4(source));
  view.setUint32(4, parseIpv4(destination));
  view.setUint8(9, protocol);
  view.setUint16(10, length_bytes);
  return header;
}

export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':'), (octet) => Number.parseInt(octet, 16));
}

export function macText(bytes: Uint8Array): string {
  return [...bytes].map((octet) => octet.toString(16).padStart(2, '0')).join(':');
}

export type EthernetHeader = {
  readonly destination: string;
  readonly source: string;
  readonly type?: number;
  /** 802.1Q tag control information; no tag if left out. */
  readonly vlan?: number;
};

export function ethernet(header: EthernetHeader, body: Uint8Array): Uint8Array {
  const tag = header.vlan === undefined ? [] : [0x81, 0x00, header.vlan >> 8, header.vlan & 255];
  const type = header.type ?? etherTypes.ipv4;
  return concat(
    macBytes(header.destination),
    macBytes(header.source),
    Uint8Array.of(...tag, type >> 8, type & 255),
    body,
  );
}

export type Ipv4Header = {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly typeOfService?: number;
  readonly identification?: number;
  /** Flags and offset, 16 bits as on the wire. Default: do not fragment. */
  readonly fragment?: number;
  readonly timeToLive?: number;
  /** Padded to a multiple of 4. */
  readonly options?: Uint8Array;
  /** Fields given on purpose. */
  readonly version?: number;
  readonly headerWords?: number;
  readonly totalLength?: number;
  readonly checksum?: number;
};

export function ipv4(header: Ipv4Header, body: Uint8Array): Uint8Array {
  const options = padded(header.options ?? new Uint8Array(0));
  const bytes = new Uint8Array(20 + options.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, ((header.version ?? 4) << 4) | (header.headerWords ?? bytes.length / 4));
  view.setUint8(1, header.typeOfService ?? 0);
  view.setUint16(2, header.totalLength ?? bytes.length + body.length);
  view.setUint16(4, header.identification ?? 0);
  view.setUint16(6, header.fragment ?? 0x4000);
  view.setUint8(8, header.timeToLive ?? 64);
  view.setUint8(9, header.protocol);
  view.setUint32(12, parseIpv4(header.source));
  view.setUint32(16, parseIpv4(header.destination));
  bytes.set(options, 20);
  view.setUint16(10, header.checksum ?? internetChecksum(bytes));
  return concat(bytes, body);
}

function padded(options: Uint8Array): Uint8Array {
  const result = new Uint8Array(Math.ceil(options.length / 4) * 4);
  result.set(options);
  return result;
}

type Ends = { readonly source: string; readonly destination: string };

export type TcpHeader = {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence?: number;
  readonly acknowledgement?: number;
  readonly flags: number;
  readonly window?: number;
  /** Padded to a multiple of 4. */
  readonly options?: Uint8Array;
  /** Fields given on purpose. */
  readonly headerWords?: number;
  readonly checksum?: number;
};

export function tcp(ends: Ends, header: TcpHeader, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const options = padded(header.options ?? new Uint8Array(0));
  const bytes = new Uint8Array(20 + options.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, header.sourcePort);
  view.setUint16(2, header.destinationPort);
  view.setUint32(4, header.sequence ?? 0);
  view.setUint32(8, header.acknowledgement ?? 0);
  view.setUint8(12, (header.headerWords ?? bytes.length / 4) << 4);
  view.setUint8(13, header.flags);
  view.setUint16(14, header.window ?? 0);
  bytes.set(options, 20);
  const pseudo = pseudoHeader(ends.source, ends.destination, protocols.tcp, bytes.length + body.length);
  view.setUint16(16, header.checksum ?? internetChecksum(pseudo, bytes, body));
  return concat(bytes, body);
}

export type UdpHeader = {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Fields given on purpose. A checksum of 0 means none. */
  readonly length?: number;
  readonly checksum?: number;
};

export function udp(ends: Ends, header: UdpHeader, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, header.sourcePort);
  view.setUint16(2, header.destinationPort);
  view.setUint16(4, header.length ?? bytes.length + body.length);
  const pseudo = pseudoHeader(ends.source, ends.destination, protocols.udp, bytes.length + body.length);
  view.setUint16(6, header.checksum ?? (internetChecksum(pseudo, bytes, body) || 0xffff));
  return concat(bytes, body);
}

/** `rest`: the 32 bits behind the checksum. */
export function icmp(type: number, code: number, rest: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint8(1, code);
  view.setUint32(4, rest);
  view.setUint16(2, internetChecksum(bytes, body));
  return concat(bytes, body);
}

export type VxlanHeader = { readonly sender: number; readonly vni: number; readonly flags?: number };

/** The header with the sender's slot in the first reserved bytes, as bpf/include/tunnel.h has it. */
export function vxlan(header: VxlanHeader, body: Uint8Array): Uint8Array {
  const { sender, vni, flags = 0x08 } = header;
  return concat(
    Uint8Array.of(flags, 0, sender >> 8, sender & 255, vni >> 16, (vni >> 8) & 255, vni & 255, 0),
    body,
  );
}

export type Stamp = {
  readonly kind: number;
  readonly hop?: number;
  readonly slot?: number;
  readonly frontend?: number;
  readonly node?: number;
  /** Bit n: the node of slot n was asked already. */
  readonly asked?: number;
};

/** The Ethernet addresses that a stamp is written into. */
export function stampAddresses(stamp: Stamp): { destination: string; source: string } {
  const { kind, hop = 0, slot = 0, frontend = 0, node = 0, asked = 0 } = stamp;
  return {
    destination: macText(
      Uint8Array.of(0x5a, 0x53, (kind << 4) | hop, slot >> 16, (slot >> 8) & 255, slot & 255),
    ),
    source: macText(Uint8Array.of(0x5a, node >> 8, node & 255, asked, frontend >> 8, frontend & 255)),
  };
}

/** The IP packet with a stamp in place of its Ethernet addresses. */
export function stamped(stamp: Stamp, packet: Uint8Array): Uint8Array {
  return ethernet(stampAddresses(stamp), packet);
}

/** TCP or UDP over IPv4, without an Ethernet header. */
export type PacketOptions = {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly body?: Uint8Array;
  readonly ip?: Partial<Ipv4Header>;
};

export function tcpPacket(options: PacketOptions & { flags: number; tcp?: Partial<TcpHeader> }): Uint8Array {
  const { source, destination, sourcePort, destinationPort, flags } = options;
  const segment = tcp(options, { sourcePort, destinationPort, flags, ...options.tcp }, options.body);
  return ipv4({ source, destination, protocol: protocols.tcp, ...options.ip }, segment);
}

export function udpPacket(options: PacketOptions & { udp?: Partial<UdpHeader> }): Uint8Array {
  const { source, destination, sourcePort, destinationPort } = options;
  const datagram = udp(options, { sourcePort, destinationPort, ...options.udp }, options.body);
  return ipv4({ source, destination, protocol: protocols.udp, ...options.ip }, datagram);
}

/**
 * The checksums of an IPv4 packet (without Ethernet header) that are wrong: `ip`, `tcp`, `udp` or `icmp`. Lengths
 * are taken from its own header; a packet that is not what it says throws a `RangeError`.
 */
export function wrongChecksums(packet: Uint8Array): string[] {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const header_bytes = (view.getUint8(0) & 15) * 4;
  const body = packet.subarray(header_bytes, view.getUint16(2));
  if (view.getUint16(2) > packet.length) throw new RangeError('the packet is shorter than it says');
  const wrong = internetChecksum(packet.subarray(0, header_bytes)) === 0 ? [] : ['ip'];
  const protocol = view.getUint8(9);
  if (protocol === protocols.icmp) return internetChecksum(body) === 0 ? wrong : [...wrong, 'icmp'];
  const pseudo = pseudoHeader(
    formatIpv4(view.getUint32(12)),
    formatIpv4(view.getUint32(16)),
    protocol,
    body.length,
  );
  const right = internetChecksum(pseudo, body) === 0;
  if (protocol === protocols.tcp && !right) wrong.push('tcp');
  const none = protocol === protocols.udp && view.getUint16(header_bytes + 6) === 0;
  if (protocol === protocols.udp && !right && !none) wrong.push('udp');
  return wrong;
}

/** Bytes as rows of hexadecimal, so that two frames that differ are read side by side. */
export function hex(bytes: Uint8Array): string[] {
  const rows: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)].map((octet) => octet.toString(16).padStart(2, '0'));
    rows.push(`${at.toString(16).padStart(4, '0')} ${row.join(' ')}`);
  }
  return rows;
}
