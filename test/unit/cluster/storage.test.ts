/** What a manager stores: read back after a restart, whole or not at all, and nothing foreign is accepted. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Entry, Snapshot } from '../../../control/raft/core/index.ts';
import { Sealer } from '../../../control/raft/sealing.ts';
import { RaftStorage } from '../../../control/raft/storage.ts';

function folder(t: Test) {
  const path = mkdtempSync(join(tmpdir(), 'shoal-storage-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  const open = () => RaftStorage.open(join(path, 'raft.lmdb'), Sealer.open(join(path, 'data.key'), true));
  return { path, file: join(path, 'raft.lmdb'), open };
}

function entries(from: number, to: number, term = 1): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, position) => ({
    type: 'EntryNormal',
    term,
    index: from + position,
    data: Buffer.from(`entry ${from + position} of term ${term}`),
  }));
}

function snapshot(index: number, size_bytes: number): Snapshot {
  const confState = { voters: [1], learners: [2], votersOutgoing: [], learnersNext: [], autoLeave: false };
  return { data: Buffer.alloc(size_bytes, index), metadata: { index, term: 1, confState } };
}

/** Everything that the core can see of a storage, with bytes as text. */
function seen(storage: RaftStorage) {
  const first = storage.firstIndex();
  const last = storage.lastIndex();
  const log = last < first ? [] : storage.entries(first, last + 1, Number.POSITIVE_INFINITY);
  return {
    state: storage.initialState(),
    first,
    last,
    log: log.map((entry) => ({ ...entry, data: Buffer.from(entry.data).toString() })),
    snapshot: storage.storedSnapshot().metadata,
    size_bytes: storage.storedSnapshot().data.length,
  };
}

t.test('a restart sees what was saved, with the tail replaced', async (t) => {
  const { open } = folder(t);
  let storage = await open();
  t.match(seen(storage), { first: 1, last: 0, state: { hardState: { term: 0 } } });
  await storage.save([
    { snapshot: snapshot(10, 600_000) },
    { entries: entries(11, 20), hardState: { term: 1, vote: 1, commit: 12 } },
    { entries: entries(16, 17, 2), hardState: { term: 2, vote: 0, commit: 13 } },
  ]);
  t.equal(storage.counters.transactions, 2, 'the format, and all three saves in one');
  const before = seen(storage);
  t.match(before, {
    first: 11,
    last: 17,
    state: { hardState: { term: 2, commit: 13 } },
    size_bytes: 600_000,
  });
  await storage.close();
  storage = await open();
  t.strictSame(seen(storage), before);
  await storage.close();
});

t.test('compaction keeps a tail for slow followers until the restart, and shrinks snapshots', async (t) => {
  const { open } = folder(t);
  let storage = await open();
  await storage.save([{ snapshot: snapshot(1, 700_000), entries: entries(2, 50) }]);
  const before_bytes = storage.log_bytes;
  await storage.compact(snapshot(40, 10), 30);
  t.match(seen(storage), { first: 31, last: 50, snapshot: { index: 40 }, size_bytes: 10 });
  t.ok(storage.log_bytes < before_bytes && storage.log_bytes > 0);
  t.throws(() => storage.term(29), { code: 'COMPACTED' });
  await storage.save([{ entries: entries(51, 52) }]);
  await storage.close();
  storage = await open();
  t.match(seen(storage), { first: 41, last: 52, size_bytes: 10 });
  await storage.save([{ snapshot: snapshot(100, 5), hardState: { term: 3, vote: 0, commit: 100 } }]);
  t.match(seen(storage), { first: 101, last: 100 }, 'a snapshot from the leader replaces the log');
  t.equal(storage.log_bytes, 0);
  await storage.close();
  storage = await open();
  t.match(seen(storage), { first: 101, last: 100, snapshot: { index: 100 } });
  await storage.close();
});

t.test('damaged, foreign and wrongly keyed stores are refused by name', async (t) => {
  const { path, file, open } = folder(t);
  writeFileSync(file, Buffer.alloc(100_000, 'not lmdb'));
  await t.rejects(open(), { code: 'STORAGE_FAILED', message: /raft\.lmdb.*not an lmdb file/ });
  rmSync(file);
  const storage = await open();
  await storage.save([{ entries: entries(1, 3), hardState: { term: 1, vote: 1, commit: 0 } }]);
  const sealed = new Sealer(readFileSync(join(path, 'data.key')));
  await storage.close();
  const whole = readFileSync(file);
  const key = readFileSync(join(path, 'data.key'));
  writeFileSync(join(path, 'data.key'), Buffer.alloc(32, 1));
  await t.rejects(open(), { code: 'STORAGE_FAILED', message: /another data key/ });
  writeFileSync(join(path, 'data.key'), Buffer.alloc(5, 1));
  await t.rejects(async () => open(), { code: 'STORAGE_FAILED', message: /32 bytes, not 5/ });
  writeFileSync(join(path, 'data.key'), key);
  const value = sealed.seal('log/1', Buffer.from('x'));
  t.equal(sealed.unseal('log/1', value).toString(), 'x');
  t.throws(() => sealed.unseal('log/2', value), { code: 'STORAGE_FAILED' }, 'a value belongs to its name');
  for (let at = 0; at < value.length; at += 1) {
    const changed = Buffer.from(value);
    changed[at] = (changed[at] ?? 0) ^ 0x10;
    t.throws(() => sealed.unseal('log/1', changed), { code: 'STORAGE_FAILED' });
  }
  t.throws(() => sealed.unseal('log/1', value.subarray(0, 5)), { code: 'STORAGE_FAILED' });
  writeFileSync(file, whole);
  const again = await open();
  t.equal(again.lastIndex(), 3);
  await again.close();
});
