/**
 * `node test/sim/mutations/hunt.ts SECONDS SEEDS`: runs seeds until one finds something, in a copy of the sources
 * that has a bug. Prints one line of JSON per seed (HuntLine), the seed before it is run, so that whoever started
 * this knows at which one it hung.
 */
import { DEFAULT_STEPS } from '../run.ts';
import { SimulationFailure, simulate } from '../simulation.ts';

/** A seed is begun, or something ended the hunt. */
export type HuntLine =
  | { readonly what: 'begin'; readonly seed: number }
  | {
      readonly what: 'caught';
      readonly seed: number;
      readonly invariant: string | null;
      readonly message: string;
    }
  | { readonly what: 'clean'; readonly seeds: number };

/** Tried first: runs with much of everything, among them those that found something before. */
export const GOOD_SEEDS: readonly number[] = [
  4, 211, 354, 1018, 1069, 1991, 2454, 5083, 10_056, 10_940, 11_457,
];
const FIRST_FURTHER_SEED = 10_000;

function tell(line: HuntLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function hunt(limit_ms: number, maxSeeds: number): void {
  const started = performance.now();
  let seeds = 0;
  for (; seeds < maxSeeds && performance.now() - started < limit_ms; seeds += 1) {
    const seed = GOOD_SEEDS[seeds] ?? FIRST_FURTHER_SEED + seeds;
    tell({ what: 'begin', seed });
    try {
      simulate(seed, DEFAULT_STEPS);
    } catch (error) {
      const invariant = error instanceof SimulationFailure ? error.invariant : null;
      tell({
        what: 'caught',
        seed,
        invariant,
        message: error instanceof Error ? error.message : String(error),
      });
      return;
    }
  }
  tell({ what: 'clean', seeds });
}

if (import.meta.main) hunt(Number(process.argv[2]) * 1000, Number(process.argv[3]));
