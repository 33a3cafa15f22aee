/** Typed access to a command's arguments, with errors that name the command. */

import { type TranscriptCase, TranscriptError } from './datadriven.ts';

/** Throws TranscriptError: the case itself is wrong, whatever the implementation. */
export function badCase(given: TranscriptCase, what: string): never {
  throw new TranscriptError(`line ${given.line}: ${given.command}: ${what}`);
}

/** `text` as a decimal number. */
export function parseNumber(given: TranscriptCase, text: string | undefined): number {
  const value = Number(text);
  if (text === undefined || !/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    badCase(given, `a number is expected instead of "${text ?? ''}"`);
  }
  return value;
}

/** `text` as a truth value, in the forms that Go's strconv.ParseBool takes; undefined if it is none. */
export function parseTruth(text: string): boolean | undefined {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
  return ['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text) ? false : undefined;
}

/** A truth value that must be one. */
export function truthOf(given: TranscriptCase, text: string): boolean {
  return parseTruth(text) ?? badCase(given, `true or false is expected instead of "${text}"`);
}

/** The first word as a number. */
export function firstNumber(given: TranscriptCase): number {
  return parseNumber(given, given.args[0]?.key);
}

/** All words without `=`, as numbers. */
export function plainNumbers(given: TranscriptCase): number[] {
  return given.args.filter(({ values }) => values.length === 0).map(({ key }) => parseNumber(given, key));
}

/** The values of `key=`, or undefined if there is no such argument. */
export function valuesOf(given: TranscriptCase, key: string): readonly string[] | undefined {
  return given.args.find((argument) => argument.key === key)?.values;
}
