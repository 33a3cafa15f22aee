import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import {
  BpfError,
  BpfMap,
  CollectionSpec,
  ensureBpffs,
  isBpffs,
  unmountBpffs,
  withBpffs,
} from '../src/index.ts';
import { compileFixture, temporaryDirectory } from './support.ts';

const directory = temporaryDirectory();
t.teardown(() => directory[Symbol.dispose]());
const object = compileFixture('kitchen', directory.path);

/** A fresh description whose pinned map is not pinned, and with only the programs named. */
function kitchen(...programs: string[]): CollectionSpec {
  const spec = CollectionSpec.fromFile(object);
  for (const program of spec.programs.values()) program.autoload = programs.includes(program.name);
  for (const map of spec.maps.values()) map.pinning = 'none';
  return spec;
}

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

t.test('a spec describes maps, programs and constants', async (t) => {
  const spec = CollectionSpec.fromFile(object);
  t.equal(spec.name, 'kitchen');
  t.match(spec.maps.get('flows'), {
    type: 'hash',
    keySize: 28,
    maxEntries: 4096,
    pinning: 'none',
    isInternal: false,
  });
  t.match(spec.maps.get('kept'), { type: 'array', pinning: 'byName' });
  t.match(spec.maps.get('prefixes'), { type: 'lpm_trie', keySize: 8, flags: 1, btfKeyId: 0 });
  t.match(spec.maps.get('tables'), { type: 'hash_of_maps', inner: { type: 'array', maxEntries: 4 } });
  t.match(spec.maps.get('.rodata'), { isInternal: true });
  t.match(spec.programs.get('count_xdp'), { section: 'xdp', type: 'xdp', autoload: true });
  t.match(spec.programs.get('count_tcx'), {
    section: 'tcx/ingress',
    type: 'sched_cls',
    expectedAttachType: 46,
  });
  t.match(spec.programs.get('refused_xdp'), { autoload: false });
  t.match(spec.constants.get('mac'), { section: '.rodata', size: 6 });
  const same = CollectionSpec.fromBuffer(fs.readFileSync(object), 'kitchen');
  t.strictSame([...same.maps.keys()], [...spec.maps.keys()]);
});

t.test('edits reach the kernel', async (t) => {
  const spec = kitchen('count_xdp');
  const flows = spec.maps.get('flows');
  if (flows === undefined) throw new Error('the fixture has a map flows');
  flows.maxEntries = 17;
  using collection = spec.load();
  t.equal(collection.map('flows').info().maxEntries, 17);
  t.strictSame([...collection.programs.keys()], ['count_xdp'], 'programs without autoload are left out');
  t.equal(failure(() => collection.program('drop_xdp')).code, 'BAD_ARGUMENT');
  t.match(failure(() => collection.map('nothing')).message, /map 'nothing'.*flows/);
});

t.test('constants are written before loading', async (t) => {
  const spec = kitchen('count_xdp');
  const mac = Uint8Array.of(1, 2, 3, 4, 5, 6);
  spec.setConstants({
    limit: 99n,
    blocked: true,
    magic_port: 0x1234,
    mac,
    offset_s8: -128,
    default_reason: 7,
  });
  using collection = spec.load();
  const { retval, dataOut } = collection.program('count_xdp').testRun({ data: new Uint8Array(60) });
  t.equal(retval, 1, 'XDP_DROP');
  t.strictSame([...dataOut.subarray(0, 5)], [99, 6, 0x12, 0x34, 128]);
  using unchanged = kitchen('count_xdp').load();
  t.equal(
    unchanged.program('count_xdp').testRun({ data: new Uint8Array(60) }).dataOut[0],
    60,
    'another spec',
  );
});

t.test('constants that do not fit are refused by name', async (t) => {
  const spec = kitchen();
  const refused: [string, number | bigint | boolean | Uint8Array, RegExp][] = [
    ['limit', 2 ** 32, /4294967296 is not between 0 and 4294967295/],
    ['limit', -1, /between/],
    ['limit', 1.5, /safe integer/],
    ['offset_s8', 128, /between -128 and 127/],
    ['blocked', 2, /between 0 and 1/],
    ['mac', new Uint8Array(5), /5 bytes given, the variable has 6/],
    ['mac', 5, /give its 6 bytes/],
    ['seen', 1, /no 'const volatile' of that name/],
  ];
  for (const [name, value, pattern] of refused) {
    const error = failure(() => spec.setConstants({ [name]: value }));
    t.equal(error.code, 'BAD_ARGUMENT');
    t.match(error.message, pattern);
    t.match(error.message, `constant '${name}'`);
  }
});

