/** Lengths of time such as `200ms` or `1m30s`, from text and to text. Pure. */
import { UsageError } from '../usage-error.ts';

const unit_ms: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** A length of time in the largest unit that has at most one decimal: `200ms`, `1.5s`, `1h`. */
export function formatDuration(duration_ms: number): string {
  for (const unit of ['h', 'm', 's']) {
    const tenths = (duration_ms * 10) / (unit_ms[unit] ?? 1);
    if (tenths >= 10 && Number.isInteger(tenths)) return `${tenths / 10}${unit}`;
  }
  return `${duration_ms}ms`;
}

/**
 * Milliseconds of a duration: numbers with the units h, m, s and ms, largest first, each once (`1m30s`, `1.5s`).
 * The result is rounded to whole milliseconds and must lie between `least_ms` and `most_ms`.
 * Throws {@link UsageError}; a number without a unit is refused, since its meaning could only be guessed.
 */
export function parseDuration_ms(flag: string, value: string, least_ms: number, most_ms: number): number {
  const expected = `a duration from ${formatDuration(least_ms)} to ${formatDuration(most_ms)}, such as 200ms or 5s`;
  if (/^\d+(\.\d+)?$/.test(value)) throw new UsageError(flag, value, expected, 'it has no unit');
  const form =
    /^(?:(\d{1,9}(?:\.\d{1,6})?)h)?(?:(\d{1,9}(?:\.\d{1,6})?)m(?!s))?(?:(\d{1,9}(?:\.\d{1,6})?)s)?(?:(\d{1,9}(?:\.\d{1,6})?)ms)?$/;
  const match = form.exec(value);
  if (value === '' || match === null) throw new UsageError(flag, value, expected);
  let sum_ms = 0;
  for (const [index, name] of ['h', 'm', 's', 'ms'].entries()) {
    sum_ms += Number(match[index + 1] ?? 0) * (unit_ms[name] ?? 0);
  }
  const rounded_ms = Math.round(sum_ms);
  if (rounded_ms < least_ms || rounded_ms > most_ms) throw new UsageError(flag, value, expected);
  return rounded_ms;
}
