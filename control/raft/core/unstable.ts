/** The end of the log that is not known to be on stable storage yet, and a snapshot that is not. */

import { invariantBroken } from './errors.ts';
import { countWithinSize } from './sizes.ts';
import type { Entry, Logger, Snapshot } from './types.ts';

/** Stable entries in front of the array are dropped once there are so many of them, and they are the most. */
const DROP_STABLE_AT = 256;

/**
 * Entries and a snapshot between "appended in memory" and "written". Each is first pending (for the next
 * Ready), then in progress (handed out), then stable (and gone from here).
 */
export class Unstable {
  snapshot: Snapshot | null = null;
  /** The snapshot was handed out. */
  snapshotInProgress = false;
  /** Index of the first unstable entry. */
  offset: number;
  /** Entries below this index were handed out. Invariant: offset <= offsetInProgress <= end. */
  offsetInProgress: number;
  /** Entries from `#head` on are unstable; before it stand stable ones, until it is worth to drop them. */
  readonly #entries: Entry[] = [];
  #head = 0;
  readonly #logger: Logger | undefined;

  /** `offset`: the index after the last stable entry. */
  constructor(offset: number, logger: Logger | undefined) {
    this.offset = offset;
    this.offsetInProgress = offset;
    this.#logger = logger;
  }

  /** How many entries are unstable. */
  get length(): number {
    return this.#entries.length - this.#head;
  }

  /** The index after the last unstable entry; `offset` if there is none. */
  get end(): number {
    return this.offset + this.length;
  }

  /** The last index, if it can be told without stable storage. */
  lastIndex(): number | undefined {
    if (this.length > 0) return this.end - 1;
    return this.snapshot?.metadata.index;
  }

  /** The term of entry `index`, if it can be told without stable storage. */
  term(index: number): number | undefined {
    if (index < this.offset) {
      const metadata = this.snapshot?.metadata;
      return metadata !== undefined && metadata.index === index ? metadata.term : undefined;
    }
    return this.#entries[this.#head + index - this.offset]?.term;
  }

  /** True if entries are waiting to be handed out. */
  get hasPendingEntries(): boolean {
    return this.end > this.offsetInProgress;
  }

  /** The entries that are waiting to be handed out. */
  pendingEntries(): Entry[] {
    return this.hasPendingEntries ? this.slice(this.offsetInProgress, this.end) : [];
  }

  /** The snapshot, if it is waiting to be handed out. */
  pendingSnapshot(): Snapshot | null {
    return this.snapshotInProgress ? null : this.snapshot;
  }

  /** All that was pending was handed out. */
  acceptInProgress(): void {
    if (this.length > 0) this.offsetInProgress = this.end;
    if (this.snapshot !== null) this.snapshotInProgress = true;
  }

  /**
   * Entries up to (index, term) are stable. Ignored if that entry is not here, or has another term by now: it
   * was replaced while the write was under way, and a later write will tell.
   */
  stableTo(index: number, term: number): void {
    if (index < this.offset || index >= this.end) {
      this.#logger?.info(`entry at index ${index} is not in the unstable log; ignoring that it is stable`);
      return;
    }
    const present = this.term(index);
    if (present !== term) {
      this.#logger?.info(
        `entry (${index}, term ${term}) is stable, but has term ${present} by now; ignoring`,
      );
      return;
    }
    this.#head += index + 1 - this.offset;
    this.offset = index + 1;
    this.offsetInProgress = Math.max(this.offsetInProgress, this.offset);
    this.#dropStable();
  }

  /** The snapshot at `index` is stable. Ignored if another one has come since. */
  stableSnapshotTo(index: number): void {
    if (this.snapshot?.metadata.index !== index) return;
    this.snapshot = null;
    this.snapshotInProgress = false;
  }

  /** Replaces everything with a snapshot. */
  restore(snapshot: Snapshot): void {
    this.offset = snapshot.metadata.index + 1;
    this.offsetInProgress = this.offset;
    this.#clear();
    this.snapshot = snapshot;
    this.snapshotInProgress = false;
  }

  /** Appends entries, in place of all that stand at or after the first one's index. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const first = entries[0]?.index ?? invariantBroken('nothing to append');
    if (first > this.end) invariantBroken(`appending entry ${first} after ${this.end - 1} would leave a gap`);
    if (first <= this.offset && first !== this.end) {
      this.#logger?.info(`replacing the unstable entries from index ${first}`);
      this.#clear();
      this.offset = first;
      this.offsetInProgress = first;
    } else if (first < this.end) {
      this.#logger?.info(`truncating the unstable entries before index ${first}`);
      this.#entries.length = this.#head + first - this.offset;
      this.offsetInProgress = Math.min(this.offsetInProgress, first);
    }
    for (const entry of entries) this.#entries.push(entry);
  }

  /** A copy of [lo, hi), all of which must be here. */
  slice(lo: number, hi: number): Entry[] {
    if (lo > hi || lo < this.offset || hi > this.end) {
      invariantBroken(`unstable entries [${lo}, ${hi}) are outside of [${this.offset}, ${this.end})`);
    }
    return this.#entries.slice(this.#head + lo - this.offset, this.#head + hi - this.offset);
  }

  /** A copy of [lo, hi), cut to `maxBytes` but at least one entry. Costs no more than what it returns. */
  sliceWithin(lo: number, hi: number, maxBytes: number): Entry[] {
    const start = this.#head + lo - this.offset;
    const count = countWithinSize(this.#entries, start, this.#head + hi - this.offset, maxBytes);
    return this.slice(lo, lo + count);
  }

  #clear(): void {
    this.#entries.length = 0;
    this.#head = 0;
  }

  #dropStable(): void {
    if (this.#head === this.#entries.length) {
      this.#clear();
    } else if (this.#head >= DROP_STABLE_AT && this.#head * 2 >= this.#entries.length) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
