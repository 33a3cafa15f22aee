/** What a suite finds out: the form of `--json FILE`. */
import { cpus, release, version } from 'node:os';
import type { Summary } from './statistics.ts';

/** One contestant in one measure. */
export interface Entry extends Summary {
  /** Of its median to that of the baseline; undefined if the baseline has none. */
  readonly ratio?: number;
  /** Failed connections or requests in all samples. */
  readonly errors: number;
}

export interface MeasureResult {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly digits: number;
  /** By contestant. */
  readonly entries: Record<string, Entry>;
}

export interface Machine {
  readonly cpu: string;
  readonly cpuCount: number;
  readonly kernel: string;
  readonly kernelBuild: string;
  readonly node: string;
}

export interface SuiteResult {
  readonly suite: string;
  readonly about: string;
  readonly date: string;
  readonly machine: Machine;
  readonly repetitions: number;
  readonly duration_s: number;
  /** The contestant that ratios refer to. */
  readonly baseline: string;
  /** In the order of the table. */
  readonly contestants: readonly { readonly name: string; readonly about: string }[];
  readonly measures: readonly MeasureResult[];
  /** Contestants that could not run here for want of a program. */
  readonly missing: readonly { readonly name: string; readonly commands: readonly string[] }[];
  /** What went wrong with those that ran. */
  readonly failures: readonly { readonly contestant: string; readonly message: string }[];
}

export function describeMachine(): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? 'unknown',
    cpuCount: all.length,
    kernel: release(),
    kernelBuild: version(),
    node: process.version,
  };
}
