/** One manager: entering, leaving, and what lies on its disk. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createCommand } from '../store/commands.ts';
import { Machines, nodeId } from './machines.ts';

t.test('a sole manager makes a cluster, keeps it over a restart, and leaves nothing behind', async (t) => {
  const machines = new Machines(t);
  const first = await machines.start(1);
  t.strictSame(first.membership, { state: 'none' });
  await t.rejects(first.propose(createCommand('a')), { code: 'NOT_INITIALISED' });
  await first.init({ addresses: [machines.address(1)] });
  await t.rejects(first.init({ addresses: [] }), { code: 'ALREADY_INITIALISED' });
  const created = await first.propose(createCommand('visible-name'));
  t.match(created, { name: 'visible-name', vip: '10.248.0.2' });
  await t.rejects(first.propose(createCommand('visible-name', { id: 'service-other' })), {
    code: 'NAME_IN_USE',
  });
  await t.rejects(first.propose({ type: 'network.remove', ref: 7 } as never), { code: 'BAD_REQUEST' });
  const id = nodeId(first);
  const token = first.issueJoinToken('worker');
  await machines.stop(first);

  const again = await machines.start(1);
  t.match(again.membership, { state: 'member', nodeId: id, role: 'manager' });
  t.match(await again.propose(createCommand('b')), { vip: '10.248.0.3' });
  t.match(again.state.byName('service', 'visible-name'), created as object, 'what was acknowledged is there');
  t.equal(again.issueJoinToken('worker'), token);
  t.equal(again.leader()?.nodeId, id);

  await again.leave();
  t.strictSame(again.membership, { state: 'none' });
  t.strictSame(readdirSync(machines.dataDir(1)), []);
  t.equal(again.state.version, 0);
  await again.init({ addresses: [machines.address(1)] });
  t.not(nodeId(again), id, 'a new cluster');
});

t.test('values at rest are sealed, and only their owner reads the folder', async (t) => {
  const machines = new Machines(t);
  const cluster = await machines.start(1);
  await cluster.init({ addresses: [machines.address(1)] });
  await cluster.propose(createCommand('visible-name'));
  const secret = cluster.state.cluster()?.joinSecrets.worker ?? 'none';
  await machines.stop(cluster);
  const dataDir = machines.dataDir(1);
  const stored = readFileSync(join(dataDir, 'raft.lmdb'));
  t.ok(stored.length > 4_096);
  for (const plain of ['visible-name', secret, 'PRIVATE KEY', '"service.create"']) {
    t.equal(stored.includes(plain), false, `no "${plain.slice(0, 12)}" in the file`);
  }
  t.equal(statSync(join(dataDir, 'data.key')).mode & 0o777, 0o600);
  t.equal(statSync(join(dataDir, 'node.key')).mode & 0o777, 0o600);

  const key = readFileSync(join(dataDir, 'data.key'));
  writeFileSync(join(dataDir, 'data.key'), Buffer.alloc(32, 7));
  await t.rejects(machines.start(1), { code: 'STORAGE_FAILED', message: /another data key/ });
  writeFileSync(join(dataDir, 'data.key'), key);
  writeFileSync(join(dataDir, 'membership.json'), '{"format":9}');
  await t.rejects(machines.start(1), { code: 'STORAGE_FAILED', message: /membership\.json.*format 9/ });
});

t.test('a long log is cut by snapshots, and a restart begins from the last of them', async (t) => {
  const machines = new Machines(t, { snapshotEntries: 20 });
  const cluster = await machines.start(1);
  await cluster.init({ addresses: [machines.address(1)] });
  const names = Array.from({ length: 70 }, (_, number) => `s${number}`);
  await Promise.all(names.map((name) => cluster.propose(createCommand(name, { vip: null }))));
  for (const name of names.slice(0, 30)) await cluster.propose({ type: 'service.remove', ref: name });
  t.ok((cluster.raftStatus().firstIndex ?? 0) > 50, 'old entries are gone');
  const { version } = cluster.state;
  await machines.stop(cluster);
  const again = await machines.start(1);
  t.equal((await again.propose(createCommand('last'))) !== null, true);
  t.ok(again.state.version > version);
  t.equal(again.state.list('service').length, 41);
});

t.test('a repeated request is not applied twice, and watchers see each version', async (t) => {
  const machines = new Machines(t);
  const cluster = await machines.start(1);
  await cluster.init({ addresses: [machines.address(1)] });
  const stop = new AbortController();
  const from = cluster.state.version;
  const watcher = cluster.watch(from, { signal: stop.signal });
  const options = { requestId: 'request-0001' };
  const first = await cluster.propose(createCommand('a'), options);
  t.strictSame(await cluster.propose(createCommand('a'), options), first);
  const seen: number[] = [];
  for await (const event of watcher) {
    seen.push(event.index);
    if (event.index >= cluster.state.version) stop.abort();
  }
  t.ok(seen.every((index, position) => position === 0 || index > (seen[position - 1] ?? 0)));
  t.equal(cluster.state.list('service').length, 1);
  cluster.reportApplied(cluster.state.version);
  const waited = await cluster.waitApplied(cluster.state.version, { timeout_ms: 5_000 });
  t.strictSame(waited, { applied: [nodeId(cluster)], missing: [] });
});
