/** Names under in-addr.arpa (RFC 1035, section 3.5) and the part of them that a prefix makes ours. */

/** An IPv4 prefix; `base` is its first address as a number. */
export type Prefix = { base: number; prefixLength: number };

/** What a reverse name inside the prefix says. `partial` ones have fewer than four octets. */
export type ReverseName =
  | { kind: 'address'; address: number; zoneLabels: number }
  | { kind: 'partial'; zoneLabels: number }
  | { kind: 'invalid'; zoneLabels: number };

const suffix = '.in-addr.arpa';

/** Parses an IPv4 prefix such as `10.248.0.0/13`; host bits are cleared. Undefined if it is none. */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/.exec(text);
  const address = parseAddress(match?.[1] ?? '');
  const prefixLength = Number(match?.[2]);
  if (address === undefined || prefixLength > 32) return undefined;
  return { base: address - (address % 2 ** (32 - prefixLength)), prefixLength };
}

/** An IPv4 address in dotted form as a number; undefined if it is none. */
export function parseAddress(text: string): number | undefined {
  const octets = text.split('.').map(parseOctet);
  if (octets.length !== 4) return undefined;
  let address = 0;
  for (const octet of octets) {
    if (octet === undefined) return undefined;
    address = address * 256 + octet;
  }
  return address;
}

function parseOctet(text: string): number | undefined {
  const value = /^(?:0|[1-9]\d{0,2})$/.test(text) ? Number(text) : 256;
  return value > 255 ? undefined : value;
}

/**
 * Reads a name in lower case that ends in `.in-addr.arpa`. Undefined if the prefix does not hold all that lies
 * beneath it: `10.in-addr.arpa` is more than 10.248.0.0/13.
 */
export function parseReverse(name: string, prefix: Prefix): ReverseName | undefined {
  const labels = name.slice(0, -suffix.length).split('.').reverse();
  const ownOctets = Math.ceil(prefix.prefixLength / 8);
  if (labels.length < ownOctets) return undefined;
  const octets: number[] = [];
  for (const label of labels.slice(0, 4)) {
    const octet = parseOctet(label);
    if (octet === undefined) break;
    octets.push(octet);
  }
  if (octets.length < ownOctets) return undefined;
  const address = [0, 1, 2, 3].reduce((value, index) => value * 256 + (octets[index] ?? 0), 0);
  if (address - (address % 2 ** (32 - prefix.prefixLength)) !== prefix.base) return undefined;
  const zoneLabels = ownOctets + 2;
  if (octets.length < labels.length) return { kind: 'invalid', zoneLabels };
  return labels.length < 4 ? { kind: 'partial', zoneLabels } : { kind: 'address', address, zoneLabels };
}
