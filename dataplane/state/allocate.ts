/** Where each service's table lies in the one `buckets` array. First fit; a table never moves while its size stays. */

/** A run of buckets. */
export type Region = { readonly base: number; readonly size: number };

/** Regions by service id. */
export type Allocation = ReadonlyMap<string, Region>;

/** The buckets array is full. */
export class BucketsExhausted extends Error {
  override readonly name = 'BucketsExhausted';

  constructor(service: string, wanted: number, capacity: number) {
    super(`no room for the ${wanted} buckets of service ${service}: the buckets map holds ${capacity}`);
  }
}

/**
 * Regions for the tables that `wanted` names (service id -> size in buckets). A service whose size has not changed
 * keeps its region. A new region never overlaps one in `previous`, so that it can be filled while the old one is
 * still in use.
 */
export function allocate(
  previous: Allocation,
  wanted: ReadonlyMap<string, number>,
  capacity: number,
): Allocation {
  const result = new Map<string, Region>();
  const taken: Region[] = [...previous.values()];
  for (const [id, size] of wanted) {
    const old = previous.get(id);
    if (old?.size === size) result.set(id, old);
  }
  taken.sort((a, b) => a.base - b.base);
  for (const [id, size] of wanted) {
    if (result.has(id)) continue;
    const region = firstFit(taken, size, capacity);
    if (region === undefined) throw new BucketsExhausted(id, size, capacity);
    const at = taken.findIndex((other) => other.base > region.base);
    taken.splice(at === -1 ? taken.length : at, 0, region);
    result.set(id, region);
  }
  return result;
}

function firstFit(taken: readonly Region[], size: number, capacity: number): Region | undefined {
  let base = 0;
  for (const region of taken) {
    if (region.base - base >= size) break;
    base = Math.max(base, region.base + region.size);
  }
  return base + size <= capacity ? { base, size } : undefined;
}
