/**
 * Change streams of the store: a bounded journal of recent changes, and readers that follow it.
 *
 * A reader that falls behind the journal is not buffered for: it gets a fresh snapshot of the whole state and goes
 * on from there. So a slow reader costs nothing, however slow it is.
 */
import { shoalError } from '../errors.ts';
import type { Kind, Objects } from './objects.ts';
import type { State } from './state.ts';

/** One object that was put or deleted by the entry at `index`; of a deleted object, its last form. */
export type Change = {
  [K in Kind]: { index: number; kind: K; op: 'put' | 'delete'; object: Objects[K] };
}[Kind];

/** All changes of one entry. */
export type ChangeBatch = { index: number; changes: Change[] };

/** What a reader gets: the changes of the next entries, or the whole state when it must begin anew. */
export type WatchEvent =
  | ({ type: 'changes' } & ChangeBatch)
  | { type: 'snapshot'; index: number; state: State };

/** Entries, and changes in them, that the journal remembers. */
export const journalLimits = { batches: 4_096, changes: 65_536 } as const;
/** Readers at one time on one node. */
export const readersLimit = 2_048;

/** A ring of the most recent changes, in order of index. */
export class Journal {
  #batches: ChangeBatch[] = [];
  #head = 0;
  #changes = 0;
  /** Versions up to and including this one are not remembered. */
  #floor: number;
  readonly #wakers = new Set<() => void>();
  /** Readers that had to begin anew because they were too slow, and batches dropped from the ring. */
  readonly counters = { snapshotsForSlowReaders: 0, forgottenBatches: 0, refusedReaders: 0 };
  #readers = 0;
  #epoch = 0;

  constructor(floor = 0) {
    this.#floor = floor;
  }

  /** The version after which all changes are remembered. */
  get floor(): number {
    return this.#floor;
  }

  /** Grows with every reset. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Readers now. */
  get readers(): number {
    return this.#readers;
  }

  /** Adds the changes of one entry and wakes the readers. An entry without changes only moves the version on. */
  append(batch: ChangeBatch): void {
    if (batch.changes.length > 0) this.#batches.push(batch);
    this.#changes += batch.changes.length;
    while (
      this.#batches.length - this.#head > journalLimits.batches ||
      (this.#changes > journalLimits.changes && this.#head < this.#batches.length - 1)
    ) {
      this.#forgetOldest();
    }
    this.#wake();
  }

  /** Forgets everything, as after the state was replaced by a snapshot at `version`; all readers begin anew. */
  reset(version: number): void {
    this.#epoch += 1;
    this.#batches = [];
    this.#head = 0;
    this.#changes = 0;
    this.#floor = version;
    this.#wake();
  }

  /** The remembered batches after `version`, at most `limit`; null if some of them are forgotten. */
  after(version: number, limit: number): ChangeBatch[] | null {
    if (version < this.#floor) return null;
    let low = this.#head;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#batches[middle] as ChangeBatch).index <= version) low = middle + 1;
      else high = middle;
    }
    return this.#batches.slice(low, low + limit);
  }

  /** Counts a reader in; false when there are too many. */
  enter(): boolean {
    if (this.#readers >= readersLimit) {
      this.counters.refusedReaders += 1;
      return false;
    }
    this.#readers += 1;
    return true;
  }

  /** Counts a reader out. */
  exit(): void {
    this.#readers -= 1;
  }

  /** Resolves at the next change, or when `signal` aborts. */
  changed(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        this.#wakers.delete(wake);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.#wakers.add(wake);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }

  #forgetOldest(): void {
    const oldest = this.#batches[this.#head] as ChangeBatch;
    this.#floor = oldest.index;
    this.#changes -= oldest.changes.length;
    this.#head += 1;
    this.counters.forgottenBatches += 1;
    if (this.#head > 1_024 && this.#head * 2 > this.#batches.length) {
      this.#batches = this.#batches.slice(this.#head);
      this.#head = 0;
    }
  }

  #wake(): void {
    for (const wake of [...this.#wakers]) wake();
  }
}

/** Batches that a reader takes at a time. */
const batchesPerRead = 256;

/**
 * Follows a state from `fromVersion` on, until `signal` aborts or the reader returns. Every version is told of: where
 * entries changed nothing, by an event without changes. A snapshot event carries the live state; objects put again by
 * later events are then the same or newer. Throws OVERLOADED when there are too many readers.
 */
export async function* readJournal(
  state: State,
  fromVersion: number,
  signal?: AbortSignal,
): AsyncGenerator<WatchEvent, void, void> {
  const { journal } = state;
  if (!journal.enter()) throw shoalError('OVERLOADED', { what: 'watchers', limit: readersLimit });
  try {
    let version = fromVersion;
    let epoch = journal.epoch;
    while (!signal?.aborted) {
      const batches =
        epoch === journal.epoch && version <= state.version ? journal.after(version, batchesPerRead) : null;
      if (batches === null) {
        if (version > 0) journal.counters.snapshotsForSlowReaders += 1;
        version = state.version;
        epoch = journal.epoch;
        yield { type: 'snapshot', index: version, state };
      } else if (batches.length > 0) {
        for (const batch of batches) {
          version = batch.index;
          yield { type: 'changes', ...batch };
        }
      } else if (version < state.version) {
        version = state.version;
        yield { type: 'changes', index: version, changes: [] };
      } else await journal.changed(signal);
    }
  } finally {
    journal.exit();
  }
}
