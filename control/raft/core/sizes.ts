/**
 * How large entries count against limits: as the length of their protobuf encoding in etcd's schema, so that
 * the same limits cut at the same entries.
 */

import type { Entry } from './types.ts';

/** The bytes that `value` takes as a base-128 varint. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size += 1;
  return size;
}

/** What one entry counts against `maxMessageBytes`, `maxApplyingBytes` and `Storage.entries`. */
export function entrySize(entry: Entry): number {
  const dataBytes = entry.data.length;
  return (
    (entry.type === 'EntryNormal' ? 0 : 2) +
    (1 + varintSize(entry.term)) +
    (1 + varintSize(entry.index)) +
    (dataBytes === 0 ? 0 : 1 + varintSize(dataBytes) + dataBytes)
  );
}

/** The sum of `entrySize`. */
export function entriesSize(entries: readonly Entry[]): number {
  let size = 0;
  for (const entry of entries) size += entrySize(entry);
  return size;
}

/** The bytes of the entries' data alone, which is what counts against in-flight and uncommitted limits. */
export function payloadSize(entries: readonly Entry[]): number {
  let size = 0;
  for (const entry of entries) size += entry.data.length;
  return size;
}

/**
 * How many of the entries from position `from` up to `to` fit into `maxBytes`: at least one, if there is any.
 * Works in place, so that a caller can slice once.
 */
export function countWithinSize(
  entries: readonly Entry[],
  from: number,
  to: number,
  maxBytes: number,
): number {
  if (maxBytes === Number.POSITIVE_INFINITY) return to - from;
  let size = 0;
  for (let at = from; at < to; at += 1) {
    const entry = entries[at];
    if (entry === undefined) return at - from;
    size += entrySize(entry);
    if (size > maxBytes && at > from) return at - from;
  }
  return to - from;
}

/** The longest prefix of `entries` within `maxBytes`, but at least one entry. The same array if all fit. */
export function limitSize(entries: Entry[], maxBytes: number): Entry[] {
  const count = countWithinSize(entries, 0, entries.length, maxBytes);
  return count === entries.length ? entries : entries.slice(0, count);
}
