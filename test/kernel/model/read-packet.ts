/** Reads a frame as the RFCs say, for the model: what it is, or in what way it cannot be. */
import { formatIpv4 } from '../../../dataplane/addresses.ts';
import { protocols } from '../packets.ts';

/** What the data plane asks of a TCP or UDP packet. */
export type ReadPacket = {
  readonly kind: 'whole';
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly typeOfService: number;
  readonly headerBytes: number;
  readonly totalLength: number;
  /** The IP packet's header without options, and what follows it. */
  readonly header: Uint8Array;
  readonly transport: Uint8Array;
  readonly flags: number;
};

export type ReadResult =
  | ReadPacket
  /** IPv4, but a fragment or neither TCP nor UDP. */
  | {
      readonly kind: 'other';
      readonly source: string;
      readonly destination: string;
      readonly totalLength: number;
    }
  | { readonly kind: 'not-ipv4' }
  | { readonly kind: 'malformed-ip' }
  | {
      readonly kind: 'malformed-transport';
      readonly source: string;
      readonly destination: string;
      readonly totalLength: number;
    };

/** Reads an Ethernet frame, of which all bytes are there. */
export function readFrame(frame: Uint8Array): ReadResult {
  const etherType = (at(frame, 12) << 8) | at(frame, 13);
  return etherType === 0x0800 ? readIpv4(frame.subarray(14)) : { kind: 'not-ipv4' };
}

function readIpv4(bytes: Uint8Array): ReadResult {
  if (bytes.length < 20) return { kind: 'malformed-ip' };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = (at(bytes, 0) & 15) * 4;
  const totalLength = view.getUint16(2);
  const sound =
    at(bytes, 0) >> 4 === 4 && headerBytes >= 20 && totalLength >= headerBytes && totalLength <= bytes.length;
  if (!sound) return { kind: 'malformed-ip' };
  const protocol = at(bytes, 9);
  const common = {
    source: formatIpv4(view.getUint32(12)),
    destination: formatIpv4(view.getUint32(16)),
    totalLength,
  };
  // RFC 791: a fragment has an offset, or says that more follow.
  const isFragment = (view.getUint16(6) & 0x3fff) !== 0;
  if ((protocol !== protocols.tcp && protocol !== protocols.udp) || isFragment)
    return { kind: 'other', ...common };
  const transport = bytes.subarray(headerBytes, totalLength);
  if (!isSoundTransport(protocol, transport)) return { kind: 'malformed-transport', ...common };
  return {
    kind: 'whole',
    ...common,
    protocol,
    headerBytes,
    typeOfService: at(bytes, 1),
    header: bytes.subarray(0, 20),
    transport,
    sourcePort: (at(transport, 0) << 8) | at(transport, 1),
    destinationPort: (at(transport, 2) << 8) | at(transport, 3),
    flags: protocol === protocols.tcp ? at(transport, 13) : 0,
  };
}

function isSoundTransport(protocol: number, transport: Uint8Array): boolean {
  if (protocol === protocols.tcp) {
    const headerBytes = (at(transport, 12) >> 4) * 4;
    return transport.length >= 20 && headerBytes >= 20 && headerBytes <= transport.length;
  }
  const length = (at(transport, 4) << 8) | at(transport, 5);
  return transport.length >= 8 && length >= 8 && length <= transport.length;
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}
