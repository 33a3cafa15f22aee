/** The membership in force, each member's progress, and the votes of a running election. */

import { Inflights } from './inflights.ts';
import type { Progress } from './progress.ts';
import { JointConfig, MajorityConfig, type VoteResult } from './quorum.ts';
import { sortedIds } from './states.ts';
import type { ConfState } from './types.ts';

/**
 * A membership. Invariants: learners and voters (of either half) are disjoint; learnersNext is a subset of the
 * outgoing voters, and empty unless joint; autoLeave only while joint.
 */
export interface Membership {
  readonly voters: JointConfig;
  readonly learners: ReadonlySet<number>;
  /** Voters of the outgoing half that become learners when it is left; until then they still vote. */
  readonly learnersNext: ReadonlySet<number>;
  readonly autoLeave: boolean;
}

/** Progress by member id. */
export type ProgressMap = ReadonlyMap<number, Progress>;

/** A membership without members. */
export const EMPTY_MEMBERSHIP: Membership = {
  voters: new JointConfig(MajorityConfig.EMPTY),
  learners: new Set(),
  learnersNext: new Set(),
  autoLeave: false,
};

/** The membership as it is stored in snapshots. */
export function confStateOf(membership: Membership): ConfState {
  return {
    voters: membership.voters.incoming.ids,
    learners: sortedIds(membership.learners),
    votersOutgoing: membership.voters.outgoing.ids,
    learnersNext: sortedIds(membership.learnersNext),
    autoLeave: membership.autoLeave,
  };
}

/** The leader's view of all members, and a candidate's of the votes. */
export class ProgressTracker {
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  #membership: Membership = EMPTY_MEMBERSHIP;
  #progress: ProgressMap = new Map();
  /** Members with their progress, sorted by id: the order in which messages are sent. */
  #members: readonly (readonly [number, Progress])[] = [];
  readonly #votes = new Map<number, boolean>();
  readonly #matchOf = (id: number): number | undefined => this.#progress.get(id)?.match;

  constructor(maxInflightMessages: number, maxInflightBytes: number) {
    this.maxInflightMessages = maxInflightMessages;
    this.maxInflightBytes = maxInflightBytes;
  }

  get membership(): Membership {
    return this.#membership;
  }

  get progress(): ProgressMap {
    return this.#progress;
  }

  /** All members, voters and learners, sorted by id. */
  get members(): readonly (readonly [number, Progress])[] {
    return this.#members;
  }

  /** Puts another membership in force. */
  replace(membership: Membership, progress: ProgressMap): void {
    this.#membership = membership;
    this.#progress = progress;
    this.#members = [...progress].sort(([a], [b]) => a - b);
  }

  get(id: number): Progress | undefined {
    return this.#progress.get(id);
  }

  newInflights(): Inflights {
    return new Inflights(this.maxInflightMessages, this.maxInflightBytes);
  }

  /** True if one voter decides alone. */
  get isSingleton(): boolean {
    return this.#membership.voters.incoming.size === 1 && !this.#membership.voters.isJoint;
  }

  /** The highest index that a quorum's logs have. */
  committed(): number {
    return this.#membership.voters.committedIndex(this.#matchOf);
  }

  /** True if a quorum was heard of since the last check. */
  quorumActive(): boolean {
    const active = new Map<number, boolean>();
    for (const [id, progress] of this.#members) {
      if (!progress.isLearner) active.set(id, progress.recentActive);
    }
    return this.#membership.voters.voteResult(active) === 'VoteWon';
  }

  resetVotes(): void {
    this.#votes.clear();
  }

  /** Counts a vote; only a member's first one counts. */
  recordVote(id: number, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  /** The election so far. The counts, for the log, are of present voters only. */
  tallyVotes(): { granted: number; rejected: number; result: VoteResult } {
    let granted = 0;
    let rejected = 0;
    for (const [id, progress] of this.#members) {
      if (progress.isLearner) continue;
      const vote = this.#votes.get(id);
      if (vote === true) granted += 1;
      else if (vote === false) rejected += 1;
    }
    return { granted, rejected, result: this.#membership.voters.voteResult(this.#votes) };
  }
}
