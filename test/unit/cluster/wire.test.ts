/** The wire between nodes under abuse: garbage, too much, silence. Nothing of it may grow or hold up a node. */
import { connect as connectTcp } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import t from 'tap';
import { RpcClient } from '../../../control/cluster/rpc/client.ts';
import { rpcKinds, rpcLimits } from '../../../control/cluster/rpc/protocol.ts';
import { loadIdentity } from '../../../control/pki/identity.ts';
import { connectAsMember, protocols } from '../../../control/pki/tls.ts';
import { encodeFrame, FrameReader } from '../../../control/raft/frames.ts';
import { PendingProposals, proposalsLimit } from '../../../control/raft/pending.ts';
import { createCommand, seededRandom } from '../store/commands.ts';
import { Machines, nodeId, until } from './machines.ts';

t.test('frames survive any cutting of the stream, and too long ones are refused', async (t) => {
  const random = seededRandom(7);
  const payloads = Array.from({ length: 200 }, () =>
    Buffer.alloc(Math.floor(random() * 3_000), random() * 256),
  );
  const stream = Buffer.concat(payloads.map((payload, position) => encodeFrame(position % 7, payload)));
  const reader = new FrameReader(4_000);
  const received: Buffer[] = [];
  for (let at = 0; at < stream.length; ) {
    const step = 1 + Math.floor(random() ** 3 * 9_000);
    for (const { kind, payload } of reader.push(stream.subarray(at, at + step))) {
      if (kind !== received.length % 7) t.fail('kinds are mixed up');
      received.push(payload);
    }
    at += step;
  }
  t.strictSame(received, payloads);
  t.throws(() => new FrameReader(100).push(Buffer.from([0, 0, 1, 0, 1])), RangeError);
  t.throws(() => new FrameReader(100).push(Buffer.from([0, 0, 0, 0, 1])), RangeError);
});

/** A connection without certificate. */
async function stranger(machines: Machines, protocol: string): Promise<TLSSocket> {
  const [host, port] = machines.target(1).split(':');
  const socket = connect({
    host: `${host}`,
    port: Number(port),
    rejectUnauthorized: false,
    ALPNProtocols: [protocol],
  });
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  return socket;
}

function closed(socket: { once(event: 'close', listener: () => void): unknown }): Promise<void> {
  return new Promise((resolve) => socket.once('close', resolve));
}

t.test('garbage from strangers and members ends their connection and nothing else', async (t) => {
  const machines = new Machines(t);
  const [first] = await machines.managers(1);
  if (!first) return;
  const worker = await machines.join(10, first, 'worker');
  const random = seededRandom(11);
  const noise = () => Buffer.from(Array.from({ length: 5_000 }, () => Math.floor(random() * 256)));

  const plain = connectTcp(machines.port, machines.address(1));
  plain.on('error', () => undefined).write(noise());
  await closed(plain);
  for (const bytes of [
    noise(),
    encodeFrame(rpcKinds.call, Buffer.from('{')),
    encodeFrame(rpcKinds.call, Buffer.from('null')),
  ]) {
    const socket = await stranger(machines, protocols.control);
    socket.write(bytes);
    socket.resume();
    await closed(socket);
  }
  const refused = await stranger(machines, protocols.raft);
  refused.resume();
  await closed(refused);
  const tooLong = await stranger(machines, protocols.control);
  tooLong.resume();
  tooLong.write(encodeFrame(rpcKinds.call, Buffer.alloc(rpcLimits.strangerFrame_bytes + 1)));
  await closed(tooLong);

  const asking = new RpcClient('stranger', () => stranger(machines, protocols.control));
  t.teardown(() => asking.close());
  for (const method of [
    'propose',
    'watch',
    'heartbeat',
    'statuses',
    'remove',
    'admit',
    'toString',
    '__proto__',
  ]) {
    await t.rejects(asking.call(method, {}, 5_000), { code: 'UNAUTHENTICATED' }, method);
  }
  for (const params of [null, 7, {}, { secret: 'x' }, { secret: 1, request: [] }]) {
    await t.rejects(asking.call('join', params, 5_000), { code: 'BAD_REQUEST' });
  }

  const identity = loadIdentity(machines.dataDir(10));
  const destination = {
    address: machines.address(1),
    port: machines.port,
    localAddress: machines.address(10),
  };
  const asMember = new RpcClient('member', () =>
    connectAsMember(destination, identity, protocols.control, nodeId(first)),
  );
  t.teardown(() => asMember.close());
  for (const params of [
    null,
    {},
    { command: null },
    { command: { type: 'cluster.init' }, requestId: 'request-1', timeout_ms: 1 },
  ]) {
    await t.rejects(asMember.call('propose', params, 5_000), { code: 'BAD_REQUEST' });
  }
  const promote = { type: 'node.update', id: nodeId(worker), patch: { role: 'manager', raftId: 77 } };
  const asked = { command: promote, requestId: 'request-2', timeout_ms: 1_000 };
  await t.rejects(
    asMember.call('propose', asked, 5_000),
    { code: 'FORBIDDEN' },
    'a worker does not promote itself',
  );
  await t.rejects(asMember.call('heartbeat', { appliedVersion: 'x' }, 5_000), { code: 'BAD_REQUEST' });
  await t.rejects(asMember.call('nothing', {}, 5_000), { code: 'BAD_REQUEST' });
  await first.propose(createCommand('still-there'));
  await until('the worker still follows', () => worker.state.byName('service', 'still-there') !== undefined);
});

