/** What the agent's settings take, from text. Pure; the errors name the place that the value came from. */
import { parseAddress as parseHostAddress } from '../cli/parse/address.ts';
import { parseDuration_ms } from '../cli/parse/duration.ts';
import { parseInteger } from '../cli/parse/number.ts';
import { UsageError } from '../cli/usage-error.ts';

export { parseName } from '../cli/parse/name.ts';
export { parsePort } from '../cli/parse/number.ts';

/** From text to value; `where` is the flag, variable or line it came from. Throws {@link UsageError}. */
export type Parse<T> = (where: string, value: string) => T;

export const parseAddress: Parse<string> = parseHostAddress;

/** A path from the root, without a zero byte and without `..`. */
export const parsePath: Parse<string> = (where, value) => {
  if (!value.startsWith('/') || value.includes('\0') || value.split('/').includes('..')) {
    throw new UsageError(where, value, 'a path from the root, such as /var/lib/shoal');
  }
  return value.length > 1 ? value.replace(/\/+$/, '') : value;
};

/** The name of an interface, as the kernel takes it: 1 to 15 bytes, no slash, space or colon (dev_valid_name). */
export const parseInterface: Parse<string> = (where, value) => {
  if (!/^[^/\s:]{1,15}$/.test(value) || value === '.' || value === '..') {
    throw new UsageError(where, value, 'the name of an interface, such as eth0');
  }
  return value;
};

/** Any text but an empty one. */
export const parseText: Parse<string> = (where, value) => {
  if (value.trim() === '') throw new UsageError(where, value, 'a name or number');
  return value.trim();
};

/** One of these words. */
export function parseChoice<const T extends string>(...choices: T[]): Parse<T> {
  return (where, value) => {
    const chosen = choices.find((choice) => choice === value);
    if (chosen === undefined) {
      throw new UsageError(where, value, `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`);
    }
    return chosen;
  };
}

/** Milliseconds of a duration between the two. */
export function parseDuration(least_ms: number, most_ms: number): Parse<number> {
  return (where, value) => parseDuration_ms(where, value, least_ms, most_ms);
}

/** Ticks of an election's wait. */
export const parseTicks: Parse<number> = (where, value) => parseInteger(where, value, 5, 1_000);
