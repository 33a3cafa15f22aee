/**
 * Reading transcripts: cases of a command line, optional input lines, `----` and the expected output up to a
 * blank line (or between doubled `----` lines, if it holds blank lines itself). `#` begins a comment, a
 * backslash at the end continues the command line.
 */

/** One word of a command line: `key`, `key=value` or `key=(value, value)`. */
export interface Argument {
  readonly key: string;
  /** Empty for a word without `=`. */
  readonly values: readonly string[];
}

/** One case of a transcript. */
export interface TranscriptCase {
  /** Line of the command, from 1. */
  readonly line: number;
  readonly command: string;
  readonly args: readonly Argument[];
  /** Lines between the command and the separator, trimmed. */
  readonly input: string;
  /** With a line end on each line; empty if nothing is expected. */
  readonly expected: string;
}

/** A transcript that cannot be read; the message has the line. */
export class TranscriptError extends Error {
  override readonly name = 'TranscriptError';
}

const SEPARATOR = '----';

/** The cases of a transcript, in order. Throws TranscriptError. */
export function parseTranscript(text: string): TranscriptCase[] {
  return new Parser(text).cases();
}

class Parser {
  readonly #lines: readonly string[];
  #at = 0;

  constructor(text: string) {
    const lines = text.split(/\r?\n/);
    if (lines.at(-1) === '') lines.pop();
    this.#lines = lines;
  }

  cases(): TranscriptCase[] {
    const cases: TranscriptCase[] = [];
    while (this.#at < this.#lines.length) {
      const line = this.#at + 1;
      const directive = this.#directive();
      if (directive === '') continue;
      const { command, args } = parseDirective(directive, line);
      // Only groups cases under a name.
      if (command === 'subtest') continue;
      const input = this.#input(line);
      cases.push({ line, command, args, input, expected: this.#expected() });
    }
    return cases;
  }

  #next(): string {
    const line = this.#lines[this.#at] ?? '';
    this.#at += 1;
    return line;
  }

  #directive(): string {
    let text = this.#next().trim();
    if (text.startsWith('#')) return '';
    while (text.endsWith('\\') && this.#at < this.#lines.length) {
      text = `${text.slice(0, -1)} ${this.#next().trim()}`;
    }
    return text;
  }

  #input(line: number): string {
    const input: string[] = [];
    while (this.#at < this.#lines.length) {
      const text = this.#next();
      if (text === SEPARATOR) return input.join('\n').trim();
      input.push(text);
    }
    throw new TranscriptError(`line ${line}: the command is not followed by a line "${SEPARATOR}"`);
  }

  #expected(): string {
    if (this.#lines[this.#at] === SEPARATOR) return this.#expectedWithBlankLines();
    let expected = '';
    while (this.#at < this.#lines.length) {
      const text = this.#next();
      if (text.trim() === '') break;
      expected += `${text}\n`;
    }
    return expected;
  }

  #expectedWithBlankLines(): string {
    const start = this.#at;
    this.#at += 1;
    let expected = '';
    while (this.#at < this.#lines.length) {
      const text = this.#next();
      if (text === SEPARATOR && this.#lines[this.#at] === SEPARATOR) {
        this.#at += 1;
        return expected;
      }
      expected += `${text}\n`;
    }
    throw new TranscriptError(`line ${start + 1}: the doubled "${SEPARATOR}" is never closed`);
  }
}

/** Splits a command line into words. Throws TranscriptError. */
export function parseDirective(text: string, line: number): { command: string; args: Argument[] } {
  const [command = ''] = text.split(' ', 1);
  const args: Argument[] = [];
  let rest = text.slice(command.length).trim();
  while (rest !== '') {
    const [key = ''] = /^[^ =]*/.exec(rest) ?? [];
    if (key === '') throw new TranscriptError(`line ${line}: a word is expected at "${rest}"`);
    rest = rest.slice(key.length);
    let values: string[] = [];
    if (rest.startsWith('=(')) {
      const end = closingParenthesis(rest, line);
      values = splitValues(rest.slice(2, end));
      rest = rest.slice(end + 1);
    } else if (rest.startsWith('=')) {
      const [value = ''] = /^[^ ]*/.exec(rest.slice(1)) ?? [];
      values = [value];
      rest = rest.slice(1 + value.length);
    }
    args.push({ key, values });
    rest = rest.trim();
  }
  return { command, args };
}

function closingParenthesis(text: string, line: number): number {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '(') depth += 1;
    if (text[at] === ')') depth -= 1;
    if (text[at] === ')' && depth === 0) return at;
  }
  throw new TranscriptError(`line ${line}: a parenthesis is not closed in "${text}"`);
}

/** Splits at the commas that are not within parentheses; spaces after a comma do not count. */
function splitValues(text: string): string[] {
  const values: string[] = [];
  let depth = 0;
  let value = '';
  for (const character of text) {
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    if (character === ',' && depth === 0) {
      values.push(value);
      value = '';
    } else if (character !== ' ' || value !== '' || values.length === 0) {
      value += character;
    }
  }
  values.push(value);
  return values;
}
