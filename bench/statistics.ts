/** The few numbers that describe repeated samples. */

/** Of the samples of one contestant in one measure. */
export interface Summary {
  readonly median: number;
  readonly smallest: number;
  readonly largest: number;
  readonly samples: readonly number[];
}

/** @throws Error if there are no samples */
export function summarise(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const low = sorted[Math.floor(middle)];
  const high = sorted[Math.ceil(middle)];
  const smallest = sorted[0];
  const largest = sorted.at(-1);
  if (low === undefined || high === undefined || smallest === undefined || largest === undefined) {
    throw new Error('no samples to summarise');
  }
  return { median: (low + high) / 2, smallest, largest, samples };
}

/** The order of contestants in a repetition: each time another one begins, so that none always follows the same. */
export function rotate<T>(items: readonly T[], by: number): T[] {
  if (items.length === 0) return [];
  const shift = by % items.length;
  return [...items.slice(shift), ...items.slice(0, shift)];
}
