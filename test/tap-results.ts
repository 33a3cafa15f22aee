/** Counts what tap really ran, from the raw TAP (version 14) that it writes beside its readable report. */

/** Assertions of one run of tap. */
export interface TapCounts {
  readonly passed: number;
  /** Failed assertions, and one for each file that ended badly without any. */
  readonly failed: number;
  /** Skipped and to-do ones. */
  readonly skipped: number;
  /** Files that ended badly without a failed assertion: crashed, timed out, nothing in them. */
  readonly brokenFiles: readonly string[];
}

/**
 * Reads the raw TAP of `tap run`.
 * @returns undefined if it breaks off before the counts that end it, so that nothing in it is to be relied on
 */
export function countTap(tap: string): TapCounts | undefined {
  const totals = /^# \{ total: (\d+)(.*) \}$/m.exec(tap);
  if (totals === null) return undefined;
  const count = (what: string): number =>
    Number(new RegExp(`\\b${what}: (\\d+)`).exec(totals[2] ?? '')?.[1] ?? 0);
  const brokenFiles = findBrokenFiles(tap);
  return {
    passed: count('pass'),
    failed: count('fail') + brokenFiles.length,
    skipped: count('skip') + count('todo'),
    brokenFiles,
  };
}

/** Each file is a subtest at the outermost level: its assertions stand indented before its own line. */
function findBrokenFiles(tap: string): string[] {
  const broken: string[] = [];
  let failedInside = false;
  for (const line of tap.split('\n')) {
    if (/^\s+not ok\b(?!.*# (?:SKIP|TODO))/.test(line)) {
      failedInside = true;
      continue;
    }
    const file = /^(not )?ok \d+ - (\S+)/.exec(line);
    if (file === null) continue;
    if (file[1] !== undefined && !failedInside) broken.push(file[2] ?? '');
    failedInside = false;
  }
  return broken;
}

/**
 * The failed assertions with what tap knows of them, as text for a log: each begins with its own line.
 * @param limit most failures given
 */
export function failureDetails(tap: string, limit = 20): string[] {
  const failures: string[] = [];
  const lines = tap.split('\n');
  let previousIndent = 0;
  for (const [number, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const indent = indentOf(line);
    // A subtest's own line comes after its deeper assertions, an assertion's after one of the same depth.
    const isAssertion = indent > 0 && previousIndent < indent + 4;
    previousIndent = indent;
    if (!isAssertion || !/^\s+not ok\b(?!.*# (?:SKIP|TODO))/.test(line)) continue;
    const end = lines.indexOf(`${' '.repeat(indent)}  ...`, number);
    const details = end < 0 ? [line] : lines.slice(number, Math.min(end, number + 40));
    failures.push(details.map((detail) => detail.slice(indent)).join('\n'));
    if (failures.length === limit) break;
  }
  return failures;
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}
