/**
 * The verdict on one endpoint: results of checks go in, the time of the next check and, now and then, a change of
 * health come out. Pure: time and randomness are arguments.
 */
import type { Endpoint, HealthCheck } from '../store/objects.ts';

/**
 * How a check ended. `definite` means that the endpoint's machine answered with a refusal, which needs no waiting
 * to be confirmed; `inconclusive` that this node could not check (no sockets left, say): it proves nothing.
 */
export type Outcome =
  | { kind: 'pass' }
  | { kind: 'fail'; reason: string; definite: boolean }
  | { kind: 'inconclusive'; reason: string };

/** A change of health. */
export type Transition = { health: 'healthy' | 'unhealthy'; reason: string };

/** Pause before a definite failure is confirmed by another check. */
export const confirm_ms = 50;
/** Share of the interval by which it varies either way, so that checks do not march in step. */
export const jitterShare = 0.1;
/** However long the interval, an endpoint is checked for the first time within this time. */
export const maxInitialDelay_ms = 1_000;

/** Delay of the first check: spread over the interval by a hash of the endpoint's id (FNV-1a). */
export function initialDelay_ms(endpointId: string, interval_ms: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < endpointId.length; index += 1) {
    hash = Math.imul(hash ^ endpointId.charCodeAt(index), 0x01000193) >>> 0;
  }
  return (hash / 2 ** 32) * Math.min(interval_ms, maxInitialDelay_ms);
}

/**
 * Rise and fall counting for one endpoint. `unknown` and `unhealthy` become healthy after `rise` passes in a row,
 * `unknown` and `healthy` become unhealthy after `fall` failures in a row.
 */
export class HealthMachine {
  readonly #check: HealthCheck;
  #health: Endpoint['health'];
  #reason = '';
  #confirmed = false;
  #passes = 0;
  #failures = 0;
  #startedAt_ms = 0;
  #dueAt_ms: number;

  constructor(endpointId: string, check: HealthCheck, health: Endpoint['health'], now_ms: number) {
    this.#check = check;
    this.#health = health;
    this.#dueAt_ms = now_ms + initialDelay_ms(endpointId, check.interval_ms);
  }

  get health(): Endpoint['health'] {
    return this.#health;
  }

  /** Whether this machine's own results bear its health out, rather than what the store said at first. */
  get confirmed(): boolean {
    return this.#confirmed;
  }

  /** Takes over another verdict, to be confirmed or refuted from here on. */
  adopt(health: Endpoint['health']): void {
    this.#health = health;
    this.#reason = '';
    this.#passes = 0;
    this.#failures = 0;
    this.#confirmed = false;
  }

  /** Why it is unhealthy, as the last check found; empty otherwise. */
  get reason(): string {
    return this.#reason;
  }

  /** When the next check should begin. */
  get dueAt_ms(): number {
    return this.#dueAt_ms;
  }

  /** Notes that a check begins. */
  started(now_ms: number): void {
    this.#startedAt_ms = now_ms;
  }

  /** Takes the result of the check begun last; returns the change it brings about, if any. */
  finished(outcome: Outcome, now_ms: number, random: () => number): Transition | undefined {
    const transition = this.#count(outcome);
    this.#dueAt_ms = this.#nextDue_ms(outcome, now_ms, random);
    return transition;
  }

  #count(outcome: Outcome): Transition | undefined {
    if (outcome.kind === 'inconclusive') return undefined;
    if (outcome.kind === 'pass') {
      this.#failures = 0;
      this.#passes = Math.min(this.#passes + 1, this.#check.rise);
      return this.#passes < this.#check.rise ? undefined : this.#conclude('healthy', '');
    }
    this.#passes = 0;
    this.#failures = Math.min(this.#failures + 1, this.#check.fall);
    return this.#failures < this.#check.fall ? undefined : this.#conclude('unhealthy', outcome.reason);
  }

  #conclude(health: Transition['health'], reason: string): Transition | undefined {
    const changed = this.#health !== health;
    this.#health = health;
    this.#reason = reason;
    this.#confirmed = true;
    return changed ? { health, reason } : undefined;
  }

  /** Intervals run from start to start; a definite failure that changed nothing yet is confirmed soon. */
  #nextDue_ms(outcome: Outcome, now_ms: number, random: () => number): number {
    const jitter = 1 + jitterShare * (2 * random() - 1);
    const regular = Math.max(now_ms, this.#startedAt_ms + this.#check.interval_ms * jitter);
    const inDoubt = outcome.kind === 'fail' && outcome.definite && this.#health !== 'unhealthy';
    return inDoubt ? Math.min(regular, now_ms + confirm_ms) : regular;
  }
}
