/** Whole numbers and ports, from text. Pure. */
import { UsageError } from '../usage-error.ts';

/** Largest TCP or UDP port. */
export const largestPort = 65_535;

/** A whole number in decimal digits from `least` to `most`. Throws {@link UsageError}. */
export function parseInteger(flag: string, value: string, least: number, most: number): number {
  const expected = `a whole number from ${least} to ${most}`;
  if (!/^\d{1,15}$/.test(value)) throw new UsageError(flag, value, expected);
  const number = Number(value);
  if (number < least || number > most) throw new UsageError(flag, value, expected);
  return number;
}

/** The port that `text` spells (1 to 65535), or undefined. Leading zeros are not taken. */
export function portFrom(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= largestPort ? port : undefined;
}

/** A port, 1 to 65535. Throws {@link UsageError}. */
export function parsePort(flag: string, value: string): number {
  const port = portFrom(value);
  if (port === undefined) throw new UsageError(flag, value, `a port from 1 to ${largestPort}`);
  return port;
}
