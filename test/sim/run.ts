/**
 * `node test/sim/run.ts [--seed N] [--steps N] [--runs N]` runs simulated clusters, from one seed on, and prints
 * what came of each. Without a seed one is drawn. Exit code 1: a guarantee was broken; the output has the seed
 * and the last events.
 */

import { parseArgs } from 'node:util';
import { type Outcome, simulate } from './simulation.ts';

/** Events of chaos per run, unless given. */
export const DEFAULT_STEPS = 5_000;

/** One line about a run. */
export function describeOutcome(outcome: Outcome): string {
  const { seed, ...numbers } = outcome;
  const counts = Object.entries(numbers).map(([name, count]) => `${count} ${name}`);
  return `seed ${seed}: ${counts.join(', ')}`;
}

function positive(text: string | undefined, otherwise: number, name: string): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`--${name} ${text} is not a positive integer`);
  return value;
}

function main(): number {
  try {
    const options = {
      seed: { type: 'string' },
      steps: { type: 'string' },
      runs: { type: 'string' },
    } as const;
    const { values } = parseArgs({ options });
    const seed = positive(values.seed, 1 + Math.floor(Math.random() * 1e9), 'seed');
    const steps = positive(values.steps, DEFAULT_STEPS, 'steps');
    const runs = positive(values.runs, 1, 'runs');
    for (let run = 0; run < runs; run += 1) console.log(describeOutcome(simulate(seed + run, steps)));
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
}

if (import.meta.main) process.exitCode = main();
