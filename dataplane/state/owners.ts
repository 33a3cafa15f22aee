/** Bucket tables with memory: for every bucket its owner now and, newest first, the distinct owners before. */
import { maglevTable } from './maglev.ts';

/** As OWNERS_PER_BUCKET in bpf/include/types.h. */
export const ownersPerBucket = 4;

/**
 * The table of a service: `ownersPerBucket` endpoint slots for each bucket, flat; 0 ends a bucket's list. The
 * size is the largest that any of the sets needs. A smaller table repeats, since its index is fewer low bits of
 * the same hash: so a flow finds the owner that it really had.
 *
 * `present` tells whether a former owner is still worth asking (its endpoint exists and its node is alive).
 */
export function ownersTable(
  owners: readonly number[],
  generations: readonly (readonly number[])[],
  present: (slot: number) => boolean,
): Uint32Array {
  const current = maglevTable(owners);
  const former = generations.map((generation) => maglevTable(generation));
  const size = Math.max(current.length, ...former.map((table) => table.length));
  const result = new Uint32Array(size * ownersPerBucket);
  for (let bucket = 0; bucket < size; bucket += 1) {
    const first = bucket * ownersPerBucket;
    let count = 0;
    for (const table of [current, ...former]) {
      const owner = table[bucket & (table.length - 1)] as number;
      if (owner === 0 || (table !== current && !present(owner))) continue;
      if (result.subarray(first, first + count).includes(owner)) continue;
      result[first + count] = owner;
      count += 1;
      if (count === ownersPerBucket) break;
    }
  }
  return result;
}
