/**
 * Many entries in one system call (BPF_MAP_*_BATCH), with one call for each entry where a map type, or the kernel,
 * has no batches.
 */
import { BpfError } from './errors.ts';
import { libbpf } from './ffi.ts';

/** Entries in one system call. */
const CHUNK_ENTRIES = 1024;
/** Attempts at a batch that concurrent deletions interrupt, before the error is passed on. */
const BATCH_ATTEMPTS_MAX = 16;

const ENOENT = 2;
const EINTR = 4;
const EAGAIN = 11;
const EINVAL = 22;
const ENOSPC = 28;
const EOPNOTSUPP = 95;
const ENOTSUPP = 524;

/** What batch operations need to know of a map. */
export interface BatchTarget {
  fd: number;
  /** For errors: "map 'flows'". */
  subject: string;
  keySize: number;
  /** Bytes of a value as bpf(2) copies it (all CPUs of a per-CPU map). */
  valueSize: number;
  maxEntries: number;
}

/** Views of one entry's key and value. */
export type RawEntry = [key: DataView, value: DataView];

function unsupported(errno: number): boolean {
  return errno === ENOTSUPP || errno === EOPNOTSUPP || errno === EINVAL;
}

function fail(target: BatchTarget, operation: string, errno: number, done: number): never {
  throw new BpfError({
    operation,
    subject: target.subject,
    errno,
    done,
    hint: `after ${done} entries${errno === 7 ? '; the map is full (see maxEntries)' : ''}`,
  });
}

/** Encodes one entry at its place in the batch. */
export type EntryEncoder<E> = (
  entry: E,
  keys: DataView,
  keyOffset: number,
  values: DataView,
  valueOffset: number,
) => void;

/** Sets entries in order; returns how many. Flags other than 0 go one by one: the kernel's batches ignore them. */
export function updateBatch<E>(
  target: BatchTarget,
  entries: Iterable<E>,
  encode: EntryEncoder<E>,
  flags: number,
): number {
  const keys = new Uint8Array(CHUNK_ENTRIES * target.keySize);
  const values = new Uint8Array(CHUNK_ENTRIES * target.valueSize);
  const keyView = new DataView(keys.buffer);
  const valueView = new DataView(values.buffer);
  let batched = flags === 0;
  let done = 0;
  let filled = 0;
  const flush = (): void => {
    let start = 0;
    if (batched) {
      const result = libbpf().updateBatch(target.fd, keys, values, new Uint32Array([filled]), null);
      if (result === 0) start = filled;
      else if (done === 0 && unsupported(-result)) batched = false;
      // The count of a failed batch is not reliable on all kernels: go through this chunk once more, one by one.
    }
    for (; start < filled; start++) {
      const key = keys.subarray(start * target.keySize, (start + 1) * target.keySize);
      const value = values.subarray(start * target.valueSize, (start + 1) * target.valueSize);
      const result = libbpf().update(target.fd, key, value, flags);
      if (result < 0) fail(target, 'update batch', -result, done + start);
    }
    done += filled;
    filled = 0;
  };
  for (const entry of entries) {
    encode(entry, keyView, filled * target.keySize, valueView, filled * target.valueSize);
    if (++filled === CHUNK_ENTRIES) flush();
  }
  if (filled > 0) flush();
  return done;
}

