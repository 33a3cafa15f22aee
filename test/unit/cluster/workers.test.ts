/** Workers: they join by token alone, follow by stream, ask through any manager, and are cut off when removed. */
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t from 'tap';
import { loadIdentity } from '../../../control/pki/identity.ts';
import { createRoot } from '../../../control/pki/root.ts';
import { connectAsMember, protocols } from '../../../control/pki/tls.ts';
import { createSecret, formatToken } from '../../../control/pki/token.ts';
import { createCommand } from '../store/commands.ts';
import { Machines, nodeId, until } from './machines.ts';

t.test('a worker follows, proposes, resumes, and survives the loss of the manager it follows', async (t) => {
  const machines = new Machines(t);
  const managers = await machines.managers(3);
  const [first] = managers;
  if (!first) return;
  const worker = await machines.join(4, first, 'worker', 2);
  t.match(worker.membership, { role: 'worker' });
  t.match(worker.raftStatus(), { role: 'worker' });
  await worker.propose(createCommand('from-worker'));
  t.ok(worker.state.byName('service', 'from-worker'));
  t.equal(worker.state.cluster()?.caKey, '', 'the root key stays with the managers');
  t.throws(() => worker.issueJoinToken('worker'), { code: 'FORBIDDEN' });
  await t.rejects(worker.propose({ type: 'cluster.rotate', role: 'worker', secret: 'a'.repeat(25) }), {
    code: 'FORBIDDEN',
  });

  worker.reportApplied(worker.state.version);
  for (const manager of managers) manager.reportApplied(worker.state.version);
  const waited = await worker.waitApplied(worker.state.version, { timeout_ms: 10_000 });
  t.equal(waited.applied.length, 4);
  t.strictSame(waited.missing, []);
  t.equal((await worker.remoteNodeStatus()).get(nodeId(worker))?.appliedVersion, worker.state.version);

  const dead = managers.find((manager) => manager.isLeader) ?? first;
  await machines.stop(dead);
  const alive = managers.filter((manager) => manager !== dead);
  await alive[0]?.propose(createCommand('after-loss'), { timeout_ms: 15_000 });
  await until('the worker sees it', () => worker.state.byName('service', 'after-loss') !== undefined);

  const { version } = worker.state;
  await machines.stop(worker);
  await until('its silence is noticed', () =>
    alive.every((m) => m.state.byName('node', 'n4')?.status === 'down'),
  );
  const again = await machines.start(4);
  await until('it follows again', () => again.state.version >= version);
  await until('it is ready', () => alive.every((m) => m.state.byName('node', 'n4')?.status === 'ready'));
  await again.leave();
  await until('it is gone', () => alive.every((m) => m.state.byName('node', 'n4') === undefined));
});

t.test('wrong tokens and wrong roots are refused, and leave nothing behind', async (t) => {
  const machines = new Machines(t);
  const [first] = await machines.managers(1);
  if (!first) return;
  const stranger = await machines.start(5);
  const joining = { address: machines.target(1), addresses: [] };
  const good = first.issueJoinToken('worker');
  await t.rejects(stranger.join({ ...joining, token: 'nonsense' }), { code: 'INVALID_TOKEN' });
  const wrongSecret = good.slice(0, -25) + createSecret();
  await t.rejects(stranger.join({ ...joining, token: wrongSecret }), {
    code: 'INVALID_TOKEN',
    message: /secret/,
  });
  const otherRoot = formatToken((await createRoot('cluster-other', Date.now())).certificate, good.slice(-25));
  await t.rejects(stranger.join({ ...joining, token: otherRoot }), {
    code: 'INVALID_TOKEN',
    message: /root/,
  });
  await t.rejects(stranger.join({ token: good, address: '127.0.0.9:1', addresses: [] }), {
    code: 'UNREACHABLE',
  });
  t.strictSame(stranger.membership, { state: 'none' });
  t.equal(first.state.list('node').length, 1);
  await first.propose({ type: 'cluster.rotate', role: 'worker', secret: createSecret() });
  await t.rejects(stranger.join({ ...joining, token: good }), { code: 'INVALID_TOKEN' }, 'a rotated secret');
  await stranger.join({ ...joining, token: first.issueJoinToken('worker') });
  t.match(stranger.membership, { role: 'worker' });
});

