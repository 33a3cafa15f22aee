/** IPv4 addresses and prefixes as numbers, and the ranges that a cluster's mesh pool is cut into. */
import { isIPv4 } from 'node:net';

/** The address as an unsigned 32-bit number in host order. Throws a `RangeError` that names what is not one. */
export function parseIpv4(address: string): number {
  if (!isIPv4(address)) throw new RangeError(`"${address}" is not an IPv4 address`);
  return address.split('.').reduce((value, octet) => value * 256 + Number(octet), 0);
}

/** The dotted form of an unsigned 32-bit number in host order. */
export function formatIpv4(value: number): string {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new RangeError(`${value} is not an IPv4 address`);
  }
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.');
}

/** A prefix: its first address and its length in bits. */
export type Prefix = { readonly base: number; readonly length: number };

/** Parses `A.B.C.D/LENGTH`; bits behind the prefix must be 0. */
export function parsePrefix(text: string): Prefix {
  const [address = '', lengthText = ''] = text.split('/');
  const length = Number(lengthText);
  if (!/^\d{1,2}$/.test(lengthText) || length > 32)
    throw new RangeError(`"${text}" is not a prefix like 10.0.0.0/8`);
  const base = parseIpv4(address);
  if (base % 2 ** (32 - length) !== 0)
    throw new RangeError(`"${text}" has bits set behind its /${length} prefix`);
  return { base, length };
}

/**
 * The ranges of a mesh pool (a /13), in the order that the store documents: service VIPs (/16), overlay networks
 * (/16), nodes (/16, base + slot) and, at +4/16, endpoints (/15, base + slot).
 */
export type MeshRanges = {
  readonly vips: Prefix;
  readonly networks: Prefix;
  readonly nodes: Prefix;
  readonly endpoints: Prefix;
};

/** Cuts `meshPool` into its ranges. Throws a `RangeError` if it is not a /13. */
export function meshRanges(meshPool: string): MeshRanges {
  const pool = parsePrefix(meshPool);
  if (pool.length !== 13)
    throw new RangeError(`mesh pool "${meshPool}" must be a /13, such as 10.248.0.0/13`);
  return {
    vips: { base: pool.base, length: 16 },
    networks: { base: pool.base + 0x1_0000, length: 16 },
    nodes: { base: pool.base + 0x2_0000, length: 16 },
    endpoints: { base: pool.base + 0x4_0000, length: 15 },
  };
}
