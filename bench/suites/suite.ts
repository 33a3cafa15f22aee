/** What every suite of `npm run bench` looks like. */
import type { SuiteResult } from '../results.ts';

export interface SuiteOptions {
  readonly repetitions: number;
  /** Of one measure of one contestant. */
  readonly duration_s: number;
  /** Names of the contestants to run; all if empty. */
  readonly only: readonly string[];
  /** Says what is being done. */
  readonly progress: (line: string) => void;
}

export interface Suite {
  readonly name: string;
  readonly about: string;
  /** Names that `only` may hold. */
  readonly contestants: readonly string[];
  run(options: SuiteOptions): Promise<SuiteResult>;
}
