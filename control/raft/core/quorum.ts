/**
 * Quorums: what a majority, or two majorities at once (joint consensus, dissertation 4.3), has acknowledged or
 * voted for.
 */

/** The state of a ballot. Lost means that it cannot be won any more. */
export type VoteResult = 'VotePending' | 'VoteLost' | 'VoteWon';

/** The index that a voter has acknowledged, or undefined if it has not been heard of. */
export type AckedIndex = (voter: number) => number | undefined;

/** A set of voters that decides by majority. Immutable, sorted by id. */
export class MajorityConfig {
  static readonly EMPTY = new MajorityConfig([]);

  /** Sorted, without repetition. */
  readonly ids: readonly number[];
  /** Where `committedIndex` sorts; kept to spare an allocation per acknowledgement. */
  readonly #scratch: number[];

  constructor(ids: Iterable<number>) {
    this.ids = [...new Set(ids)].sort((a, b) => a - b);
    this.#scratch = this.ids.map(() => 0);
  }

  get size(): number {
    return this.ids.length;
  }

  /** True if `id` votes here. */
  has(id: number): boolean {
    return this.ids.includes(id);
  }

  /**
   * The highest index that a majority has acknowledged. `Infinity` without voters, so that an empty half never
   * limits a joint configuration.
   */
  committedIndex(acked: AckedIndex): number {
    const voters = this.ids.length;
    if (voters === 0) return Number.POSITIVE_INFINITY;
    const sorted = this.#scratch;
    for (let filled = 0; filled < voters; filled += 1) {
      const index = acked(this.ids[filled] ?? 0) ?? 0;
      // Insertion into the part that is filled: faster than any general sort at the sizes that clusters have.
      let at = filled;
      for (; at > 0 && (sorted[at - 1] ?? 0) > index; at -= 1) sorted[at] = sorted[at - 1] ?? 0;
      sorted[at] = index;
    }
    const majority = Math.floor(voters / 2) + 1;
    return sorted[voters - majority] ?? 0;
  }

  /** What the votes (true: yes) amount to. Won without voters, so that an empty half never decides. */
  voteResult(votes: ReadonlyMap<number, boolean>): VoteResult {
    const voters = this.ids.length;
    if (voters === 0) return 'VoteWon';
    let granted = 0;
    let missing = 0;
    for (const id of this.ids) {
      const vote = votes.get(id);
      if (vote === undefined) missing += 1;
      else if (vote) granted += 1;
    }
    const majority = Math.floor(voters / 2) + 1;
    if (granted >= majority) return 'VoteWon';
    return granted + missing >= majority ? 'VotePending' : 'VoteLost';
  }
}

/** Two majorities that must agree. The outgoing one is empty outside of joint consensus. */
export class JointConfig {
  readonly incoming: MajorityConfig;
  readonly outgoing: MajorityConfig;
  /** All voters of both halves, sorted, without repetition. */
  readonly ids: readonly number[];

  constructor(incoming: MajorityConfig, outgoing: MajorityConfig = MajorityConfig.EMPTY) {
    this.incoming = incoming;
    this.outgoing = outgoing;
    this.ids =
      outgoing.size === 0 ? incoming.ids : new MajorityConfig([...incoming.ids, ...outgoing.ids]).ids;
  }

  /** True while both halves have voters. */
  get isJoint(): boolean {
    return this.outgoing.size > 0;
  }

  /** True if `id` votes in either half. */
  has(id: number): boolean {
    return this.ids.includes(id);
  }

  /** The highest index that both majorities have acknowledged. */
  committedIndex(acked: AckedIndex): number {
    const incoming = this.incoming.committedIndex(acked);
    if (!this.isJoint) return incoming;
    return Math.min(incoming, this.outgoing.committedIndex(acked));
  }

  /** Won if both majorities say yes, lost as soon as one of them cannot. */
  voteResult(votes: ReadonlyMap<number, boolean>): VoteResult {
    const incoming = this.incoming.voteResult(votes);
    const outgoing = this.outgoing.voteResult(votes);
    if (incoming === outgoing) return incoming;
    return incoming === 'VoteLost' || outgoing === 'VoteLost' ? 'VoteLost' : 'VotePending';
  }
}
