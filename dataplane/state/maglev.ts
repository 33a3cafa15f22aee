/**
 * Maglev tables (Eisenbud et al., NSDI 2016, 3.4): every endpoint fills the table in an order of its own, in turn,
 * so that shares differ by one bucket at most and a change moves few buckets. Two departures: the size is a power
 * of two with odd steps (coprime all the same), so that the data plane masks instead of dividing; and it grows
 * with the number of endpoints, a larger table being indexed by more low bits of the same hash.
 */
import { ok as assert } from 'node:assert';

const smallestSize = 64;
const largestSize = 65_536;
/** At this many buckets each, shares differ by about 3 % at most. */
const bucketsPerEndpoint = 32;

/** Size of the table for `count` endpoints: a power of two. */
export function maglevSize(count: number): number {
  let size = smallestSize;
  while (size < count * bucketsPerEndpoint && size < largestSize) size *= 2;
  return size;
}

/** A well mixed 32-bit number for each (slot, salt): the finalizer of MurmurHash3. */
function mix(slot: number, salt: number): number {
  let hash = Math.imul(slot, 0x9e37_79b1) ^ salt;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * The table for a set of endpoint slots (order and repetition do not matter): the slot that owns each bucket.
 * An empty set gives a table of zeros.
 */
export function maglevTable(slots: readonly number[]): Uint32Array {
  const members = [...new Set(slots)].sort((a, b) => a - b);
  const size = maglevSize(members.length);
  const table = new Uint32Array(size);
  if (members.length === 0) return table;
  assert(members.length <= size, 'more endpoints than buckets');
  const position = members.map((slot) => mix(slot, 0x5368_6f61) & (size - 1));
  const step = members.map((slot) => (mix(slot, 0x6c21_7e95) & (size - 1)) | 1);
  for (let filled = 0; ; ) {
    for (let member = 0; member < members.length; member += 1) {
      let bucket = position[member] as number;
      while (table[bucket] !== 0) bucket = (bucket + (step[member] as number)) & (size - 1);
      table[bucket] = members[member] as number;
      position[member] = (bucket + (step[member] as number)) & (size - 1);
      filled += 1;
      if (filled === size) return table;
    }
  }
}
