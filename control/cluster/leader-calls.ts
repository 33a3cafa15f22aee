/**
 * Calls that only the leader answers, made from any node.
 *
 * While there is no leader, or it changes, the call is made again until its time is over. All such calls bear being
 * made twice: what changes something carries a request id.
 */
import { shoalError, toShoalError } from '../errors.ts';
import type { Directory } from './directory.ts';
import type { RpcPool } from './rpc/pool.ts';

const pause_ms = { least: 15, most: 120 } as const;

/** Time between two looks at who leads, while a call waits for its answer. */
const look_ms = 25;

export type LeaderCallsOptions = {
  directory: Directory;
  pool: RpcPool;
  /** Node id of the leader that this node knows of. */
  leader: () => string | null;
  /** Another node said who leads. */
  hint: (nodeId: string | null) => void;
  /** Answers a call on this node. */
  local: (method: string, params: unknown) => Promise<unknown>;
};

/** Finds the leader and calls it. */
export class LeaderCalls {
  readonly #options: LeaderCallsOptions;
  #closed = false;

  constructor(options: LeaderCallsOptions) {
    this.#options = options;
  }

  /** Calls under way end with an error at their next step. */
  close(): void {
    this.#closed = true;
  }

  /**
   * The leader's answer. Throws what the leader threw; NO_LEADER if it was certainly not asked, TIMEOUT if it may have
   * been.
   */
  async call(method: string, params: unknown, timeout_ms: number): Promise<unknown> {
    const deadline_ms = performance.now() + timeout_ms;
    const attempt_ms = Math.max(1_000, timeout_ms / 3);
    let asked = false;
    let reason = 'none was found in time';
    for (let attempt = 0; !this.#closed; attempt += 1) {
      const left_ms = deadline_ms - performance.now();
      if (left_ms <= 0) break;
      try {
        return await this.#attempt(method, params, attempt, Math.min(left_ms, attempt_ms));
      } catch (thrown) {
        const error = toShoalError(thrown);
        if (error.code === 'TIMEOUT') asked = true;
        else if (error.code === 'NOT_LEADER') this.#options.hint((error.details?.leader as string) ?? null);
        else if (error.code === 'UNREACHABLE') this.#options.hint(null);
        else if (error.code !== 'NO_LEADER') throw error;
        reason = error.message;
      }
      const wait_ms = Math.min(pause_ms.most, pause_ms.least * 2 ** Math.min(attempt, 5));
      await new Promise((resolve) => setTimeout(resolve, wait_ms * (0.5 + Math.random() / 2)));
    }
    throw asked ? shoalError('TIMEOUT', { reason }) : shoalError('NO_LEADER', { reason });
  }

  #attempt(method: string, params: unknown, attempt: number, timeout_ms: number): Promise<unknown> {
    const { directory, pool, leader, local } = this.#options;
    const { nodeId } = directory.self;
    const known = leader();
    if (known === nodeId) return local(method, params);
    const others = directory.managers().filter((manager) => manager.nodeId !== nodeId);
    const target =
      others.find((manager) => manager.nodeId === known) ?? others[attempt % Math.max(1, others.length)];
    if (target === undefined) return Promise.reject(shoalError('NO_LEADER'));
    return this.#untilDeposed(target.nodeId, pool.client(target).call(method, params, timeout_ms));
  }

  /** Gives a call up as soon as another node is known to lead: the one called may be cut off, and never answer. */
  #untilDeposed(nodeId: string, answer: Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const looking = setInterval(() => {
        const leader = this.#options.leader();
        if (leader === null || leader === nodeId) return;
        reject(shoalError('TIMEOUT', { reason: 'the leader changed' }));
      }, look_ms);
      answer.then(resolve, reject).finally(() => clearInterval(looking));
    });
  }
}