t.test('many strangers do not keep members out', async (t) => {
  const machines = new Machines(t);
  const [first] = await machines.managers(1);
  if (!first) return;
  const token = first.issueJoinToken('worker');
  const sockets = await Promise.all(Array.from({ length: 80 }, () => stranger(machines, protocols.control)));
  for (const socket of sockets) socket.resume();
  await until('those above the limit are gone', () => sockets.filter((socket) => socket.closed).length >= 16);
  for (const socket of sockets) socket.destroy();
  const worker = await machines.start(11);
  await worker.join({ token, address: machines.target(1), addresses: [] });
  t.match(worker.membership, { role: 'worker' });
});

t.test('a caller that is not answered is told in time, and the next call connects anew', async (t) => {
  const machines = new Machines(t);
  const [first] = await machines.managers(1);
  if (!first) return;
  let connects = 0;
  const client = new RpcClient('silent', () => {
    connects += 1;
    return stranger(machines, protocols.control);
  });
  t.teardown(() => client.close());
  const late = new RpcClient('never', () => new Promise(() => undefined));
  await t.rejects(late.call('join', {}, 50), { code: 'UNREACHABLE' });
  await t.rejects(client.call('join', {}, 5_000), { code: 'BAD_REQUEST' });
  await t.rejects(client.call('join', {}, 5_000), { code: 'BAD_REQUEST' });
  t.equal(connects, 1, 'one connection serves many calls');
});

t.test('proposals that wait are bounded, expire, and are told when leadership goes', async (t) => {
  const pending = new PendingProposals();
  const waiting = Array.from({ length: proposalsLimit }, (_, n) =>
    pending.wait(`request-${n}`, n < 10 ? 100 : 200),
  );
  const settled = Promise.allSettled(waiting);
  await t.rejects(pending.wait('one-more', 200), { code: 'OVERLOADED' });
  const outcome = { index: 5, result: { ok: true as const, value: null } };
  pending.resolve('request-0', outcome);
  t.strictSame(await waiting[0], outcome);
  pending.expire(150);
  t.equal(pending.size, proposalsLimit - 10);
  pending.rejectAll('the leader changed');
  const [answered, ...failed] = await settled;
  t.equal(answered?.status, 'fulfilled');
  t.ok(failed.every((one) => one.status === 'rejected' && one.reason.code === 'TIMEOUT'));
  t.match(pending.counters, { refused: 1, timedOut: 9, lost: proposalsLimit - 10 });
  t.equal(pending.size, 0);
});
