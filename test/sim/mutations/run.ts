/**
 * `node test/sim/mutations/run.ts [--list] [--only NAME]… [--seconds N] [--seeds N] [--verbose] [--help]`: puts one
 * deliberate bug after the other into a copy of the sources, and shows which seed and which invariant of the
 * simulation catch it. Exit code 0 only if all were caught.
 */
import { parseArgs } from 'node:util';
import { mutations, open } from './list.ts';
import type { Mutation } from './mutation.ts';
import { type TrialLimits, type TrialResult, tryMutation } from './trial.ts';

const DEFAULT_SECONDS = 60;
const DEFAULT_SEEDS = 3_000;

const HELP = `usage: npm run mutations -- [options]

Puts deliberate bugs into a copy of the Raft core and of the simulated nodes, one at a time, and runs simulated
clusters until an invariant is violated. Exit code 0 only if every bug was caught.

  --list         show all mutations, and those that are open, with their reasons
  --only NAME    only this one (may be repeated); "none" runs the sources as they are, which must be clean
  --seconds N    time for each, ${DEFAULT_SECONDS} unless given
  --seeds N      seeds for each at most, ${DEFAULT_SEEDS} unless given
  --verbose      show the last events before each violation
  --help         this

example: npm run mutations -- --only vote-forgotten --seconds 10
then:    node test/sim/run.ts --seed SEED     (replays a seed on the sources as they are)
`;

/** Where lines go, so that tests can look at them. */
export type Print = (line: string) => void;

function positive(text: string | undefined, otherwise: number, name: string): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`--${name} ${text} is not a positive integer`);
  return value;
}

function list(print: Print): void {
  for (const { name, file, why } of mutations) print(`${name.padEnd(36)} ${file}\n    ${why}`);
  print(`${mutations.length} mutations; open, not counted: ${open.length}`);
  for (const { name, file, reason } of open) print(`${name.padEnd(36)} ${file}\n    ${reason}`);
}

function select(names: readonly string[]): Mutation[] {
  const known: readonly Mutation[] = [...mutations, ...open];
  return names.map((name) => {
    const found = known.find((mutation) => mutation.name === name);
    if (found === undefined) throw new RangeError(`no mutation "${name}"; --list shows all`);
    return found;
  });
}

function describe({ verdict, duration_ms }: TrialResult, verbose: boolean): string {
  const time = `${(duration_ms / 1000).toFixed(1)} s`;
  switch (verdict.kind) {
    case 'caught': {
      const [summary = ''] = verdict.message.split('\n');
      return `caught by seed ${verdict.seed} in ${time}: ${verdict.invariant}\n      ${verbose ? verdict.message : summary}`;
    }
    case 'missed':
      return `NOT CAUGHT by ${verdict.seeds} seeds in ${time}`;
    case 'broken':
      return `NO VERDICT after ${time}: ${verdict.message}`;
  }
}

async function runAll(
  chosen: readonly Mutation[],
  limits: TrialLimits,
  verbose: boolean,
  signal: AbortSignal,
  print: Print,
): Promise<number> {
  const missed: string[] = [];
  for (const [at, mutation] of chosen.entries()) {
    const result = await tryMutation(mutation, limits, signal);
    print(`[${at + 1}/${chosen.length}] ${mutation.name}: ${describe(result, verbose)}`);
    if (result.verdict.kind !== 'caught') missed.push(mutation.name);
  }
  print(`${chosen.length - missed.length} of ${chosen.length} caught`);
  if (missed.length > 0) print(`not caught: ${missed.join(', ')}`);
  return missed.length === 0 ? 0 : 1;
}

async function runClean(limits: TrialLimits, signal: AbortSignal, print: Print): Promise<number> {
  const { verdict, duration_ms } = await tryMutation(null, limits, signal);
  const isClean = verdict.kind === 'missed';
  const time = `${(duration_ms / 1000).toFixed(1)} s`;
  print(
    isClean ? `no mutation: ${verdict.seeds} seeds in ${time}, clean` : `no mutation: ${verdict.message}`,
  );
  return isClean ? 0 : 1;
}

/** The command. Returns its exit code; bad arguments and mutations that do not apply throw. */
export async function main(args: readonly string[], signal: AbortSignal, print: Print): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      list: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      seconds: { type: 'string' },
      seeds: { type: 'string' },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    print(HELP);
    return 0;
  }
  if (values.list) {
    list(print);
    return 0;
  }
  const limits = {
    seconds: positive(values.seconds, DEFAULT_SECONDS, 'seconds'),
    seeds: positive(values.seeds, DEFAULT_SEEDS, 'seeds'),
  };
  if (values.only.includes('none')) {
    if (values.only.length > 1) throw new RangeError('--only none stands alone');
    return await runClean(limits, signal, print);
  }
  const chosen = values.only.length > 0 ? select(values.only) : mutations;
  return await runAll(chosen, limits, values.verbose, signal, print);
}

if (import.meta.main) {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => controller.abort(new Error(`interrupted by ${name}`)));
  }
  try {
    process.exitCode = await main(process.argv.slice(2), controller.signal, console.log);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  }
}
