/**
 * `npm run bench [-- SUITE] [--json FILE] [--quick] [--only NAME,…] [--repetitions N] [--duration SECONDS]`
 *
 * Progress goes to standard error, the table to standard output, the same as JSON to FILE. Exit code 1 if a
 * contestant failed, 2 for wrong usage. A contestant whose program is not installed is named and left out.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { formatReport } from './report.ts';
import { connections } from './suites/connections.ts';
import { dns } from './suites/dns.ts';
import { packet } from './suites/packet.ts';
import type { Suite, SuiteOptions } from './suites/suite.ts';

const suites: readonly Suite[] = [connections, packet, dns];
const usual = { repetitions: 5, duration_s: 3 } as const;
const quick = { repetitions: 1, duration_s: 1 } as const;
const repetitionLimit = 1_000;
const durationLimit_s = 3_600;

const usage = `npm run bench [-- SUITE] [OPTIONS]

Measures shoal and its peers side by side, in network namespaces of its own, interleaved, and prints medians and ratios.

Suites: ${suites.map(({ name }) => name).join(', ')} (${connections.name} unless told)

  --json FILE        write the results to FILE as well
  --quick            one short repetition, to see that it works; no figures to quote
  --only NAME,...    these contestants only: ${connections.contestants.join(', ')};
                     or cases of packet: ${packet.contestants.join(', ')};
                     or of dns: ${dns.contestants.join(', ')}
  --repetitions N    of every contestant (${usual.repetitions})
  --duration S       seconds of every measure (${usual.duration_s})
  --help             this text

Example: npm run bench -- --repetitions 9 --json results.json
`;

/** Wrong usage: told without a stack. */
class UsageError extends Error {}

interface Command {
  readonly suite: Suite;
  readonly json: string | undefined;
  readonly options: SuiteOptions;
}

function wholeNumber(flag: string, value: string | undefined, otherwise: number, largest: number): number {
  if (value === undefined) return otherwise;
  const number = Number(value);
  if (Number.isInteger(number) && number >= 1 && number <= largest) return number;
  throw new UsageError(`--${flag}: '${value}' is not a whole number from 1 to ${largest}`);
}

/** What is asked for; undefined for the help. */
function parse(args: string[]): Command | undefined {
  const flags = {
    json: { type: 'string' },
    quick: { type: 'boolean' },
    only: { type: 'string' },
    repetitions: { type: 'string' },
    duration: { type: 'string' },
    help: { type: 'boolean' },
  } as const;
  let parsed: ReturnType<typeof parseArgs<{ options: typeof flags; allowPositionals: true }>>;
  try {
    parsed = parseArgs({ args, options: flags, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { values, positionals } = parsed;
  if (values.help === true) return undefined;
  const name = positionals[0] ?? connections.name;
  const suite = suites.find((one) => one.name === name);
  if (suite === undefined || positionals.length > 1) {
    throw new UsageError(
      `no suite '${positionals.join(' ')}'; suites: ${suites.map((one) => one.name).join(', ')}`,
    );
  }
  const only = values.only?.split(',') ?? [];
  const unknown = only.filter((one) => !suite.contestants.includes(one));
  if (unknown.length > 0) {
    throw new UsageError(
      `--only: no contestant '${unknown.join(', ')}'; there are: ${suite.contestants.join(', ')}`,
    );
  }
  const otherwise = values.quick === true ? quick : usual;
  return {
    suite,
    json: values.json,
    options: {
      repetitions: wholeNumber('repetitions', values.repetitions, otherwise.repetitions, repetitionLimit),
      duration_s: wholeNumber('duration', values.duration, otherwise.duration_s, durationLimit_s),
      only,
      progress: (line) => console.error(line),
    },
  };
}

async function main(args: string[]): Promise<number> {
  const command = parse(args);
  if (command === undefined) {
    process.stdout.write(usage);
    return 0;
  }
  const { suite, json, options } = command;
  if (process.getuid?.() !== 0) throw new UsageError('the bench makes network namespaces: run it as root');
  // A file that cannot be written is better known before the measuring than after.
  if (json !== undefined) writeFileSync(json, '');
  const result = await suite.run(options);
  process.stdout.write(`\n${formatReport(result)}`);
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(result, null, 2)}\n`);
  return result.failures.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
