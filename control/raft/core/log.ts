/** The replicated log: stable storage and the unstable end as one, with the commit and apply positions. */

import { invariantBroken, isRaftError, RaftError } from './errors.ts';
import { entriesSize } from './sizes.ts';
import type { Entry, Logger, Snapshot, Storage } from './types.ts';
import { Unstable } from './unstable.ts';

/** Position and term of an entry. Two logs that share one agree on all before it (log matching). */
export interface EntryId {
  readonly term: number;
  readonly index: number;
}

/** Invariant: applied <= applying <= committed <= lastIndex(). */
export class RaftLog {
  readonly storage: Storage;
  readonly unstable: Unstable;
  /** The last entry known to be on a quorum of logs. Never falls. */
  committed: number;
  /** The last entry handed out for application. */
  applying: number;
  /** The last entry that the state machine has applied. */
  applied: number;
  /** Limit of `#applyingBytes`; also the page size of scans. */
  readonly maxApplyingBytes: number;
  /** Bytes handed out for application and not reported as applied. */
  #applyingBytes = 0;
  /** Nothing is handed out for application until some is reported as applied. */
  #applyingPaused = false;
  readonly #logger: Logger | undefined;

  constructor(storage: Storage, maxApplyingBytes: number, logger: Logger | undefined) {
    this.storage = storage;
    this.maxApplyingBytes = maxApplyingBytes;
    this.#logger = logger;
    const compacted = storage.firstIndex() - 1;
    this.committed = compacted;
    this.applying = compacted;
    this.applied = compacted;
    this.unstable = new Unstable(storage.lastIndex() + 1, logger);
  }

  /** The first index that is kept. */
  firstIndex(): number {
    const snapshot = this.unstable.snapshot;
    return snapshot === null ? this.storage.firstIndex() : snapshot.metadata.index + 1;
  }

  /** The last index. */
  lastIndex(): number {
    return this.unstable.lastIndex() ?? this.storage.lastIndex();
  }

  /** Position and term of the last entry. */
  lastEntryId(): EntryId {
    const index = this.lastIndex();
    const term = this.term(index) ?? invariantBroken(`the term of the last entry, ${index}, is unknown`);
    return { term, index };
  }

  /** The term of entry `index`, or undefined if it is compacted or does not exist. */
  term(index: number): number | undefined {
    const unstable = this.unstable.term(index);
    if (unstable !== undefined) return unstable;
    // One before the first: its term is remembered, for matching.
    if (index + 1 < this.firstIndex() || index > this.lastIndex()) return undefined;
    try {
      return this.storage.term(index);
    } catch (error) {
      if (isRaftError(error, 'COMPACTED') || isRaftError(error, 'UNAVAILABLE')) return undefined;
      throw error;
    }
  }