t.test("a refused program's error has its name and the end of the verifier's log", async (t) => {
  const error = failure(() => kitchen('count_xdp', 'refused_xdp').load());
  t.equal(error.code, 'EACCES');
  t.equal(error.subject, "program 'refused_xdp'");
  t.match(error.log, /invalid access to packet/);
  t.match(error.message, /invalid access to packet/);
});

t.test("the verifier's log is there on success too, when asked for", async (t) => {
  using collection = kitchen('count_xdp', 'drop_xdp').load({ verifierLogLevel: 1 });
  t.strictSame([...collection.verifierLogs.keys()], ['count_xdp', 'drop_xdp']);
  t.match(collection.verifierLogs.get('count_xdp'), /processed \d+ insns/);
});

t.test('a map that the kernel refuses is named', async (t) => {
  const spec = kitchen();
  const ring = spec.maps.get('events');
  if (ring === undefined) throw new Error('the fixture has a map events');
  ring.flags = 1 << 30;
  t.match(failure(() => spec.load()).message, /events/);
});

t.test('maps are reused by name, and those of another shape refused', async (t) => {
  const packet = { data: new Uint8Array(60) };
  using first = kitchen('count_xdp').load();
  first.program('count_xdp').testRun(packet);
  const counters = first.map('counters');
  using second = kitchen('count_xdp').load({ reuseMaps: new Map([['counters', counters]]) });
  t.equal(second.map('counters').info().id, counters.info().id);
  t.not(second.map('flows').info().id, first.map('flows').info().id);

  using other = BpfMap.create({
    name: 'counters',
    type: 'percpu_array',
    keySize: 4,
    valueSize: 8,
    maxEntries: 9,
  });
  const error = failure(() => kitchen('count_xdp').load({ reuseMaps: new Map([['counters', other]]) }));
  t.equal(error.code, 'MAP_INCOMPATIBLE');
  t.match(
    error.message,
    /map 'counters'.*value size is 8, the object wants 4; max entries is 9, the object wants 8/,
  );
});

t.test('maps are pinned by name, found again, and taken from a directory', async (t) => {
  const mountPoint = path.join(directory.path, 'bpffs');
  using bpffs = withBpffs(mountPoint);
  const pinPath = path.join(bpffs.path, 'maps');
  fs.mkdirSync(pinPath);
  const spec = kitchen('count_xdp');
  const kept = spec.maps.get('kept');
  if (kept === undefined) throw new Error('the fixture has a map kept');
  kept.pinning = 'byName';
  t.match(failure(() => spec.load()).message, /map 'kept'.*give load\(\) a pinPath/);
  t.match(failure(() => spec.load({ pinPath: directory.path })).message, /not in a BPF file system/);

  using first = spec.load({ pinPath });
  t.strictSame(fs.readdirSync(pinPath), ['kept']);
  using second = spec.load({ pinPath });
  t.equal(second.map('kept').info().id, first.map('kept').info().id);
  using reopened = BpfMap.openPinned(path.join(pinPath, 'kept'));
  t.equal(reopened.info().id, first.map('kept').info().id);

  first.map('table').pin(path.join(pinPath, 'table'));
  using third = kitchen('count_xdp').load({ reuseMaps: pinPath });
  t.equal(third.map('table').info().id, first.map('table').info().id);

  const before = fs.readdirSync(pinPath);
  const refused = kitchen('refused_xdp');
  for (const map of refused.maps.values()) if (map.name === 'flows') map.pinning = 'byName';
  t.throws(() => refused.load({ pinPath }), BpfError);
  t.strictSame(fs.readdirSync(pinPath), before, 'a load that fails leaves no pin');
  t.equal(failure(() => first.map('table').pin(path.join(pinPath, 'table'))).code, 'EEXIST');
});

t.test('a BPF file system is mounted once, and never over files', async (t) => {
  const mountPoint = path.join(directory.path, 'mounted');
  t.equal(ensureBpffs(mountPoint), true);
  t.equal(ensureBpffs(mountPoint), false);
  t.equal(isBpffs(mountPoint), true);
  unmountBpffs(mountPoint);
  t.equal(isBpffs(mountPoint), false);
  fs.writeFileSync(path.join(mountPoint, 'file'), '');
  t.match(failure(() => ensureBpffs(mountPoint)).message, /would hide them/);
  t.equal(failure(() => unmountBpffs(mountPoint)).code, 'EINVAL');
});

t.test('loading and failing to load leaves no descriptor open', async (t) => {
  const count = (): number => fs.readdirSync('/proc/self/fd').length;
  kitchen('count_xdp').load()[Symbol.dispose]();
  const before = count();
  for (let i = 0; i < 5; i++) {
    kitchen('count_xdp').load()[Symbol.dispose]();
    t.throws(() => kitchen('refused_xdp').load());
  }
  t.equal(count(), before);
});
