/**
 * `node test/lab/lib/cleanup.ts [--all] [RUN…]`: removes what labs left behind.
 *
 * Without arguments: runs whose creator crashed. With `--all`: also those left up on purpose (`--keep`). With names
 * (as listed under /run/shoal-lab): exactly those. A run whose creator still lives is never touched.
 */
import { isAlive, listRuns, type RunRecord } from './registry.ts';
import { removeRun } from './teardown.ts';

function main(args: readonly string[]): number {
  const all = args.includes('--all');
  const wanted = args.filter((arg) => !arg.startsWith('-'));
  const unknownFlag = args.find((arg) => arg.startsWith('-') && arg !== '--all');
  if (unknownFlag !== undefined) {
    console.error(`cleanup: unknown flag '${unknownFlag}'; usage: cleanup.ts [--all] [RUN…]`);
    return 2;
  }
  const runs = listRuns();
  const unknown = wanted.filter((name) => !runs.some((record) => matches(record, name)));
  for (const name of unknown) console.error(`cleanup: no lab run '${name}'`);
  let failures = unknown.length;
  for (const record of runs) {
    const named = wanted.some((name) => matches(record, name));
    if (wanted.length > 0 && !named) continue;
    if (!named && record.kept && !all) continue;
    if (isAlive(record.creator)) {
      if (named) failures++;
      console.error(`cleanup: ${record.run} is in use by process ${record.creator.pid}: end that instead`);
      continue;
    }
    try {
      removeRun(record);
      console.log(`removed ${record.run}`);
    } catch (error) {
      failures++;
      console.error(`cleanup: ${record.run}: ${(error as Error).message}`);
    }
  }
  return failures === 0 ? 0 : 1;
}

function matches(record: RunRecord, name: string): boolean {
  return record.run === name || record.name === name;
}

process.exitCode = main(process.argv.slice(2));