  /** True if the log has this very entry. */
  matchTerm(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** True if a log that ends in `theirs` is no worse than this one (dissertation, 3.6.1). */
  isUpToDate(theirs: EntryId): boolean {
    const ours = this.lastEntryId();
    return theirs.term > ours.term || (theirs.term === ours.term && theirs.index >= ours.index);
  }

  /** Appends entries in place of all from the first one's index on. Returns the last index. */
  append(entries: readonly Entry[]): number {
    const first = entries[0];
    if (first !== undefined) {
      if (first.index <= this.committed) {
        invariantBroken(
          `appending entry ${first.index} would replace one that is committed (${this.committed})`,
        );
      }
      this.unstable.truncateAndAppend(entries);
    }
    return this.lastIndex();
  }

  /**
   * Appends what a leader sent after the entry `previous`, and moves the commit index as far as that reaches.
   * Returns the last index that now agrees with the leader, or undefined if `previous` does not.
   */
  maybeAppend(previous: EntryId, entries: readonly Entry[], committed: number): number | undefined {
    if (!this.matchTerm(previous.index, previous.term)) return undefined;
    const lastNew = previous.index + entries.length;
    const conflict = this.#findConflict(entries);
    if (conflict > 0) {
      if (conflict <= this.committed) {
        invariantBroken(
          `entry ${conflict} from the leader conflicts with one that is committed (${this.committed})`,
        );
      }
      const known = conflict - previous.index - 1;
      this.append(known === 0 ? entries : entries.slice(known));
    }
    this.commitTo(Math.min(committed, lastNew));
    return lastNew;
  }

  /** The index of the first of `entries` that the log does not have with that term; 0 if it has all. */
  #findConflict(entries: readonly Entry[]): number {
    for (const entry of entries) {
      if (this.matchTerm(entry.index, entry.term)) continue;
      if (this.#logger !== undefined && entry.index <= this.lastIndex()) {
        this.#logger.info(
          `conflict at index ${entry.index}: term ${this.term(entry.index)} here, ${entry.term} there`,
        );
      }
      return entry.index;
    }
    return 0;
  }

  /**
   * The last position at or before `index` whose term is at most `term`: a log that has `term` at a later
   * position can agree with this one there, but not after. Term 0: unknown, since it is compacted.
   */
  findConflictByTerm(index: number, term: number): EntryId {
    for (let at = index; at > 0; at -= 1) {
      const ours = this.term(at);
      if (ours === undefined) return { index: at, term: 0 };
      if (ours <= term) return { index: at, term: ours };
    }
    return { index: 0, term: 0 };
  }

  /** Raises the commit index; never lowers it. */
  commitTo(index: number): void {
    if (index <= this.committed) return;
    if (index > this.lastIndex()) {
      invariantBroken(`told to commit ${index}, but the log ends at ${this.lastIndex()}`);
    }
    this.committed = index;
  }

  /** Commits up to `index` if that entry is of `term`: only those are committed by counting (thesis 3.6.2). */
  maybeCommit(index: number, term: number): boolean {
    if (term === 0 || index <= this.committed || !this.matchTerm(index, term)) return false;
    this.commitTo(index);
    return true;
  }

  /** True if something can be handed out for application. */
  hasNextCommitted(allowUnstable: boolean): boolean {
    if (this.#applyingPaused || this.unstable.snapshot !== null) return false;
    return this.applying < this.#maxAppliable(allowUnstable);
  }

  /** The entries to apply next, within the limit of bytes. `allowUnstable`: even those not stable here. */
  nextCommitted(allowUnstable: boolean): Entry[] {
    if (!this.hasNextCommitted(allowUnstable)) return [];
    const budget = this.maxApplyingBytes - this.#applyingBytes;
    return this.slice(this.applying + 1, this.#maxAppliable(allowUnstable) + 1, budget);
  }

  #maxAppliable(allowUnstable: boolean): number {
    return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1);
  }

  /** Entries up to `index`, of `bytes` in all, were handed out for application. */
  acceptApplying(index: number, bytes: number, allowUnstable: boolean): void {
    if (index > this.committed) {
      invariantBroken(`entry ${index} was handed out, but only ${this.committed} is committed`);
    }
    this.applying = index;
    this.#applyingBytes += bytes;
    // Short of what could be applied means that the next entry was over the limit.
    this.#applyingPaused =
      this.#applyingBytes >= this.maxApplyingBytes || index < this.#maxAppliable(allowUnstable);
  }

  /** The state machine has applied up to `index`; `bytes` of what was handed out are done. */
  appliedTo(index: number, bytes: number): void {
    if (index > this.committed || index < this.applied) {
      invariantBroken(
        `applied ${index} is outside of [${this.applied}, ${this.committed}] (applied, committed)`,
      );
    }
    this.applied = index;
    this.applying = Math.max(this.applying, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes);
    this.#applyingPaused = this.#applyingBytes >= this.maxApplyingBytes;
  }

  /** The newest snapshot. Throws as `Storage.snapshot` does. */
  snapshot(): Snapshot {
    return this.unstable.snapshot ?? this.storage.snapshot();
  }

  /** Replaces the whole log with a snapshot. */
  restore(snapshot: Snapshot): void {
    this.committed = snapshot.metadata.index;
    this.unstable.restore(snapshot);
  }

  /** Entries from `index` on, within `maxBytes`. Throws `COMPACTED`. */
  entries(index: number, maxBytes: number): Entry[] {
    const last = this.lastIndex();
    return index > last ? [] : this.slice(index, last + 1, maxBytes);
  }

  /** The entries in [lo, hi), cut to `maxBytes` but at least one. Throws `COMPACTED`. */
  slice(lo: number, hi: number, maxBytes: number): Entry[] {
    if (lo > hi || hi > this.lastIndex() + 1) {
      invariantBroken(`entries [${lo}, ${hi}) are not within the log, which ends at ${this.lastIndex()}`);
    }
    if (lo < this.firstIndex()) throw new RaftError('COMPACTED', `entry ${lo} is compacted; take a snapshot`);
    if (lo === hi) return [];
    const offset = this.unstable.offset;
    if (lo >= offset) return this.unstable.sliceWithin(lo, hi, maxBytes);

    const cut = Math.min(hi, offset);
    const stable = this.storage.entries(lo, cut, maxBytes);
    if (hi <= offset || stable.length < cut - lo) return stable;
    const rest = maxBytes - entriesSize(stable);
    if (rest <= 0) return stable;
    const unstable = this.unstable.sliceWithin(offset, hi, rest);
    if (unstable.length === 1 && entriesSize(unstable) > rest) return stable;
    for (const entry of unstable) stable.push(entry);
    return stable;
  }

  /** True if an entry in [lo, hi) satisfies `test`. Reads page by page, so that memory stays bounded. */
  some(lo: number, hi: number, test: (entry: Entry) => boolean): boolean {
    for (let at = lo; at < hi; ) {
      const page = this.slice(at, hi, this.maxApplyingBytes);
      if (page.length === 0) invariantBroken(`storage gave no entries for [${at}, ${hi})`);
      if (page.some(test)) return true;
      at += page.length;
    }
    return false;
  }
}
