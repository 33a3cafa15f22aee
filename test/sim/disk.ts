/** A disk that keeps writes in order, and loses the unsynced ones in a crash from some point on. */

import { MemoryStorage } from '../../control/raft/core/memory-storage.ts';
import { isEmptyHardState, isEmptySnapshot } from '../../control/raft/core/states.ts';
import type { ConfState, Entry, HardState, Snapshot } from '../../control/raft/core/types.ts';
import type { Random } from './random.ts';

/** One atomic write of a node's Raft state. */
export interface RaftWrite {
  readonly hardState: HardState | null;
  readonly entries: readonly Entry[];
  readonly snapshot: Snapshot | null;
}

type Write = (storage: MemoryStorage) => void;

/** One node's disk: what it reads (`live`), and what a crash leaves of it. */
export class Disk {
  #live: MemoryStorage;
  #durable: MemoryStorage;
  /** Writes in `live` that are not in `durable`. */
  #unsynced: Write[] = [];

  /** A disk with a first snapshot, or an empty one. */
  constructor(first: Snapshot | null) {
    this.#live = new MemoryStorage();
    if (first !== null) this.#live.applySnapshot(first);
    this.#durable = this.#live.clone();
  }

  /** What the node sees. */
  get live(): MemoryStorage {
    return this.#live;
  }

  /** What a crash would leave if no unsynced write survived. Not to be written to. */
  get durable(): MemoryStorage {
    return this.#durable;
  }

  /** Stores what a Ready asks for, not yet durably. */
  write({ hardState, entries, snapshot }: RaftWrite): void {
    this.#write((storage) => {
      if (snapshot !== null && !isEmptySnapshot(snapshot)) storage.applySnapshot(snapshot);
      if (hardState !== null && !isEmptyHardState(hardState)) storage.setHardState(hardState);
      storage.append(entries);
    });
  }

  /** Makes a snapshot of the state at `index`, forgets the log up to `compactTo`, and syncs. */
  compact(index: number, confState: ConfState, data: Uint8Array, compactTo: number): void {
    this.#write((storage) => {
      storage.createSnapshot(index, confState, data);
      if (compactTo >= storage.firstIndex()) storage.compact(compactTo);
    });
    this.sync();
  }

  #write(write: Write): void {
    write(this.#live);
    this.#unsynced.push(write);
  }

  /** Everything written so far survives a crash. */
  sync(): void {
    for (const write of this.#unsynced) write(this.#durable);
    this.#unsynced = [];
  }

  /** Loses power: of the unsynced writes only the first few survive, if any. */
  crash(random: Random): void {
    const survivors = random.between(0, this.#unsynced.length);
    for (const write of this.#unsynced.slice(0, survivors)) write(this.#durable);
    this.#unsynced = [];
    this.#live = this.#durable.clone();
  }
}
