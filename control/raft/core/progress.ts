/** What a leader knows about one member's log, and how it sends to it (dissertation, 10.2.1). */

import { invariantBroken } from './errors.ts';
import type { Inflights } from './inflights.ts';

/**
 * - StateProbe: the end of the follower's log is unknown; at most one append per heartbeat.
 * - StateReplicate: appends are sent ahead, up to the in-flight limit.
 * - StateSnapshot: the follower needs a snapshot; nothing is sent until it is done or has failed.
 */
export type ProgressState = 'StateProbe' | 'StateReplicate' | 'StateSnapshot';

/** One member, as the leader sees it. */
export class Progress {
  /** The member's log is known to agree with the leader's up to here. */
  match: number;
  /** The next index to send. Invariant: match < next. In StateSnapshot: pendingSnapshot + 1. */
  next: number;
  /** The highest commit index sent. It can fall back, when what carried it may have been lost. */
  sentCommit = 0;
  state: ProgressState = 'StateProbe';
  /** Index of the snapshot under way. 0 unless in StateSnapshot. */
  pendingSnapshot = 0;
  /** Something was heard of this member since the last quorum check. Always true for the leader itself. */
  recentActive = false;
  /** Appends are held back until a heartbeat is answered. */
  appendPaused = false;
  /** Empty unless in StateReplicate. */
  readonly inflights: Inflights;
  isLearner: boolean;

  constructor(next: number, match: number, inflights: Inflights, isLearner: boolean) {
    this.next = next;
    this.match = match;
    this.inflights = inflights;
    this.isLearner = isLearner;
  }

  /** A copy that shares the in-flight window, for a changed membership that takes the place of this one. */
  successor(): Progress {
    const copy = new Progress(this.next, this.match, this.inflights, this.isLearner);
    copy.sentCommit = this.sentCommit;
    copy.state = this.state;
    copy.pendingSnapshot = this.pendingSnapshot;
    copy.recentActive = this.recentActive;
    copy.appendPaused = this.appendPaused;
    return copy;
  }

  /** Forgets all that was learned, at a change of term. */
  reset(next: number, match: number): void {
    this.#enter('StateProbe');
    this.next = next;
    this.match = match;
    this.sentCommit = 0;
    this.recentActive = false;
  }

  /** True if no append may be sent now. */
  get isPaused(): boolean {
    return this.state === 'StateSnapshot' || this.appendPaused;
  }

  /** Back to probing, from the snapshot's end if one was under way. */
  becomeProbe(): void {
    const snapshotIndex = this.state === 'StateSnapshot' ? this.pendingSnapshot : 0;
    this.#enter('StateProbe');
    this.next = Math.max(this.match, snapshotIndex) + 1;
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
  }

  /** The end of the member's log is known: send ahead. */
  becomeReplicate(): void {
    this.#enter('StateReplicate');
    this.next = this.match + 1;
  }

  /** A snapshot up to `index` is on its way. */
  becomeSnapshot(index: number): void {
    this.#enter('StateSnapshot');
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.sentCommit = index;
  }

  #enter(state: ProgressState): void {
    this.appendPaused = false;
    this.pendingSnapshot = 0;
    this.state = state;
    this.inflights.reset();
  }

  /** Accounts for an append of `count` entries with `bytes` of data that was just sent. */
  sentEntries(count: number, bytes: number): void {
    switch (this.state) {
      case 'StateReplicate':
        if (count > 0) {
          this.next += count;
          this.inflights.add(this.next - 1, bytes);
        }
        // Beyond a full window each append is a probe: one per heartbeat, in case all others were lost.
        this.appendPaused = this.inflights.full;
        return;
      case 'StateProbe':
        if (count > 0) this.appendPaused = true;
        return;
      case 'StateSnapshot':
        invariantBroken('an append was sent to a member that waits for a snapshot');
    }
  }

  /** True if telling `commit` now would move the member's commit index, as far as its log reaches. */
  canBumpCommit(commit: number): boolean {
    return commit > this.sentCommit && this.sentCommit < this.next - 1;
  }

  /** Takes note that the member acknowledged everything up to `index`. False if that was known. */
  maybeUpdate(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.appendPaused = false;
    return true;
  }

  /**
   * Takes note that the member rejected an append after index `rejected` and guesses that the logs agree up to
   * `matchHint`. False if the rejection is out of date.
   */
  maybeDecreaseTo(rejected: number, matchHint: number): boolean {
    if (this.state === 'StateReplicate') {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
    } else {
      // A probed member gets one append at a time, so any other index belongs to an earlier probe.
      if (this.next - 1 !== rejected) return false;
      this.next = Math.max(Math.min(rejected, matchHint + 1), this.match + 1);
      this.appendPaused = false;
    }
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    return true;
  }
}
