/** On the leader: which agents are heard from, and what their data planes have applied. Memory only. */
import type { Logger } from 'pino';
import { shoalError } from '../errors.ts';
import type { Command } from '../store/commands.ts';
import type { State } from '../store/state.ts';
import type { NodeStatus } from './types.ts';

export type LivenessOptions = {
  state: State;
  log: Logger;
  down_ms: number;
  isLeader: () => boolean;
  propose: (command: Command) => Promise<unknown>;
  /** A monotonic clock. */
  now_ms: () => number;
};

/** Callers that wait for data planes at one time. */
export const waitersLimit = 1_024;

/** Watches heartbeats, and has nodes marked down and ready. */
export class Liveness {
  readonly #options: LivenessOptions;
  readonly #heard = new Map<string, NodeStatus>();
  readonly #proposing = new Set<string>();
  readonly #waiters = new Set<() => void>();
  #waking = false;
  #graceFrom_ms = 0;
  #lastCheck_ms = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.check(), this.#options.down_ms / 10);
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** This node begins or ceases to lead: everyone gets a full period to be heard. */
  leadershipChanged(): void {
    this.#heard.clear();
    this.#graceFrom_ms = this.#options.now_ms();
    this.#wake();
  }

  /** A heartbeat. */
  record(nodeId: string, appliedVersion: number): void {
    const before = this.#heard.get(nodeId)?.appliedVersion;
    this.#heard.set(nodeId, { appliedVersion, lastHeard_ms: this.#options.now_ms() });
    if (before !== appliedVersion) this.#wake();
  }

  /** What was heard of each node; times as of the monotonic clock. */
  statuses(): Map<string, NodeStatus> {
    return new Map(this.#heard);
  }

  /** Compares all nodes with the clock, and proposes what changed. */
  check(): void {
    const { state, now_ms, down_ms, isLeader } = this.#options;
    const now = now_ms();
    // A process that was itself stopped for a while cannot say who was silent.
    if (now - this.#lastCheck_ms > down_ms / 2) this.#graceFrom_ms = now;
    this.#lastCheck_ms = now;
    if (!isLeader()) return;
    for (const node of state.list('node')) {
      // One that has just joined is still setting itself up: its period begins when it is first seen.
      if (node.status === 'ready' && !this.#heard.has(node.id)) {
        this.#heard.set(node.id, { appliedVersion: -1, lastHeard_ms: now });
      }
      const heard_ms = this.#heard.get(node.id)?.lastHeard_ms ?? Number.NEGATIVE_INFINITY;
      const silent = now - Math.max(heard_ms, this.#graceFrom_ms) > down_ms;
      if (silent && node.status === 'ready') this.#propose(node.id, 'down');
      if (now - heard_ms <= down_ms && node.status === 'down') this.#propose(node.id, 'ready');
    }
    for (const id of this.#heard.keys()) if (state.get('node', id) === undefined) this.#heard.delete(id);
  }

  /** Waits until all ready nodes have applied `version`, or the time is over. */
  async waitApplied(version: number, timeout_ms: number): Promise<{ applied: string[]; missing: string[] }> {
    if (this.#waiters.size >= waitersLimit) {
      throw shoalError('OVERLOADED', { what: 'waits for convergence', limit: waitersLimit });
    }
    const deadline_ms = this.#options.now_ms() + timeout_ms;
    for (;;) {
      const result = { applied: [] as string[], missing: [] as string[] };
      let waiting = false;
      for (const node of this.#options.state.list('node')) {
        const done = (this.#heard.get(node.id)?.appliedVersion ?? -1) >= version;
        result[done ? 'applied' : 'missing'].push(node.id);
        if (!done && node.status === 'ready') waiting = true;
      }
      const left_ms = deadline_ms - this.#options.now_ms();
      if (!waiting || left_ms <= 0) return result;
      await this.#change(left_ms);
    }
  }

  #change(timeout_ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, timeout_ms);
      this.#waiters.add(wake);
    });
  }

  /** Wakes those who wait, once for all heartbeats of this turn of the event loop. */
  #wake(): void {
    if (this.#waking || this.#waiters.size === 0) return;
    this.#waking = true;
    setImmediate(() => {
      this.#waking = false;
      for (const wake of [...this.#waiters]) wake();
    });
  }

  #propose(nodeId: string, status: 'ready' | 'down'): void {
    if (this.#proposing.has(nodeId)) return;
    this.#proposing.add(nodeId);
    const { propose, log } = this.#options;
    log.info({ nodeId, status }, status === 'down' ? 'node is not heard from' : 'node is heard from again');
    propose({ type: 'node.update', id: nodeId, patch: { status } })
      .catch((error) => log.warn({ err: error, nodeId, status }, 'the status of a node could not be stored'))
      .finally(() => this.#proposing.delete(nodeId));
  }
}
