/** What every measure looks like. */
import type { BenchLab, Target } from '../contestants/contestant.ts';

/** One result of a measure. */
export interface Sample {
  /** In the measure's unit. */
  readonly value: number;
  /** Failed connections or requests behind it. */
  readonly errors: number;
}

/** Something that can be measured between a client and a target. More is better. */
export interface Measure {
  /** Key in the JSON. */
  readonly name: string;
  /** Heading of its column. */
  readonly title: string;
  readonly unit: string;
  /** Digits after the point in the table. */
  readonly digits: number;
  /** Commands without which it cannot run. */
  readonly commands: readonly string[];
  run(lab: BenchLab, target: Target, duration_s: number): Promise<Sample>;
}
