import path from 'node:path';
import t from 'tap';
import {
  BpfError,
  BpfMap,
  bytes,
  CollectionSpec,
  decodeBytes,
  encodeBytes,
  mapFlag,
  possibleCpus,
  u16,
  u32,
  u64,
  withBpffs,
} from '../src/index.ts';
import * as layout from './golden/kitchen.ts';
import { compileFixture, temporaryDirectory } from './support.ts';

const directory = temporaryDirectory();
t.teardown(() => directory[Symbol.dispose]());
const spec = CollectionSpec.fromFile(compileFixture('kitchen', directory.path));
for (const map of spec.maps.values()) map.pinning = 'none';
const packet = { data: new Uint8Array(60) };

/** What `body` throws, which must be a BpfError. */
function failure(body: () => unknown): BpfError {
  try {
    body();
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const key: layout.flow_key = {
  source: {
    v4_or_v6: encodeBytes(layout.address_v4_or_v6_as.v4, 0xc0000201, 16),
    family: 4,
    pad: new Uint8Array(3),
  },
  port: 8080,
  protocol: 17,
  vni: 42,
};

const value: layout.flow_value = {
  packets: 7n,
  balance: 0n,
  cookie: 1n,
  delta: -1,
  small: 2,
  tiny: -3,
  on: true,
  reason: layout.verdict_reason.REASON_BLOCKED,
  mark: layout.sparse_mark.MARK_LOW,
  history: [1, 2, 3],
  grid: [
    [1, 2, 3],
    [4, 5, 6],
  ],
  name: new Uint8Array(6),
  pairs: [
    { first: 1, second: 2 },
    { first: 3, second: 4 },
  ],
  token: encodeBytes(layout.token_as.parts, { high: 0x1234, low: 1 }, 8),
  low: 1,
  middle: 0xabc,
  high: 2,
  bend: -1,
  beside: 9,
  wide: 5n,
};

t.test('a program and generated codecs agree on the layout', async (t) => {
  using collection = spec.load();
  const flows = collection.map(layout.map_flows);
  t.equal(flows.lookup(key), undefined);
  t.equal(flows.delete(key), false);
  flows.update(key, value);
  t.strictSame(flows.lookup(key), value);
  t.equal(
    collection.program('touch_flow').testRun(packet).retval,
    2,
    'the program sees the union and the bitfield',
  );
  t.strictSame(flows.lookup(key), { ...value, packets: 8n, balance: -1n });
  t.equal(failure(() => flows.update(key, value, { flags: 'noexist' })).code, 'EEXIST');
  t.equal(failure(() => flows.update({ ...key, vni: 1 }, value, { flags: 'exist' })).code, 'ENOENT');
  t.strictSame(
    [...flows.entries()].map(([each]) => each),
    [key],
  );
  t.equal(flows.delete(key), true);
  t.strictSame([...flows.keys()], []);
  const wrong = failure(() => collection.map('flows').typed(u32, u32));
  t.equal(wrong.code, 'MAP_INCOMPATIBLE');
  t.match(wrong.message, /map 'flows'.*key has 28 bytes, the codec 4/);
});

t.test('batches set, give and remove many entries', async (t) => {
  using raw = BpfMap.create({ name: 'many', type: 'hash', keySize: 4, valueSize: 8, maxEntries: 5000 });
  const map = raw.typed(u32, u64);
  const entries = Array.from({ length: 5000 }, (_, i): [number, bigint] => [i * 3, BigInt(i)]);
  t.equal(map.updateBatch(entries), 5000);
  const byKey = (a: [number, bigint], b: [number, bigint]): number => a[0] - b[0];
  t.strictSame(map.lookupBatch().sort(byKey), entries);
  t.strictSame(
    [...map.keys()].sort((a, b) => a - b),
    entries.map(([each]) => each),
  );
  const full = failure(() =>
    map.updateBatch([
      [0, 1n],
      [1, 1n],
      [2, 1n],
    ]),
  );
  t.equal(full.code, 'E2BIG');
  t.equal(full.done, 1, 'one was there already');
  t.match(full.message, /map 'many'.*full/);
  t.equal(map.deleteBatch([1, 0, 3, 4, 5, 6]), 3, 'missing keys are passed over');
  t.equal(map.lookupBatch().length, 4997);
  const exists = failure(() =>
    map.updateBatch(
      [
        [0, 1n],
        [9, 1n],
      ],
      { flags: 'noexist' },
    ),
  );
  t.equal(exists.code, 'EEXIST');
  t.equal(exists.done, 1);
  t.equal(map.deleteBatch(map.keys()), 4998, 'while iterating');
  t.strictSame(map.lookupBatch(), []);
});

t.test('map types without batches go one by one', async (t) => {
  using outer = BpfMap.create({ name: 'inner', type: 'array', keySize: 4, valueSize: 4, maxEntries: 1 });
  using maps = BpfMap.create({
    name: 'outer',
    type: 'hash_of_maps',
    keySize: 4,
    valueSize: 4,
    maxEntries: 8,
    innerMap: outer,
  });
  const typed = maps.typed(u32, u32);
  typed.updateFd(3, outer);
  typed.updateFd(1, outer);
  const id = outer.info().id;
  t.strictSame(
    typed.lookupBatch().sort(([a], [b]) => a - b),
    [
      [1, id],
      [3, id],
    ],
  );
  t.equal(typed.deleteBatch([1, 2, 3]), 2);

  using sockets = BpfMap.create({ name: 'queue', type: 'queue', keySize: 0, valueSize: 4, maxEntries: 2 });
  t.equal(sockets.info().keySize, 0);

  using trie = BpfMap.create({
    name: 'trie',
    type: 'lpm_trie',
    keySize: 8,
    valueSize: 4,
    maxEntries: 10,
    flags: mapFlag.noPrealloc,
  });
  const prefixes = trie.typed(bytes(8), u32);
  const prefix = (length: number, ...address: number[]) => Uint8Array.of(length, 0, 0, 0, ...address);
  t.equal(
    prefixes.updateBatch([
      [prefix(8, 10, 0, 0, 0), 8],
      [prefix(24, 10, 1, 2, 0), 24],
    ]),
    2,
  );
  t.equal(prefixes.lookup(prefix(32, 10, 1, 2, 3)), 24);
  t.equal(prefixes.lookup(prefix(32, 10, 9, 2, 3)), 8);
  t.strictSame(
    prefixes
      .lookupBatch()
      .map(([, length]) => length)
      .sort(),
    [24, 8],
  );
});

t.test('iteration ends though others delete and insert', async (t) => {
  using raw = BpfMap.create({ name: 'busy', type: 'hash', keySize: 4, valueSize: 4, maxEntries: 4000 });
  const map = raw.typed(u32, u32);
  map.updateBatch(Array.from({ length: 2000 }, (_, i): [number, number] => [i, i]));
  let given = 0;
  const stable = new Set<number>();
  for (const [each] of map.entries()) {
    given++;
    if (each < 1000) stable.add(each);
    else map.delete(each);
    map.update(10_000 + given, 0);
    map.delete(10_000 + given - 1);
  }
  t.equal(stable.size, 1000, 'what was there all the time is given');
  t.ok(given <= 8000, `${given} entries given`);
});

t.test('per-CPU values, one for each possible CPU', async (t) => {
  using collection = spec.load();
  const counters = collection.map(layout.map_counters);
  const cpus = possibleCpus();
  t.equal(counters.isPerCpu, true);
  t.equal(counters.kernelValueSize, 8 * cpus, 'values are rounded up to 8 bytes');
  const values = Array.from({ length: cpus }, (_, cpu) => 100 + cpu);
  counters.updatePerCpu(0, values);
  t.strictSame(counters.lookupPerCpu(0), values);
  for (let i = 0; i < 5; i++) collection.program('count_xdp').testRun(packet);
  const sum = (all: readonly number[] | undefined): number => (all ?? []).reduce((a, b) => a + b, 0);
  t.equal(sum(counters.lookupPerCpu(0)), sum(values) + 5);
  const entries = [...counters.entriesPerCpu()];
  t.equal(entries.length, 8);
  t.equal(
    counters.updateBatchPerCpu([
      [1, values],
      [2, values],
    ]),
    2,
  );
  t.strictSame(counters.lookupPerCpu(2), values);
  t.throws(() => counters.updatePerCpu(0, [...values, 1]), RangeError);
  t.match(failure(() => counters.lookup(0)).message, /use lookupPerCpu/);
  t.match(failure(() => counters.update(0, 1)).message, /use updatePerCpu/);
  t.match(
    failure(() => collection.map('table').lookupPerCpu(new Uint8Array(4))).message,
    /not a per-CPU map/,
  );
});

t.test('maps in maps and programs in arrays', async (t) => {
  using collection = spec.load();
  const inner = collection.map('inner_table');
  inner.typed(u32, u32).update(2, 77);
  const tables = collection.map('tables').typed(u32, u32);
  const run = (): number => collection.program('lookup_inner').testRun(packet).retval;
  t.equal(run(), 100);
  tables.updateFd(5, inner);
  t.equal(run(), 77);
  using byId = BpfMap.openId(tables.lookup(5) ?? 0);
  t.equal(byId.info().id, inner.info().id, 'a look-up gives the id');
  using other = BpfMap.create({ name: 'other', type: 'hash', keySize: 4, valueSize: 4, maxEntries: 4 });
  t.equal(failure(() => tables.updateFd(6, other)).code, 'EINVAL', 'another shape is refused');

  const jump = (): number => collection.program('jump_xdp').testRun(packet).retval;
  t.equal(jump(), 0);
  collection.map('stages').typed(u32, u32).updateFd(1, collection.program('drop_xdp'));
  t.equal(jump(), 1);
});

t.test('an inner map may take the place of the declared shape', async (t) => {
  using inner = BpfMap.create({ name: 'wide', type: 'array', keySize: 4, valueSize: 4, maxEntries: 9 });
  const edited = CollectionSpec.fromBuffer(spec.image, 'kitchen');
  for (const program of edited.programs.values()) program.autoload = program.name === 'lookup_inner';
  for (const map of edited.maps.values()) {
    map.pinning = 'none';
    if (map.name === 'tables') map.innerMap = inner;
  }
  using collection = edited.load();
  inner.typed(u32, u32).update(2, 5);
  collection.map('tables').typed(u32, u32).updateFd(5, inner);
  t.equal(collection.program('lookup_inner').testRun(packet).retval, 5);
});

t.test('an array in memory, without system calls', async (t) => {
  using collection = spec.load();
  const table = collection.map(layout.map_table);
  const mapped = table.mmap();
  t.equal(mapped.length, 4);
  table.update(2, 0x1122n);
  t.equal(mapped.get(2), 0x1122n);
  mapped.set(3, 5n);
  t.equal(table.lookup(3), 5n);
  t.throws(() => mapped.get(4), RangeError);
  t.throws(() => mapped.set(-1, 0n), RangeError);
  mapped[Symbol.dispose]();
  mapped[Symbol.dispose]();
  t.equal(failure(() => mapped.get(2)).code, 'CLOSED');
  t.match(failure(() => collection.map('flows').mmap()).message, /BPF_F_MMAPABLE/);
});

t.test('pins, frozen maps, and use after disposal', async (t) => {
  using bpffs = withBpffs(path.join(directory.path, 'bpffs'));
  const file = path.join(bpffs.path, 'pinned');
  {
    using map = BpfMap.create({ name: 'pinned', type: 'array', keySize: 4, valueSize: 8, maxEntries: 2 });
    map.typed(u32, u64).update(1, 9n);
    map.pin(file);
  }
  using map = BpfMap.openPinned(file, layout.map_table);
  t.equal(map.lookup(1), 9n);
  t.equal(failure(() => BpfMap.openPinned(file, layout.map_flows)).code, 'MAP_INCOMPATIBLE');
  t.equal(failure(() => BpfMap.openPinned(`${file}x`)).code, 'ENOENT');
  map.freeze();
  t.equal(failure(() => map.update(0, 1n)).code, 'EPERM');
  const view = map.typed(u32, u64);
  view[Symbol.dispose]();
  t.equal(failure(() => map.lookup(0)).code, 'CLOSED', 'a typed view shares the descriptor');
});

t.test('small values of all kinds survive a round trip', async (t) => {
  t.equal(decodeBytes(u16, encodeBytes(u16, 65535, 4)), 65535);
  using raw = BpfMap.create({ name: 'raw', type: 'hash', keySize: 2, valueSize: 3, maxEntries: 2 });
  raw.update(Uint8Array.of(1, 2), Uint8Array.of(3, 4, 5));
  t.strictSame([...raw.entries()], [[Uint8Array.of(1, 2), Uint8Array.of(3, 4, 5)]]);
  t.throws(() => raw.update(Uint8Array.of(1), Uint8Array.of(3, 4, 5)), RangeError);
});
