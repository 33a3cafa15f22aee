import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { mount, unmount } from '../src/ffi.ts';
import {
  attachCgroup,
  attachSkLookup,
  attachTcx,
  attachXdp,
  BpfLink,
  CollectionSpec,
  openPinnedLink,
  withBpffs,
} from '../src/index.ts';
import { map_counters } from './golden/kitchen.ts';
import { compileFixture, eventually, ip, temporaryDirectory, VethPair } from './support.ts';

const directory = temporaryDirectory();
t.teardown(() => directory[Symbol.dispose]());
const spec = CollectionSpec.fromFile(compileFixture('kitchen', directory.path));
for (const map of spec.maps.values()) map.pinning = 'none';
const collection = spec.load();
t.teardown(() => collection[Symbol.dispose]());
const countXdp = collection.program('count_xdp');
const dropXdp = collection.program('drop_xdp');
const countTcx = collection.program('count_tcx');
const countOther = collection.program('count_tc_other');
const counters = collection.map(map_counters);
const bpffs = withBpffs(path.join(directory.path, 'bpffs'));
t.teardown(() => bpffs[Symbol.dispose]());

/** Packets counted in a slot by the fixture's programs. */
function counted(slot: number): number {
  return (counters.lookupPerCpu(slot) ?? []).reduce((a, b) => a + b, 0);
}

/** Whether sending raises the count of a slot. */
async function counts(veth: VethPair, slot: number): Promise<boolean> {
  const before = counted(slot);
  return eventually(() => {
    veth.send();
    return counted(slot) > before;
  });
}

/** Whether none of a few packets raises the count of a slot, after one has reached another slot. */
function idle(veth: VethPair, slot: number): boolean {
  const before = counted(slot);
  veth.send(5);
  return counted(slot) === before;
}

t.test('xdp on a veth: attach, replace, pin, reopen, detach', async (t) => {
  using veth = new VethPair('x');
  const file = path.join(bpffs.path, 'xdp');
  {
    using link = veth.inside(() => attachXdp(countXdp, veth.nearIfindex, { mode: 'native' }));
    t.equal(link.mode, 'native');
    t.match(link.info(), { type: 'xdp', ifindex: veth.nearIfindex, programId: countXdp.info().id });
    t.ok(await counts(veth, 0));
    t.throws(() => veth.inside(() => attachXdp(dropXdp, veth.nearIfindex)), {
      code: 'EBUSY',
      message: /program 'drop_xdp'.*open that and update it/,
    });
    link.update(dropXdp);
    t.equal(link.info().programId, dropXdp.info().id);
    t.ok(await counts(veth, 1));
    await link.updateAsync(countXdp);
    t.ok(await counts(veth, 0));
    const pending = link.updateAsync(dropXdp);
    link.pin(file);
    link[Symbol.dispose]();
    await pending;
    t.throws(() => link.fd, { code: 'CLOSED' });
  }
  t.ok(await counts(veth, 1), 'a pinned link lives on');
  using reopened = BpfLink.openPinned(file);
  t.equal(reopened.info().programId, dropXdp.info().id, 'the update outlived the disposal');
  reopened.detach();
  t.equal(reopened.info().ifindex, 0);
  t.ok(idle(veth, 1));
  fs.rmSync(file);
  t.throws(() => reopened.update(countTcx), { code: /EINVAL|ENOLINK/ });
});

t.test('xdp falls back to generic mode, and says so', async (t) => {
  using veth = new VethPair('g');
  const LOOPBACK = 1;
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  using link = veth.inside(() => attachXdp(countXdp, LOOPBACK, { onWarning }));
  t.equal(link.mode, 'generic');
  t.match(warnings, [/ifindex 1: no native XDP \(EOPNOTSUPP\)/]);
  t.match(ip('-n', veth.near, 'link', 'show', 'lo'), /xdpgeneric/);
  using native = veth.inside(() => attachXdp(countXdp, veth.nearIfindex, { onWarning }));
  t.equal(native.mode, 'native');
  t.equal(warnings.length, 1);
  t.throws(() => veth.inside(() => attachXdp(countXdp, 999_999)), { message: /ifindex 999999.*not in this/ });
});

