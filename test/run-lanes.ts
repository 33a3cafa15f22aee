/**
 * `node test/run-lanes.ts [LANE…]`: runs the lanes one after another, all of them unless told, and says how each
 * went. Exit code 1 if anything failed, a lane ran nothing, or a test file belongs to no lane. The counts are left in
 * `build/test-results/summary.json` for `.ci/run`, the raw TAP and the logs of labs beside it.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { filesOf, type Lane, lanes, strayFiles } from './lanes.ts';
import { countTap, failureDetails } from './tap-results.ts';

const resultsDirectory = 'build/test-results';
const labLogsDirectory = `${resultsDirectory}/lab-logs`;

interface LaneResult {
  readonly lane: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly files: number;
  readonly duration_s: number;
  /** What went wrong beyond failed assertions. */
  readonly problems: readonly string[];
}

/** Runs tap over the files of a lane, its report going where ours goes. */
function runTap(lane: Lane, files: readonly string[], rawPath: string): Promise<number | null> {
  const args = [
    ...['node_modules/.bin/tap', 'run', '--reporter=base', `--output-file=${rawPath}`],
    ...[`--jobs=${lane.jobs}`, `--timeout=${lane.timeout_s}`, ...files],
  ];
  // Without a terminal the reporter must not redraw its lines; it takes that from CI.
  const env: NodeJS.ProcessEnv = { SHOAL_LAB_LOGS: labLogsDirectory, ...process.env };
  if (!process.stdout.isTTY) env.CI = 'true';
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'], env });
  return new Promise((resolve) => {
    child.once('error', () => resolve(127));
    child.once('exit', (code) => resolve(code));
  });
}

async function runLane(lane: Lane): Promise<LaneResult> {
  const start = performance.now();
  const files = filesOf(lane);
  console.log(`\n── ${lane.name}: ${lane.about} (${files.length} files)\n`);
  const finish = (
    counts: { passed: number; failed: number; skipped: number },
    problems: string[],
  ): LaneResult => ({
    lane: lane.name,
    passed: counts.passed,
    // A problem that no assertion shows is a failure all the same.
    failed: Math.max(counts.failed, problems.length > 0 ? 1 : 0),
    skipped: counts.skipped,
    files: files.length,
    duration_s: Math.round((performance.now() - start) / 100) / 10,
    problems,
  });
  const nothing = { passed: 0, failed: 0, skipped: 0 };
  if (files.length === 0) return finish(nothing, ['no test files']);
  if (lane.needsRoot && process.getuid?.() !== 0)
    return finish(nothing, ['needs root: run npm test as root']);

  const rawPath = `${resultsDirectory}/${lane.name}.tap`;
  rmSync(rawPath, { force: true });
  const code = await runTap(lane, files, rawPath);
  const raw = readIfThere(rawPath);
  // On a terminal the reporter has shown them.
  if (!process.stdout.isTTY) for (const failure of failureDetails(raw)) console.log(`${failure}\n`);
  const counts = countTap(raw);
  if (counts === undefined)
    return finish(nothing, [`tap crashed (exit code ${code}): its results break off`]);
  const problems = counts.brokenFiles.map((file) => `${file} crashed, timed out or ran nothing`);
  if (counts.passed + counts.failed === 0) problems.push('no assertion was executed');
  if (code !== 0 && counts.failed === 0) problems.push(`tap ended with exit code ${code}`);
  return finish(counts, problems);
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function save(results: readonly LaneResult[], complete: boolean): void {
  const sum = (what: 'passed' | 'failed'): number =>
    results.reduce((total, result) => total + result[what], 0);
  const summary = { complete, passed: sum('passed'), failed: sum('failed'), lanes: results };
  writeFileSync(`${resultsDirectory}/summary.json`, `${JSON.stringify(summary, null, 2)}\n`);
}

function report(results: readonly LaneResult[]): void {
  console.log('\n── results\n');
  for (const { lane, passed, failed, skipped, files, duration_s, problems } of results) {
    const numbers = `${String(passed).padStart(6)} passed ${String(failed).padStart(4)} failed`;
    const extra = skipped === 0 ? '' : `, ${skipped} skipped`;
    console.log(
      `${failed === 0 ? '✔' : '✖'} ${lane.padEnd(7)}${numbers}${extra}   ${files} files, ${duration_s} s`,
    );
    for (const problem of problems) console.log(`    ${problem}`);
  }
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !lanes.some((lane) => lane.name === name));
  if (unknown.length > 0) {
    console.error(`no lane '${unknown.join("', '")}'; lanes: ${lanes.map((lane) => lane.name).join(', ')}`);
    return 2;
  }
  mkdirSync(resultsDirectory, { recursive: true });
  rmSync(labLogsDirectory, { recursive: true, force: true });
  const results: LaneResult[] = [];
  const wanted = lanes.filter((lane) => names.length === 0 || names.includes(lane.name));
  const stray = strayFiles();
  if (names.length === 0 && stray.length > 0) {
    const problems = stray.map((file) => `${file} belongs to no lane: move it under test/<lane>/`);
    const none = { passed: 0, skipped: 0, files: stray.length, duration_s: 0 };
    results.push({ lane: 'stray', failed: stray.length, problems, ...none });
  }
  save(results, false);
  for (const lane of wanted) {
    results.push(await runLane(lane));
    save(results, false);
  }
  save(results, true);
  report(results);
  return results.every((result) => result.failed === 0) ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
