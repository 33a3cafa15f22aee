import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import {
  BpfError,
  BpfProgram,
  CollectionSpec,
  enableRunStats,
  hasBtf,
  hasTcx,
  kernelAtLeast,
  kernelVersion,
  libbpfVersion,
  possibleCpus,
  requireKernel,
  withBpffs,
} from '../src/index.ts';
import { compileFixture, temporaryDirectory } from './support.ts';

const directory = temporaryDirectory();
t.teardown(() => directory[Symbol.dispose]());
const spec = CollectionSpec.fromFile(compileFixture('kitchen', directory.path));
for (const map of spec.maps.values()) map.pinning = 'none';
const collection = spec.load();
t.teardown(() => collection[Symbol.dispose]());
const packet = new Uint8Array(60);

t.test('a test run gives back packet, context, verdict and time', async (t) => {
  const program = collection.program('count_xdp');
  const run = program.testRun({ data: packet, repeat: 100 });
  t.equal(run.retval, 2, 'XDP_PASS');
  t.equal(run.dataOut.length, 60);
  t.equal(run.dataOut[0], 60);
  t.equal(packet[0], 0, 'the input is not touched');
  t.ok(run.durationNs >= 0);
  // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
  const context = new Uint8Array(24);
  new DataView(context.buffer).setUint32(4, 60, true);
  const withContext = program.testRun({ data: packet, ctx: context });
  t.equal(withContext.ctxOut.length, 24);
  t.equal(new DataView(withContext.ctxOut.buffer).getUint32(4, true), 60, 'data_end');
  t.equal(collection.program('count_tcx').testRun({ data: packet }).retval, 0xffffffff, 'TCX_NEXT, unsigned');
});

t.test('a test run that cannot be is refused by name', async (t) => {
  const program = collection.program('count_xdp');
  t.throws(() => program.testRun({ data: new Uint8Array(3) }), {
    code: 'EINVAL',
    subject: "program 'count_xdp'",
  });
  t.throws(() => program.testRun({ data: packet, dataOutSize: 20 }), {
    code: 'ENOSPC',
    message: /60 bytes came out/,
  });
});

t.test('information, and run statistics while they are on', async (t) => {
  const program = collection.program('drop_xdp');
  const info = program.info();
  t.match(info, { name: 'drop_xdp', type: 'xdp', tag: /^[0-9a-f]{16}$/ });
  t.ok(info.id > 0 && info.xlatedBytes > 0 && info.verifiedInstructions > 0);
  {
    using stats = enableRunStats();
    t.ok(stats);
    program.testRun({ data: packet, repeat: 10 });
  }
  t.ok(program.info().runCount >= 10n);
  using byId = BpfProgram.openId(info.id);
  t.equal(byId.info().tag, info.tag);
});

t.test('a pinned program outlives its descriptor', async (t) => {
  using bpffs = withBpffs(path.join(directory.path, 'bpffs'));
  const file = path.join(bpffs.path, 'program');
  collection.program('drop_xdp').pin(file);
  using program = BpfProgram.openPinned(file);
  t.equal(program.name, 'drop_xdp');
  t.equal(program.testRun({ data: packet }).retval, 1);
  const mapFile = path.join(bpffs.path, 'map');
  collection.map('table').pin(mapFile);
  t.throws(() => BpfProgram.openPinned(mapFile), { message: /a map is pinned there/ });
  program[Symbol.dispose]();
  program[Symbol.dispose]();
  t.throws(() => program.fd, { code: 'CLOSED' });
});

t.test('what the machine has', async (t) => {
  t.ok(kernelVersion().major >= 5);
  t.equal(kernelAtLeast(3, 99), true);
  t.equal(kernelAtLeast(kernelVersion().major, kernelVersion().minor + 1), false);
  t.match(libbpfVersion(), /^1\.\d+$/);
  t.ok(possibleCpus() >= 1);
  t.equal(hasBtf(), true);
  t.equal(hasTcx(), kernelAtLeast(6, 6), 'tcx came with 6.6');
  t.doesNotThrow(() => requireKernel({ major: 5, minor: 8 }));
  t.throws(() => requireKernel({ major: 99, minor: 0 }), {
    code: 'KERNEL_TOO_OLD',
    message: /99\.0 or later/,
  });
  t.ok(new BpfError({ operation: 'x', errno: 524 }).code === 'ENOTSUPP');
});

t.test('what the machine lacks is said in one sentence', async (t) => {
  const index = path.join(import.meta.dirname, '../src/index.ts');
  const script = `import { requireKernel } from ${JSON.stringify(index)};
    try { requireKernel({ major: 5, minor: 8 }); } catch (error) { console.log(error.code, error.message); }`;
  const node = [process.execPath, '--input-type=module', '-e', script];
  const run = (command: string, ...args: string[]) => spawnSync(command, args, { encoding: 'utf8' }).stdout;
  t.match(
    run('setpriv', '--bounding-set=-all', '--inh-caps=-all', ...node),
    /^NOT_PERMITTED .*run it as root, or with CAP_BPF/,
  );
  // In a mount namespace of its own, the library is hidden under an empty file.
  const maps = fs.readFileSync('/proc/self/maps', 'utf8');
  const library = /\S*\/libbpf\.so\S*/.exec(maps)?.[0] ?? '';
  t.match(library, /libbpf\.so/);
  const hidden = `mount --bind /dev/null ${library} && exec "$@"`;
  t.match(
    run('unshare', '--mount', 'sh', '-c', hidden, 'sh', ...node),
    /^LIBBPF_MISSING .*apt install libbpf1/,
  );
});
