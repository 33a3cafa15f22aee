import { isIPv4, isIPv6 } from 'node:net';
import { MalformedMessageError } from '../errors.ts';

/** The address families that carry IP. */
export type IpFamily = 'inet' | 'inet6';

/** An IP address in network byte order: 4 or 16 bytes. */
export interface IpAddress {
  readonly family: IpFamily;
  readonly bytes: Buffer;
}

/** An IP prefix. */
export interface IpPrefix extends IpAddress {
  readonly length: number;
}

/** Parses an address in text (RFC 4291 section 2.2 for IPv6). @throws TypeError naming the text */
export function parseAddress(text: string): IpAddress {
  if (isIPv4(text)) return { family: 'inet', bytes: Buffer.from(text.split('.').map(Number)) };
  if (!isIPv6(text) || text.includes('%'))
    throw new TypeError(`${JSON.stringify(text)} is not an IP address`);
  const bytes = Buffer.alloc(16);
  const [head = '', tail] = text.split('::');
  const front = groupsOf(head);
  const back = tail === undefined ? [] : groupsOf(tail);
  for (const [index, group] of front.entries()) bytes.writeUInt16BE(group, index * 2);
  for (const [index, group] of back.entries()) bytes.writeUInt16BE(group, (8 - back.length + index) * 2);
  return { family: 'inet6', bytes };
}

function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)];
    const quad = Buffer.from(part.split('.').map(Number));
    return [quad.readUInt16BE(0), quad.readUInt16BE(2)];
  });
}

/** The text of an address; IPv6 as RFC 5952 recommends. @throws MalformedMessageError unless 4 or 16 bytes */
export function formatAddress(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw new MalformedMessageError(`an IP address of ${bytes.length} bytes`);
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${bytes.subarray(12).join('.')}`;
  }
  const zeros = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (zeros.length < 2) return hex.join(':');
  return `${hex.slice(0, zeros.start).join(':')}::${hex.slice(zeros.start + zeros.length).join(':')}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index - start + 1 > best.length) best = { start, length: index - start + 1 };
  }
  return best;
}

/** The number of bits of an address of the family. */
export function addressBits(family: IpFamily): number {
  return family === 'inet' ? 32 : 128;
}

/**
 * Parses `address/length`; without a length it is the whole address.
 * @throws TypeError for a bad address, RangeError for a length that the family does not have
 */
export function parsePrefix(text: string): IpPrefix {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  const bits = addressBits(address.family);
  if (slash < 0) return { ...address, length: bits };
  const lengthText = text.slice(slash + 1);
  const length = Number(lengthText);
  if (!/^\d+$/.test(lengthText) || length > bits) {
    throw new RangeError(`${JSON.stringify(text)}: the prefix length must be 0 to ${bits}`);
  }
  return { ...address, length };
}

/** Parses a MAC address such as `02:00:00:00:00:01`. @throws TypeError naming the text */
export function parseMac(text: string): Buffer {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new TypeError(`${JSON.stringify(text)} is not a MAC address (six bytes in hex, with colons)`);
  }
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

/** The text of a hardware address of any length, in lower case. */
export function formatMac(bytes: Buffer): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
