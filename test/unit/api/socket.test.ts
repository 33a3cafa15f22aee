/** The Unix socket: its mode, what may be in the way, and what is said on it that is no HTTP. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { buildApp } from '../../../control/api/app.ts';
import { ApiClient } from '../../../control/api/client.ts';
import { groupIdFrom } from '../../../control/api/group.ts';
import { apiLimits } from '../../../control/api/limits.ts';
import type { Status } from '../../../control/api/routes/status/schemas.ts';
import { listenOnSocket } from '../../../control/api/socket.ts';
import { socketFailure } from '../../../control/api/socket-failure.ts';
import { ShoalError } from '../../../control/errors.ts';
import { fakeAgent } from './fake-agent.ts';

const folder = mkdtempSync(join(tmpdir(), 'shoal-socket-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const newApp = async () => buildApp({ services: await fakeAgent(), surface: 'local' });

/** Sends bytes and returns all that comes back. */
function exchange(path: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    const connection = createConnection({ path });
    connection
      .on('connect', () => connection.write(bytes))
      .on('data', (data) => {
        received += String(data);
      })
      .on('error', reject)
      .on('close', () => resolve(received));
  });
}

t.test('serves, private from the first moment, and takes its file away', async (t) => {
  const path = join(folder, 'new', 'folder', 'shoal.sock');
  const app = await newApp();
  const mask = process.umask();
  await listenOnSocket(app, { path });
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(process.umask(), mask, 'the mask of the process is as it was');
  {
    using client = new ApiClient(path);
    t.equal((await client.get<Status>('/v1/status')).nodeName, 'edge-1');
    await t.rejects(client.get('/v1/services/web'), { name: 'ShoalError', code: 'UNKNOWN_SERVICE' });
    await t.rejects(client.post('/v1/services', { name: 'x', no: 1 }), ShoalError);
  }
  await app.close();
  t.notOk(existsSync(path));
});

t.test('a group may be let in', async (t) => {
  const path = join(folder, 'group.sock');
  const app = await newApp();
  const { gid } = statSync(folder);
  await listenOnSocket(app, { path, group: String(gid) });
  t.equal(statSync(path).mode & 0o777, 0o660);
  t.equal(statSync(path).gid, gid);
  await app.close();
  const refused = await newApp();
  await t.rejects(listenOnSocket(refused, { path, group: 'no-such-group-here' }), {
    message: 'socket group "no-such-group-here": there is no such group in /etc/group; make it with groupadd',
  });
  t.notOk(existsSync(path), 'nothing is left half done');
  await refused.close();
  const text = 'root:x:0:\nshoal:x:977:alice,bob\nbroken\n';
  t.equal(groupIdFrom(text, 'shoal'), 977);
  t.equal(groupIdFrom(text, '12'), 12);
  t.equal(groupIdFrom(text, 'broken'), undefined);
});

t.test('a socket on which somebody answers is left alone', async (t) => {
  const path = join(folder, 'busy.sock');
  const first = await newApp();
  await listenOnSocket(first, { path });
  const second = await newApp();
  await t.rejects(listenOnSocket(second, { path }), {
    message: `socket ${path}: address in use: another agent answers on it; name another --socket`,
  });
  await second.close();
  using client = new ApiClient(path);
  t.equal((await client.get<Status>('/v1/status')).membership, 'member', 'the first one serves on');
  await first.close();
});

t.test('a socket that a killed agent left is replaced', async (t) => {
  const path = join(folder, 'stale.sock');
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script], { timeout: 30_000 });
  t.ok(existsSync(path), 'the file is there');
  const app = await newApp();
  await listenOnSocket(app, { path });
  using client = new ApiClient(path);
  t.equal((await client.get<Status>('/v1/status')).membership, 'member');
  await app.close();
});

