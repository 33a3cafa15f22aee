/** A Storage in memory, for tests, simulations and transcripts. */

import { invariantBroken, RaftError } from './errors.ts';
import { countWithinSize } from './sizes.ts';
import { EMPTY_HARD_STATE, EMPTY_SNAPSHOT } from './states.ts';
import type { ConfState, Entry, HardState, Snapshot, Storage } from './types.ts';

/** Keeps a snapshot, and the entries after it (or after the point to which the log was compacted). */
export class MemoryStorage implements Storage {
  #hardState: HardState = EMPTY_HARD_STATE;
  #snapshot: Snapshot = EMPTY_SNAPSHOT;
  /** The entry before `#entries`: only its position is kept. */
  #base = { index: 0, term: 0 };
  #entries: Entry[] = [];

  initialState(): { hardState: HardState; confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#snapshot.metadata.confState };
  }

  entries(lo: number, hi: number, maxBytes: number): Entry[] {
    if (lo <= this.#base.index) throw new RaftError('COMPACTED', `entry ${lo} is compacted`);
    if (hi > this.lastIndex() + 1) {
      throw new RaftError('UNAVAILABLE', `entry ${hi - 1} is after the last one, ${this.lastIndex()}`);
    }
    const from = lo - this.firstIndex();
    const count = countWithinSize(this.#entries, from, hi - this.firstIndex(), maxBytes);
    return this.#entries.slice(from, from + count);
  }

  term(index: number): number {
    if (index < this.#base.index) throw new RaftError('COMPACTED', `the term of entry ${index} is compacted`);
    if (index === this.#base.index) return this.#base.term;
    const entry = this.#entries[index - this.firstIndex()];
    if (entry === undefined) {
      throw new RaftError('UNAVAILABLE', `entry ${index} is after the last one, ${this.lastIndex()}`);
    }
    return entry.term;
  }

  firstIndex(): number {
    return this.#base.index + 1;
  }

  lastIndex(): number {
    return this.#base.index + this.#entries.length;
  }

  snapshot(): Snapshot {
    return this.#snapshot;
  }

  /** Stores what the node must remember of terms and votes. */
  setHardState(state: HardState): void {
    this.#hardState = state;
  }

  /** Appends entries in place of all from the first one's index on. Those that are compacted are ignored. */
  append(entries: readonly Entry[]): void {
    const given = entries[0];
    if (given === undefined) return;
    const compacted = Math.max(0, this.firstIndex() - given.index);
    if (compacted >= entries.length) return;
    const keep = given.index + compacted - this.firstIndex();
    if (keep > this.#entries.length) {
      invariantBroken(`appending entry ${given.index} after ${this.lastIndex()} would leave a gap`);
    }
    this.#entries.length = keep;
    for (let at = compacted; at < entries.length; at += 1) {
      const entry = entries[at];
      if (entry !== undefined) this.#entries.push(entry);
    }
  }

  /** Replaces the log with a snapshot from elsewhere. Throws `SNAPSHOT_OUT_OF_DATE` unless it is newer. */
  applySnapshot(snapshot: Snapshot): void {
    const present = this.#snapshot.metadata.index;
    const { index, term } = snapshot.metadata;
    if (present !== 0 && present >= index) {
      throw new RaftError('SNAPSHOT_OUT_OF_DATE', `snapshot ${index} is not newer than ${present}`);
    }
    this.#snapshot = snapshot;
    this.#base = { index, term };
    this.#entries = [];
  }

  /** Makes a snapshot of the state at `index`. The log stays; `compact` cuts it. Null keeps the membership. */
  createSnapshot(index: number, confState: ConfState | null, data: Uint8Array): Snapshot {
    const present = this.#snapshot.metadata;
    if (index <= present.index) {
      throw new RaftError('SNAPSHOT_OUT_OF_DATE', `snapshot ${index} is not newer than ${present.index}`);
    }
    const metadata = { index, term: this.term(index), confState: confState ?? present.confState };
    this.#snapshot = { data, metadata };
    return this.#snapshot;
  }

  /** Forgets the entries up to and including `index`. Throws `COMPACTED` if that is done already. */
  compact(index: number): void {
    if (index <= this.#base.index) throw new RaftError('COMPACTED', `entry ${index} is compacted already`);
    if (index > this.lastIndex()) {
      throw new RaftError(
        'UNAVAILABLE',
        `cannot compact up to ${index}, the log ends at ${this.lastIndex()}`,
      );
    }
    const term = this.term(index);
    this.#entries = this.#entries.slice(index - this.#base.index);
    this.#base = { index, term };
  }

  /** An independent copy, to go back to. */
  clone(): MemoryStorage {
    const copy = new MemoryStorage();
    copy.#hardState = this.#hardState;
    copy.#snapshot = this.#snapshot;
    copy.#base = this.#base;
    copy.#entries = this.#entries.slice();
    return copy;
  }
}
