/** A suite's result as a table for people. */
import type { Entry, MeasureResult, SuiteResult } from './results.ts';

/** The table and what is to be said with it, as lines. */
export function formatReport(result: SuiteResult): string {
  const { machine } = result;
  const measures = result.measures.filter((measure) => Object.keys(measure.entries).length > 0);
  const rows = [
    ['', ...measures.map((measure) => `${measure.title} ${measure.unit}`)],
    ...result.contestants.map(({ name }) => [name, ...measures.map((measure) => formatCell(measure, name))]),
  ];
  const repetitions = `${result.repetitions} interleaved repetition${result.repetitions === 1 ? '' : 's'}`;
  const lines = [
    `${result.suite}: ${result.about}`,
    `${repetitions} of ${result.duration_s} s, median (smallest to largest) and ratio to ${result.baseline}`,
    `${machine.cpuCount} x ${machine.cpu}, Linux ${machine.kernel}`,
    '',
    ...layOut(rows),
    '',
    ...result.contestants.map(({ name, about }) => `${name}: ${about}`),
    ...result.missing.map(({ name, commands }) => `missing: ${name} (not installed: ${commands.join(', ')})`),
    ...result.failures.map(({ contestant, message }) => `failed: ${contestant}: ${message}`),
  ];
  return `${lines.join('\n')}\n`;
}

function formatCell(measure: MeasureResult, contestant: string): string {
  const entry = measure.entries[contestant];
  if (entry === undefined) return '-';
  const number = (value: number): string =>
    value.toLocaleString('en-US', {
      minimumFractionDigits: measure.digits,
      maximumFractionDigits: measure.digits,
    });
  const spread = entry.samples.length > 1 ? ` (${number(entry.smallest)} to ${number(entry.largest)})` : '';
  return `${number(entry.median)}${spread} ${formatRatio(entry)}`;
}

function formatRatio(entry: Entry): string {
  const errors = entry.errors === 0 ? '' : `, ${entry.errors} errors`;
  return `[${entry.ratio === undefined ? '-' : entry.ratio.toFixed(2)}${errors}]`;
}

/** First column to the left, the others to the right. */
function layOut(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('   ')
      .trimEnd(),
  );
}