t.test('a file that is no socket is not touched, and a path that is too long is refused', async (t) => {
  const path = join(folder, 'notes.txt');
  writeFileSync(path, 'important');
  const app = await newApp();
  await t.rejects(listenOnSocket(app, { path }), { message: /a file that is no socket is there/ });
  t.equal(statSync(path).size, 'important'.length);
  const long = join(folder, 'x'.repeat(120));
  await t.rejects(listenOnSocket(app, { path: long }), { message: /longer than 107 bytes/ });
  await app.close();
});

t.test('what is no HTTP is answered with the one kind of error', async (t) => {
  const path = join(folder, 'bytes.sock');
  const app = await newApp();
  await listenOnSocket(app, { path });
  const answer = await exchange(path, 'EHLO shoal\r\n\r\n');
  t.match(answer, /^HTTP\/1\.1 400 /);
  t.match(JSON.parse(answer.split('\r\n\r\n')[1] ?? ''), {
    error: { code: 'BAD_REQUEST', message: /not HTTP/ },
  });
  await app.close();
});

t.test('closing lets what is under way end, and does not wait for what does not', async (t) => {
  const path = join(folder, 'closing.sock');
  const agent = await fakeAgent();
  const app = await buildApp({ services: agent, surface: 'local' });
  await listenOnSocket(app, { path });
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
  agent.dataplane.drops = () => {
    ask();
    return new Promise(() => undefined);
  };
  using client = new ApiClient(path);
  const cut = t.rejects(client.get('/v1/drops'), { name: 'SocketFailure', code: 'TIMEOUT' });
  await asked;
  await app.close();
  await cut;
});

t.test('connections beyond the limit are turned away and told in the log', async (t) => {
  const path = join(folder, 'crowd.sock');
  const { promise: told, resolve: tell } = Promise.withResolvers<string>();
  const log = pino({ level: 'warn' }, { write: tell });
  const app = await buildApp({ services: await fakeAgent(), surface: 'local', log });
  await listenOnSocket(app, { path });
  const crowd = Array.from({ length: apiLimits.socketConnections + 1 }, () =>
    createConnection({ path }).on('error', () => undefined),
  );
  t.match(JSON.parse(await told), { path, limit: apiLimits.socketConnections, refused: 1 });
  for (const one of crowd) one.destroy();
  await app.close();
});

t.test('the client says what is wrong with the other end', async (t) => {
  const fails = async (path: string) => {
    using client = new ApiClient(path);
    return await client.get('/v1/status').then(
      () => t.fail('there was an answer'),
      (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
    );
  };
  const missing = join(folder, 'missing.sock');
  t.equal(
    await fails(missing),
    `UNREACHABLE: no agent answers at ${missing}: is \`shoal agent\` running? (--socket, SHOAL_SOCKET)`,
  );
  t.match(await fails(join(folder, 'notes.txt')), /^UNREACHABLE: no agent answers at/);
  const path = join(folder, 'other.sock');
  const serve = async (answer: string) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).on('data', () => socket.end(answer));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const text = await fails(path);
    await new Promise((resolve) => server.close(resolve));
    return text;
  };
  t.match(await serve('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'), /INTERNAL: .*is not a shoal agent/);
  t.match(
    await serve('HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}'),
    /INTERNAL: .*not an error that shoal knows/,
  );
  t.match(await serve(''), /TIMEOUT: .*hung up before it answered; the outcome is unknown/);
});

t.test('each way in which a call fails has words of its own', async (t) => {
  const words = (code: string) => {
    const { code: kind, message } = socketFailure(Object.assign(new Error('why'), { code }), '/s');
    return `${kind}: ${message}`;
  };
  t.match(
    words('EACCES'),
    /^UNREACHABLE: \/s may not be opened by this user: run as root, or .* --socket-group/,
  );
  t.match(words('ETIMEDOUT'), /^TIMEOUT: .* the outcome is unknown$/);
  t.match(words('EMFILE'), /^UNREACHABLE: the agent at \/s cannot be asked: why$/);
});

t.test('nothing is left behind', async (t) => {
  t.same(
    readdirSync(folder).filter((name) => name.endsWith('.sock')),
    [],
  );
});