for (const method of ['tcx', 'clsact'] as const) {
  t.test(`${method}: attach, replace, pin, reopen, detach`, async (t) => {
    using veth = new VethPair(method.slice(0, 2));
    const file = path.join(bpffs.path, method);
    {
      using link = veth.inside(() => attachTcx(countTcx, veth.nearIfindex, 'ingress', { method }));
      t.match(link.info(), { type: method, ifindex: veth.nearIfindex, programId: countTcx.info().id });
      t.ok(await counts(veth, 2));
      link.update(countOther);
      t.equal(link.info().programId, countOther.info().id);
      t.ok(await counts(veth, 3));
      await link.updateAsync(countTcx);
      t.ok(await counts(veth, 2));
    }
    t.ok(idle(veth, 2), 'disposing detaches');
    {
      using link = veth.inside(() => attachTcx(countTcx, veth.nearIfindex, 'ingress', { method }));
      link.pin(file);
    }
    t.ok(await counts(veth, 2), 'what is pinned lives on');
    using reopened = veth.inside(() => openPinnedLink(file));
    t.equal(reopened.info().programId, countTcx.info().id);
    reopened.update(countOther);
    t.ok(await counts(veth, 3));
    reopened.detach();
    t.ok(idle(veth, 3));
    t.equal(reopened.info().ifindex, 0, 'gone from the device');
    if (method === 'clsact') {
      t.throws(() => veth.inside(() => openPinnedLink(file)), {
        code: 'ENOENT',
        message: /the filter is gone/,
      });
    }
    fs.rmSync(file);
  });
}

t.test('two programs on one tc hook, and egress', async (t) => {
  using veth = new VethPair('e');
  using first = veth.inside(() => attachTcx(countTcx, veth.nearIfindex, 'ingress'));
  using second = veth.inside(() => attachTcx(countOther, veth.nearIfindex, 'ingress'));
  using out = veth.inside(() => attachTcx(countOther, veth.nearIfindex, 'egress'));
  t.not(first.info().id, second.info().id);
  t.not(out.info().attachType, first.info().attachType);
  const before = counted(3);
  t.ok(await counts(veth, 2));
  t.ok(counted(3) > before, 'both saw it');
  using legacy = veth.inside(() => attachTcx(countOther, veth.nearIfindex, 'egress', { method: 'clsact' }));
  using another = veth.inside(() => attachTcx(countTcx, veth.nearIfindex, 'egress', { method: 'clsact' }));
  t.equal(legacy.info().programId, countOther.info().id);
  t.equal(another.info().programId, countTcx.info().id, 'filters get priorities of their own');
});

t.test('a device that goes takes its links along', async (t) => {
  const veth = new VethPair('d');
  using namespace = veth;
  using link = veth.inside(() => attachXdp(countXdp, veth.nearIfindex));
  using filter = veth.inside(() => attachTcx(countTcx, veth.nearIfindex, 'ingress', { method: 'clsact' }));
  ip('-n', namespace.near, 'link', 'del', 'v0');
  t.equal(link.info().ifindex, 0);
  t.match(filter.info(), { programId: 0, ifindex: 0 });
  t.throws(() => filter.update(countOther), { message: /clsact ingress filter on ifindex/ });
});

t.test('cgroup and sk_lookup links', async (t) => {
  const mountPoint = path.join(directory.path, 'cgroup');
  fs.mkdirSync(mountPoint);
  t.equal(mount('none', mountPoint, 'cgroup2'), 0);
  const group = path.join(mountPoint, `bpf-ts-${process.pid}`);
  fs.mkdirSync(group);
  t.teardown(() => {
    fs.rmdirSync(group);
    unmount(mountPoint);
  });
  const groupFd = fs.openSync(group, 'r');
  using link = attachCgroup(collection.program('connect_refuse'), groupFd, 'cgroup_inet4_connect');
  fs.closeSync(groupFd);
  t.match(link.info(), {
    type: 'cgroup',
    attachType: 10,
    cgroupId: fs.statSync(group, { bigint: true }).ino,
  });

  using veth = new VethPair('s');
  const netnsFd = fs.openSync(`/run/netns/${veth.near}`, 'r');
  using lookup = attachSkLookup(collection.program('lookup_pass'), netnsFd);
  t.match(lookup.info(), { type: 'netns', attachType: 36, netnsInode: fs.fstatSync(netnsFd).ino });
  fs.closeSync(netnsFd);
  t.throws(() => attachSkLookup(countXdp, veth.nearIfindex), {
    message: /program 'count_xdp': attach sk_lookup/,
  });
});
