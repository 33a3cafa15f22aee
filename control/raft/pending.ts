/** Proposals that wait for their entry to be applied, by request id. */
import { shoalError } from '../errors.ts';
import type { ApplyResult } from '../store/state.ts';

/** What became of a proposal: the entry that carried it, and the state machine's answer. */
export type Outcome = { index: number; result: ApplyResult };

type Waiter = { deadline_ms: number; resolve: (outcome: Outcome) => void; reject: (error: Error) => void };

/** Proposals in flight at one time. */
export const proposalsLimit = 4_096;

/** A bounded table of waiting proposers. Times are those of a monotonic clock. */
export class PendingProposals {
  readonly #waiters = new Map<string, Waiter[]>();
  #count = 0;
  readonly counters = { refused: 0, timedOut: 0, lost: 0 };

  get size(): number {
    return this.#count;
  }

  /** Waits for the outcome of a request. Rejects with OVERLOADED at once when too many wait. */
  wait(requestId: string, deadline_ms: number): Promise<Outcome> {
    if (this.#count >= proposalsLimit) {
      this.counters.refused += 1;
      return Promise.reject(shoalError('OVERLOADED', { what: 'proposals', limit: proposalsLimit }));
    }
    this.#count += 1;
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(requestId) ?? [];
      waiters.push({ deadline_ms, resolve, reject });
      this.#waiters.set(requestId, waiters);
    });
  }

  /** Answers those who wait for `requestId`. */
  resolve(requestId: string, outcome: Outcome): void {
    for (const waiter of this.#take(requestId)) waiter.resolve(outcome);
  }

  /** Fails those who wait for `requestId`: its proposal was not accepted. */
  reject(requestId: string, error: Error): void {
    for (const waiter of this.#take(requestId)) waiter.reject(error);
  }

  /** Fails everyone: this node does not lead any more, and what was proposed may or may not be committed. */
  rejectAll(reason: string): void {
    this.counters.lost += this.#count;
    for (const requestId of [...this.#waiters.keys()])
      this.reject(requestId, shoalError('TIMEOUT', { reason }));
  }

  /** Fails those whose time is over. */
  expire(now_ms: number): void {
    for (const [requestId, waiters] of this.#waiters) {
      const late = waiters.filter((waiter) => waiter.deadline_ms <= now_ms);
      if (late.length === 0) continue;
      const rest = waiters.filter((waiter) => waiter.deadline_ms > now_ms);
      if (rest.length === 0) this.#waiters.delete(requestId);
      else this.#waiters.set(requestId, rest);
      this.#count -= late.length;
      this.counters.timedOut += late.length;
      for (const waiter of late)
        waiter.reject(shoalError('TIMEOUT', { reason: 'the change was not committed in time' }));
    }
  }

  #take(requestId: string): Waiter[] {
    const waiters = this.#waiters.get(requestId) ?? [];
    this.#waiters.delete(requestId);
    this.#count -= waiters.length;
    return waiters;
  }
}