t.test('a removed node is cut off at once, and told why', async (t) => {
  const machines = new Machines(t);
  const [first] = await machines.managers(1);
  if (!first) return;
  const worker = await machines.join(6, first, 'worker');
  const manager = await machines.join(7, first, 'manager');
  await until('two voters', () => first.raftStatus().voters?.length === 2);
  for (const cluster of [worker, manager]) await first.removeNode(nodeId(cluster));
  t.equal(first.raftStatus().voters?.length, 1, 'the quorum is right again');
  await first.propose(createCommand('without-them'));
  const refused = await worker
    .propose(createCommand('by-removed'), { timeout_ms: 3_000 })
    .catch((error) => error);
  t.match(refused, { code: 'FORBIDDEN', message: /not part of this cluster/ });
  t.equal(worker.state.byName('service', 'without-them'), undefined);
  t.equal(manager.state.byName('service', 'without-them'), undefined);
  await t.rejects(first.removeNode('node-unknown'), { code: 'UNKNOWN_NODE' });
  await worker.leave();
  t.strictSame(worker.membership, { state: 'none' });
  await manager.leave({ force: true });
  t.strictSame(manager.membership, { state: 'none' });
});

t.test(
  'HTTP over mutual TLS reaches the handler with the caller known; without a certificate it does not',
  async (t) => {
    const machines = new Machines(t);
    const [first] = await machines.managers(1);
    if (!first) return;
    const worker = await machines.join(8, first, 'worker');
    first.setHttpHandler((incoming, response) => {
      response.end(JSON.stringify((incoming.socket as unknown as { peer: unknown }).peer));
    });
    const identity = loadIdentity(machines.dataDir(8));
    const destination = {
      address: machines.address(1),
      port: machines.port,
      localAddress: machines.address(8),
    };
    const socket = await connectAsMember(destination, identity, protocols.http, nodeId(first));
    const body = await new Promise<string>((resolve, reject) => {
      const outgoing = request({ createConnection: () => socket, path: '/' }, async (response) => {
        let text = '';
        for await (const chunk of response) text += chunk;
        resolve(text);
      });
      outgoing.on('error', reject).end();
    });
    t.strictSame(JSON.parse(body), { nodeId: nodeId(worker), role: 'worker' });
    socket.destroy();
    await t.rejects(connectAsMember(destination, identity, protocols.http, 'node-other'), {
      code: 'UNREACHABLE',
    });

    const bare = connect({
      host: destination.address,
      port: destination.port,
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
    });
    bare.on('error', () => undefined);
    bare.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const answered = await new Promise((resolve) => {
      bare.on('data', () => resolve(true));
      bare.on('close', () => resolve(false));
    });
    t.equal(answered, false, 'no answer without a certificate');
  },
);

t.test('a port in use is found before the cluster is told', async (t) => {
  const machines = new Machines(t);
  const [first] = await machines.managers(1);
  if (!first) return;
  const taken = createServer().listen(machines.port, machines.address(9));
  await new Promise((resolve) => taken.once('listening', resolve));
  const cluster = await machines.start(9);
  const joining = { token: first.issueJoinToken('worker'), address: machines.target(1), addresses: [] };
  await t.rejects(cluster.join(joining), { code: 'UNREACHABLE', message: /listening failed/ });
  t.equal(first.state.list('node').length, 1);
  taken.close();
  await cluster.join(joining);
  t.match(JSON.parse(readFileSync(join(machines.dataDir(9), 'membership.json'), 'utf8')), { role: 'worker' });
});
