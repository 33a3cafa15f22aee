/** A long-running program of a lab, and what it wrote. */
import type { ChildProcess } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync, statSync, truncateSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Newest part of a log that `logs()` returns. */
export const logView_bytes = 512 * 1024;
/** Size at which a log file starts again from empty; `logRestarts` counts how often. */
export const logFileLimit_bytes = 64 * 1024 * 1024;

const logCheckInterval_ms = 1_000;

/** How a program ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A spawned program. It is killed when its lab goes. */
export class LabProcess implements AsyncDisposable {
  /** What was started, for messages. */
  readonly title: string;
  /** File that standard output and error go to; it also fills when the lab's own process is gone. */
  readonly logPath: string;
  /** Settles when the program has ended. Never rejects. */
  readonly exited: Promise<Ending>;
  logRestarts = 0;
  readonly #child: ChildProcess;
  #ending: Ending | undefined;

  constructor(child: ChildProcess, title: string, logPath: string) {
    this.#child = child;
    this.title = title;
    this.logPath = logPath;
    const logCheck = setInterval(() => this.#limitLog(), logCheckInterval_ms).unref();
    this.exited = new Promise((resolve) => {
      const end = (ending: Ending): void => {
        clearInterval(logCheck);
        this.#ending = ending;
        resolve(ending);
      };
      child.once('exit', (code, signal) => end({ code, signal }));
      child.once('error', () => end({ code: 127, signal: null }));
    });
    // A program left running must not keep the process that tests or demonstrates it from ending.
    child.unref();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** How it ended, or undefined while it runs. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** Sends a signal to the program's process group. Does nothing if it has ended. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    if (this.#ending !== undefined || this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /** Asks the program to end, and kills it if it has not after `timeout_ms`. */
  async stop(options: { signal?: NodeJS.Signals; timeout_ms?: number } = {}): Promise<Ending> {
    this.kill(options.signal ?? 'SIGTERM');
    const polite = await this.#endsWithin(options.timeout_ms ?? 5_000);
    if (!polite) this.kill('SIGKILL');
    return this.#whileReferenced(this.exited);
  }

  /** Waits until the program has ended by itself. @throws Error with its log if it runs on */
  async waitForEnd(timeout_ms = 30_000): Promise<Ending> {
    if (!(await this.#endsWithin(timeout_ms))) throw this.failure(`did not end in ${timeout_ms} ms`);
    return this.exited;
  }

  /** The newest `logView_bytes` of what the program wrote. */
  logs(): string {
    const file = openSync(this.logPath, 'r');
    try {
      const { size } = fstatSync(file);
      const buffer = Buffer.alloc(Math.min(size, logView_bytes));
      const length_bytes = readSync(file, buffer, 0, buffer.length, size - buffer.length);
      return buffer.toString('utf8', 0, length_bytes);
    } finally {
      closeSync(file);
    }
  }

  /**
   * Waits until the log matches.
   * @throws Error with the log's end if the program ends first or `timeout_ms` passes
   */
  async waitForLog(pattern: RegExp | string, timeout_ms = 10_000): Promise<string> {
    const deadline = performance.now() + timeout_ms;
    for (;;) {
      const ended = this.#ending;
      const log = this.logs();
      if (typeof pattern === 'string' ? log.includes(pattern) : pattern.test(log)) return log;
      if (ended !== undefined) throw this.failure(`ended before it wrote ${pattern}`);
      if (performance.now() > deadline) throw this.failure(`did not write ${pattern} in ${timeout_ms} ms`);
      await sleep(20);
    }
  }

  /** An error about this program, with how it ended and the last lines of its log. */
  failure(what: string): Error {
    const ending = this.#ending;
    const state = ending === undefined ? 'still running' : `exit ${ending.code ?? ending.signal}`;
    const tail = this.logs().trimEnd().split('\n').slice(-20).join('\n');
    return new Error(`${this.title} ${what} (${state}); its log ends with:\n${tail || '(nothing)'}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #endsWithin(duration_ms: number): Promise<boolean> {
    const timer = new AbortController();
    const late = sleep(duration_ms, false, { signal: timer.signal }).catch(() => false);
    const ended = await Promise.race([this.exited.then(() => true), late]);
    timer.abort();
    return ended;
  }

  /** Awaiting an unreferenced child needs something else that keeps the event loop turning. */
  async #whileReferenced<T>(promise: Promise<T>): Promise<T> {
    const hold = setInterval(() => {}, 1_000);
    try {
      return await promise;
    } finally {
      clearInterval(hold);
    }
  }

  #limitLog(): void {
    const size = statSync(this.logPath, { throwIfNoEntry: false })?.size ?? 0;
    if (size < logFileLimit_bytes) return;
    truncateSync(this.logPath, 0);
    this.logRestarts++;
  }
}
