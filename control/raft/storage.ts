/**
 * Where a manager's Raft log survives: lmdb for what must be durable, and a copy in memory for the core's reads.
 *
 * Durability: each `save` is one lmdb transaction, which is atomic (copy on write, then one switch of the meta page).
 * The environment is opened without NOSYNC and without overlapping sync, so lmdb flushes data and meta page with
 * fdatasync before it reports the commit; the promise of `save` resolves after that and never before. Writers queue
 * up while a commit is on its way, and the next transaction takes all of them (group commit).
 */
import { closeSync, existsSync, mkdirSync, openSync, readSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { ShoalError, shoalError } from '../errors.ts';
import {
  decodeEntry,
  decodeHardState,
  decodeSnapshotMetadata,
  EMPTY_HARD_STATE,
  EMPTY_SNAPSHOT,
  type Entry,
  encodeEntry,
  encodeHardState,
  encodeSnapshotMetadata,
  entrySize,
  type HardState,
  MemoryStorage,
  RaftError,
  type Snapshot,
  type Storage,
} from './core/index.ts';
import type { Sealer } from './sealing.ts';

/** Size of one stored piece of a snapshot. */
const chunk_bytes = 256 * 1024;
/** What lmdb's meta page begins with, after the page header. */
const magic = { offset_bytes: 24, value: 0xbeefc0de } as const;
const formatName = 'shoal-raft/1';

/** What one step of Raft wants stored; empty parts are left out. */
export type Save = {
  hardState?: HardState | null;
  /** Replace everything from the first one's index on. */
  entries?: readonly Entry[];
  /** Replaces the whole log. */
  snapshot?: Snapshot | null;
};

/** The stored state of one Raft member. */
export class RaftStorage implements Storage {
  readonly #database: RootDatabase<Buffer, (string | number)[]>;
  readonly #path: string;
  readonly #sealer: Sealer;
  readonly #memory = new MemoryStorage();
  #log_bytes = 0;
  /** A commit failed: lmdb's environment is then in no state to be used again, not even to be closed. */
  #broken = false;
  #snapshotChunks = 0;
  /** Makes a snapshot of now, for followers that need one; null while membership is changing. */
  #live: (() => Snapshot | null) | null = null;
  /** Transactions, and saves that they carried. */
  readonly counters = { transactions: 0, saves: 0, snapshots: 0 };

  private constructor(path: string, sealer: Sealer) {
    this.#path = path;
    this.#sealer = sealer;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#database = open<Buffer, (string | number)[]>({
      path,
      encoding: 'binary',
      noSubdir: true,
      overlappingSync: false,
      // Transactions are grouped here; lmdb's own grouping would leave rejections of failed commits unhandled.
      eventTurnBatching: false,
    });
  }

  /**
   * Opens the store at `path`, or makes an empty one. Throws STORAGE_FAILED for a damaged store, a foreign file, or one
   * that was sealed under another key.
   */
  static async open(path: string, sealer: Sealer): Promise<RaftStorage> {
    let storage: RaftStorage;
    try {
      checkFile(path);
      storage = new RaftStorage(path, sealer);
    } catch (cause) {
      throw failed(path, cause);
    }
    try {
      await storage.#load();
      return storage;
    } catch (cause) {
      await storage.close();
      throw failed(path, cause);
    }
  }

  /** Deletes a store that is closed. */
  static wipe(path: string): void {
    for (const file of [path, `${path}-lock`]) rmSync(file, { force: true });
  }

  /** True if there is a store at `path`. */
  static exists(path: string): boolean {
    return existsSync(path);
  }

  initialState(): ReturnType<Storage['initialState']> {
    return this.#memory.initialState();
  }
  entries(lo: number, hi: number, maxBytes: number): Entry[] {
    return this.#memory.entries(lo, hi, maxBytes);
  }
  term(index: number): number {
    return this.#memory.term(index);
  }
  firstIndex(): number {
    return this.#memory.firstIndex();
  }
  lastIndex(): number {
    return this.#memory.lastIndex();
  }
  /** For the core: a snapshot of now if there is a source for one, else the stored one. */
  snapshot(): Snapshot {
    if (this.#live === null) return this.#memory.snapshot();
    const snapshot = this.#live();
    if (snapshot === null)
      throw new RaftError('SNAPSHOT_TEMPORARILY_UNAVAILABLE', 'the membership is changing');
    return snapshot;
  }

  /** The stored snapshot, from which a restart begins. */
  storedSnapshot(): Snapshot {
    return this.#memory.snapshot();
  }

  /** Where snapshots for followers come from. */
  setLiveSnapshots(source: () => Snapshot | null): void {
    this.#live = source;
  }

  /** Size of the entries that are kept. */
  get log_bytes(): number {
    return this.#log_bytes;
  }

  /** Stores all of `saves`, in order, in one durable transaction. Throws STORAGE_FAILED; the node must then stop. */
  async save(saves: readonly Save[]): Promise<void> {
    let lastIndex = this.#memory.lastIndex();
    await this.#transaction(() => {
      for (const { hardState, entries, snapshot } of saves) {
        if (snapshot) {
          this.#putSnapshot(snapshot);
          this.#removeLog(this.#memory.firstIndex(), lastIndex);
          lastIndex = snapshot.metadata.index;
        }
        if (hardState) this.#put(['hard'], encodeHardState(hardState));
        const first = entries?.[0];
        if (entries !== undefined && first !== undefined) {
          for (const entry of entries) this.#put(['log', entry.index], encodeEntry(entry));
          const last = first.index + entries.length - 1;
          this.#removeLog(last + 1, lastIndex);
          lastIndex = last;
        }
      }
    });
    this.counters.saves += saves.length;
    for (const save of saves) this.#remember(save);
  }

  /**
   * Makes the state at `snapshot.metadata.index` the point from which a restart begins, and forgets entries up to
   * `keepAfter`, which lies at or before it.
   */
  async compact(snapshot: Snapshot, keepAfter: number): Promise<void> {
    const { index, confState } = snapshot.metadata;
    if (index <= this.#memory.snapshot().metadata.index) return;
    const first = this.#memory.firstIndex();
    const upTo = Math.min(keepAfter, index);
    await this.#transaction(() => {
      this.#putSnapshot(snapshot);
      this.#removeLog(first, upTo);
    });
    this.#memory.createSnapshot(index, confState, snapshot.data);
    if (upTo >= first) {
      this.#log_bytes -= this.#sizeOf(this.#memory.entries(first, upTo + 1, Number.POSITIVE_INFINITY));
      this.#memory.compact(upTo);
    }
  }

  async close(): Promise<void> {
    if (this.#broken) return;
    await this.#database.close();
  }

  #sizeOf(entries: readonly Entry[]): number {
    return entries.reduce((sum, entry) => sum + entrySize(entry), 0);
  }

  #remember({ hardState, entries, snapshot }: Save): void {
    if (snapshot && snapshot.metadata.index > this.#memory.snapshot().metadata.index) {
      this.#memory.applySnapshot(snapshot);
      this.#log_bytes = 0;
    }
    if (hardState) this.#memory.setHardState(hardState);
    const first = entries?.[0];
    if (entries === undefined || first === undefined) return;
    if (first.index <= this.#memory.lastIndex() && first.index >= this.#memory.firstIndex()) {
      const replaced = this.#memory.entries(
        first.index,
        this.#memory.lastIndex() + 1,
        Number.POSITIVE_INFINITY,
      );
      this.#log_bytes -= this.#sizeOf(replaced);
    }
    this.#memory.append(entries);
    this.#log_bytes += this.#sizeOf(entries);
  }

  async #transaction(write: () => void): Promise<void> {
    if (this.#broken) throw failed(this.#path, new Error('it failed before, and is not used any more'));
    try {
      await this.#database.batch(write);
      this.counters.transactions += 1;
    } catch (cause) {
      this.#broken = true;
      // lmdb keeps the reason in a promise of its own.
      const { commitError } = cause as { commitError?: unknown };
      throw failed(this.#path, await Promise.resolve(commitError ?? cause).catch((reason) => reason));
    }
  }

  /** A part of a transaction, which fails as a whole: each of its writes would report the same. */
  #within(write: Promise<boolean>): void {
    write.catch(() => undefined);
  }

  #put(key: (string | number)[], plain: Uint8Array): void {
    this.#within(this.#database.put(key, this.#sealer.seal(key.join('/'), plain)));
  }

  #read(key: (string | number)[]): Buffer | null {
    const sealed = this.#database.get(key);
    return sealed === undefined ? null : this.#sealer.unseal(key.join('/'), sealed);
  }

  #removeLog(from: number, to: number): void {
    for (let index = from; index <= to; index += 1) this.#within(this.#database.remove(['log', index]));
  }

  #putSnapshot(snapshot: Snapshot): void {
    const chunks = Math.ceil(snapshot.data.length / chunk_bytes);
    for (let number = 0; number < chunks; number += 1) {
      const from = number * chunk_bytes;
      this.#put(['snapshot', number], snapshot.data.subarray(from, from + chunk_bytes));
    }
    for (let number = chunks; number < this.#snapshotChunks; number += 1) {
      this.#within(this.#database.remove(['snapshot', number]));
    }
    this.#put(['snapshot-size'], Buffer.from(JSON.stringify({ chunks, size_bytes: snapshot.data.length })));
    this.#put(['snapshot-metadata'], encodeSnapshotMetadata(snapshot.metadata));
    this.#snapshotChunks = chunks;
    this.counters.snapshots += 1;
  }

  async #load(): Promise<void> {
    const format = this.#database.get(['format'])?.toString();
    if (format === undefined) {
      const [anything] = this.#database.getKeys({ limit: 1 });
      if (anything !== undefined) throw new Error('it is an lmdb file that shoal has not written');
      await this.#transaction(() => this.#within(this.#database.put(['format'], Buffer.from(formatName))));
      return;
    }
    if (format !== formatName)
      throw new Error(`it has format "${format}"; this version reads "${formatName}"`);
    const snapshot = this.#loadSnapshot();
    if (snapshot !== null) this.#memory.applySnapshot(snapshot);
    const hardState = this.#read(['hard']);
    this.#memory.setHardState(hardState === null ? EMPTY_HARD_STATE : decodeHardState(hardState));
    await this.#loadLog(snapshot ?? EMPTY_SNAPSHOT);
  }

  #loadSnapshot(): Snapshot | null {
    const metadata = this.#read(['snapshot-metadata']);
    const size = this.#read(['snapshot-size']);
    if (metadata === null || size === null) return null;
    const { chunks, size_bytes } = JSON.parse(size.toString()) as { chunks: number; size_bytes: number };
    const pieces: Buffer[] = [];
    for (let number = 0; number < chunks; number += 1) {
      const piece = this.#read(['snapshot', number]);
      if (piece === null) throw new Error(`piece ${number} of ${chunks} of the snapshot is missing`);
      pieces.push(piece);
    }
    const data = Buffer.concat(pieces);
    if (data.length !== size_bytes)
      throw new Error(`the snapshot has ${data.length} bytes, not ${size_bytes}`);
    this.#snapshotChunks = chunks;
    return { data, metadata: decodeSnapshotMetadata(metadata) };
  }

  /** Entries up to the snapshot were kept for slow followers; a restart drops them. */
  async #loadLog(snapshot: Snapshot): Promise<void> {
    const { index: covered } = snapshot.metadata;
    const old = [...this.#database.getKeys({ start: ['log', 0], end: ['log', covered + 1] })];
    if (old.length > 0) {
      await this.#transaction(() => {
        for (const key of old) this.#within(this.#database.remove(key));
      });
    }
    const entries: Entry[] = [];
    let expected = covered + 1;
    for (const { key } of this.#database.getRange({
      start: ['log', expected],
      end: ['log', Number.MAX_SAFE_INTEGER],
    })) {
      const index = (key as [string, number])[1];
      if (index !== expected) throw new Error(`entry ${expected} of the log is missing; ${index} follows`);
      entries.push(decodeEntry(this.#read(['log', index]) ?? Buffer.alloc(0)));
      expected += 1;
    }
    this.#remember({ entries });
  }
}

/** lmdb trusts the file that it maps, so what is not one of its files must not reach it. */
function checkFile(path: string): void {
  if (!existsSync(path)) return;
  const head = Buffer.alloc(magic.offset_bytes + 4);
  const file = openSync(path, 'r');
  try {
    const size = readSync(file, head, 0, head.length, 0);
    if (size === 0) return;
    if (size < head.length || head.readUInt32LE(magic.offset_bytes) !== magic.value) {
      throw new Error('it is not an lmdb file');
    }
  } finally {
    closeSync(file);
  }
}

function failed(path: string, cause: unknown): Error {
  const inner = cause instanceof ShoalError ? cause.details?.reason : undefined;
  const reason = inner ?? (cause instanceof Error ? cause.message : String(cause));
  return shoalError('STORAGE_FAILED', { path, reason }, cause);
}