/** Removes keys; returns how many were there. */
export function deleteBatch<K>(
  target: BatchTarget,
  keys: Iterable<K>,
  encode: (key: K, view: DataView, offset: number) => void,
): number {
  const { keySize, fd } = target;
  const buffer = new Uint8Array(CHUNK_ENTRIES * keySize);
  const view = new DataView(buffer.buffer);
  let batched = true;
  let deleted = 0;
  let filled = 0;
  const flush = (): void => {
    let start = 0;
    while (batched && start < filled) {
      const count = new Uint32Array([filled - start]);
      const result = libbpf().deleteBatch(fd, buffer.subarray(start * keySize), count, null);
      if (result === 0) {
        deleted += filled - start;
        start = filled;
      } else if (result === -ENOENT && (count[0] ?? 0) < filled - start) {
        // The kernel stops at the first key that is missing, and says how many it removed before.
        deleted += count[0] ?? 0;
        start += (count[0] ?? 0) + 1;
      } else {
        batched = false;
      }
    }
    for (; start < filled; start++) {
      const result = libbpf().delete(fd, buffer.subarray(start * keySize, (start + 1) * keySize));
      if (result === 0) deleted++;
      else if (result !== -ENOENT) fail(target, 'delete batch', -result, deleted);
    }
    filled = 0;
  };
  for (const key of keys) {
    encode(key, view, filled * keySize);
    if (++filled === CHUNK_ENTRIES) flush();
  }
  if (filled > 0) flush();
  return deleted;
}

/** All entries, in chunks whose views hold until the next chunk is asked for. */
export function* entryChunks(target: BatchTarget): Generator<RawEntry[], void, void> {
  const { fd, keySize, valueSize } = target;
  // The kernel's cursor is a key, or a 32-bit bucket number.
  let cursor: Uint8Array | null = null;
  let capacity = Math.min(CHUNK_ENTRIES, Math.max(target.maxEntries, 1));
  let keys = new Uint8Array(capacity * keySize);
  let values = new Uint8Array(capacity * valueSize);
  let attempts = 0;
  // Types that walk by key (LPM tries) start over when others delete that key: this keeps it from going on for ever.
  let left = 2 * target.maxEntries + CHUNK_ENTRIES;
  const next = new Uint8Array(Math.max(keySize, 8));
  for (;;) {
    const count = new Uint32Array([capacity]);
    const result = libbpf().lookupBatch(fd, cursor, next, keys, values, count, null);
    const errno = -result;
    if (errno === ENOSPC && capacity < Math.max(target.maxEntries, CHUNK_ENTRIES)) {
      // One bucket held more than the chunk.
      capacity *= 2;
      keys = new Uint8Array(capacity * keySize);
      values = new Uint8Array(capacity * valueSize);
      continue;
    }
    if ((errno === EINTR || errno === EAGAIN) && ++attempts < BATCH_ATTEMPTS_MAX) continue;
    if (cursor === null && unsupported(errno)) {
      yield* entriesOneByOne(target);
      return;
    }
    if (errno !== 0 && errno !== ENOENT) fail(target, 'lookup batch', errno, 0);
    attempts = 0;
    const got = count[0] ?? 0;
    if (got > 0) yield split(keys, values, got, keySize, valueSize);
    left -= got;
    if (errno === ENOENT || left <= 0) return;
    cursor = next.slice();
  }
}

function split(
  keys: Uint8Array,
  values: Uint8Array,
  count: number,
  keySize: number,
  valueSize: number,
): RawEntry[] {
  return Array.from({ length: count }, (_, i) => [
    new DataView(keys.buffer, i * keySize, keySize),
    new DataView(values.buffer, i * valueSize, valueSize),
  ]);
}

function* entriesOneByOne(target: BatchTarget): Generator<RawEntry[], void, void> {
  const { fd } = target;
  let key: Uint8Array | null = null;
  // A key deleted under us makes the kernel start over: the bound keeps that from going on for ever.
  for (let given = 0; given < target.maxEntries; given++) {
    const next = new Uint8Array(target.keySize);
    const found = libbpf().nextKey(fd, key, next);
    if (found === -ENOENT) return;
    if (found < 0) fail(target, 'next key', -found, given);
    const value = new Uint8Array(Math.max(target.valueSize, 1));
    const looked = libbpf().lookup(fd, next, value);
    key = next;
    if (looked === -ENOENT) continue;
    if (looked < 0) fail(target, 'lookup', -looked, given);
    yield [[new DataView(next.buffer, 0, target.keySize), new DataView(value.buffer, 0, target.valueSize)]];
  }
}
