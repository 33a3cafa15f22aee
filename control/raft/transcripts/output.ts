/** What a transcript's command prints: a buffer that the core's log goes to as well, by level. */

import type { Logger } from '../core/types.ts';

/** From the most to the least talkative. NONE silences everything but errors of commands. */
export const LOG_LEVELS = ['DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL', 'NONE'] as const;

/** One of the levels that `log-level` takes. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The level of this name, in whatever case. */
export function parseLogLevel(name: string): LogLevel | undefined {
  return LOG_LEVELS.find((level) => level === name.toUpperCase());
}

/** Collects output, indents parts of it, and filters the log by level. */
export class Output implements Logger {
  level: LogLevel = 'DEBUG';
  #text = '';

  get isQuiet(): boolean {
    return this.level === 'NONE';
  }

  /** Adds text as it is, unless all output is off. */
  write(text: string): void {
    if (!this.isQuiet) this.#text += text;
  }

  writeLine(text: string): void {
    this.write(`${text}\n`);
  }

  /** Runs `print` and indents each line that it prints. */
  indented(print: () => void): void {
    const outer = this.#text;
    this.#text = '';
    try {
      print();
    } finally {
      const lines = this.#text.split('\n');
      if (lines.at(-1) === '') lines.pop();
      this.#text = outer + lines.map((line) => `  ${line}\n`).join('');
    }
  }

  /** What was printed since the last call. */
  take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }

  debug(line: string): void {
    this.#log('DEBUG', line);
  }

  info(line: string): void {
    this.#log('INFO', line);
  }

  warn(line: string): void {
    this.#log('WARN', line);
  }

  error(line: string): void {
    this.#log('ERROR', line);
  }

  #log(level: LogLevel, line: string): void {
    if (LOG_LEVELS.indexOf(this.level) <= LOG_LEVELS.indexOf(level)) this.writeLine(`${level} ${line}`);
  }
}
