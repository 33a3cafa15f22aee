/**
 * On the leader: makes Raft's membership follow the managers in the store.
 *
 * One change at a time: a new manager becomes a learner, and a voter once it has acknowledged entries; a member that
 * is in the store no more, or is about to leave, is taken out. Looking at what is, again and again, it also finishes
 * what a former leader began.
 */
import type { Logger } from 'pino';
import { shoalError } from '../errors.ts';
import { type ConfChangeType, NO_BYTES } from '../raft/core/index.ts';
import type { RaftDriver } from '../raft/driver.ts';
import type { State } from '../store/state.ts';

/** Time between two looks. */
const look_ms = 50;
/** A learner this many entries behind is close enough to vote. */
const closeEnough_entries = 256;

/** Keeps voters and learners as they should be. */
export class Voters {
  readonly #driver: RaftDriver;
  readonly #state: State;
  readonly #log: Logger;
  readonly #leaving = new Set<number>();
  #timer: NodeJS.Timeout | null = null;
  #proposed = { confState: null as object | null, at_ms: 0 };

  constructor(driver: RaftDriver, state: State, log: Logger) {
    this.#driver = driver;
    this.#state = state;
    this.#log = log;
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), look_ms);
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** Proposes the next change, if one is due and none is on its way. */
  look(): void {
    const { confState, isLeader } = this.#driver;
    if (!isLeader || confState.votersOutgoing.length > 0) return;
    const now_ms = performance.now();
    if (this.#proposed.confState === confState && now_ms - this.#proposed.at_ms < 1_000) return;
    const change = this.#next();
    if (change === null) return;
    this.#proposed = { confState, at_ms: now_ms };
    this.#log.info({ ...change }, 'changing the members of Raft');
    try {
      this.#driver.proposeMembership({ ...change, context: NO_BYTES, id: 0 });
    } catch (error) {
      this.#log.warn({ err: error }, 'a membership change was not proposed');
    }
  }

  /** Takes a member out of Raft, before its node goes from the store. Throws TIMEOUT; NOT_LEADER if it is this one. */
  async remove(raftId: number, timeout_ms: number): Promise<void> {
    const deadline_ms = performance.now() + timeout_ms;
    this.#leaving.add(raftId);
    try {
      for (;;) {
        const { confState, isLeader } = this.#driver;
        if (!isLeader) throw shoalError('NOT_LEADER');
        if (!confState.voters.includes(raftId) && !confState.learners.includes(raftId)) return;
        if (performance.now() > deadline_ms) {
          throw shoalError('TIMEOUT', { reason: `manager ${raftId} is still a member of Raft` });
        }
        this.look();
        await new Promise((resolve) => setTimeout(resolve, look_ms / 2));
      }
    } finally {
      // Long enough for the node to go from the store; then it would be taken for a new manager.
      setTimeout(() => this.#leaving.delete(raftId), 5_000).unref();
    }
  }

  /** A voter other than this node that has all entries, or the one that has most; 0 if there is none. */
  successor(): number {
    const { id, progress } = this.#driver.status();
    let best = { raftId: 0, match: -1 };
    for (const [raftId, { match, isLearner, recentActive }] of progress) {
      if (raftId === id || isLearner || !recentActive || this.#leaving.has(raftId)) continue;
      if (match > best.match) best = { raftId, match };
    }
    return best.raftId;
  }

  #next(): { type: ConfChangeType; nodeId: number } | null {
    const { voters, learners } = this.#driver.confState;
    const members = [...voters, ...learners];
    const managers = this.#state.list('node').filter((node) => node.role === 'manager');
    const wanted = new Set(
      managers.map((node) => node.raftId).filter((raftId) => !this.#leaving.has(raftId)),
    );
    const gone = members.find((raftId) => !wanted.has(raftId));
    if (gone !== undefined && members.length > 1) return { type: 'ConfChangeRemoveNode', nodeId: gone };
    const { progress, hardState } = this.#driver.status();
    for (const raftId of learners) {
      const of = progress.get(raftId);
      if (of?.recentActive && of.match > 0 && of.match + closeEnough_entries >= hardState.commit) {
        return { type: 'ConfChangeAddNode', nodeId: raftId };
      }
    }
    const added = [...wanted].find((raftId) => !members.includes(raftId));
    return added === undefined ? null : { type: 'ConfChangeAddLearnerNode', nodeId: added };
  }
}
