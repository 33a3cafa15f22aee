import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import { maxHead_bytes, StatusReader } from '../../../control/health/http-status.ts';
import { probe } from '../../../control/health/probe.ts';
import { defaultHealthCheck } from '../../../control/store/objects.ts';
import { makeTarget } from './fixtures.ts';

async function serve(t: Test, onConnection: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

const http = (path = '/', timeout_ms = 5_000) => ({
  check: { ...defaultHealthCheck, kind: 'http' as const, path, timeout_ms },
});
const never = new AbortController().signal;

t.test('TCP', async (t) => {
  const port = await serve(t, () => {});
  t.strictSame(await probe(makeTarget(port), never), { kind: 'pass' });
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: closed } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  t.strictSame(await probe(makeTarget(closed), never), {
    kind: 'fail',
    reason: 'connection refused',
    definite: true,
  });
});

t.test('HTTP statuses', async (t) => {
  const requests: string[] = [];
  let answer = '';
  const port = await serve(t, (socket) => {
    socket.once('data', (chunk) => {
      requests.push(chunk.toString('latin1'));
      socket.write(answer);
    });
  });
  const table: [string, object][] = [
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi', { kind: 'pass' }],
    ['HTTP/1.0 204\r\n\r\n', { kind: 'pass' }],
    ['HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n', { kind: 'pass' }],
    ['HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n', { kind: 'pass' }],
    ['HTTP/1.1 400 Bad Request\r\n\r\n', { kind: 'fail', reason: 'HTTP 400', definite: false }],
    ['HTTP/1.1 503 Service Unavailable\r\n\r\n', { kind: 'fail', reason: 'HTTP 503', definite: false }],
    ['HTTP/1.1 101 Switching Protocols\r\n\r\n', { kind: 'fail', reason: 'HTTP 101' }],
    ['SSH-2.0-OpenSSH_9.2\r\n', { kind: 'fail', reason: 'the answer is not HTTP' }],
    ['HTTP/2 200\r\n\r\n', { kind: 'fail', reason: 'the answer is not HTTP' }],
  ];
  for (const [text, expected] of table) {
    answer = text;
    t.match(await probe(makeTarget(port, http('/ready?x=1')), never), expected, text.slice(0, 40));
  }
  t.match(requests[0], /^GET \/ready\?x=1 HTTP\/1\.1\r\nHost: web\.example\r\n/);
  answer = 'HTTP/1.1 200 OK\r\n\r\n';
  await probe(makeTarget(port, http('/a b\r\nX: 1\u00e9')), never);
  t.match(
    requests.at(-1),
    /^GET \/a%20b%0D%0AX:%201%C3%A9 HTTP\/1\.1\r\nHost: /,
    'no line can be smuggled in',
  );
});

t.test('HTTP without a proper answer', async (t) => {
  const silent = await serve(t, () => {});
  t.strictSame(await probe(makeTarget(silent, http('/', 60)), never), {
    kind: 'fail',
    reason: 'no answer within 60 ms',
    definite: false,
  });
  const closing = await serve(t, (socket) => socket.resume().end());
  t.match(await probe(makeTarget(closing, http()), never), { kind: 'fail', reason: /^connection / });
  const resetting = await serve(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
  t.strictSame(await probe(makeTarget(resetting, http()), never), {
    kind: 'fail',
    reason: 'connection reset',
    definite: true,
  });
  const endless = await serve(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    const line = `X: ${'y'.repeat(1_000)}\r\n`;
    for (let count = 0; count < 100; count += 1) socket.write(line);
  });
  t.match(await probe(makeTarget(endless, http()), never), {
    kind: 'fail',
    reason: 'the answer is not HTTP',
  });
});

t.test('an abort ends a check without a verdict', async (t) => {
  const silent = await serve(t, () => {});
  const abort = new AbortController();
  const running = probe(makeTarget(silent, http('/', 60_000)), abort.signal);
  setTimeout(() => abort.abort(), 20);
  t.match(await running, { kind: 'inconclusive' });
  t.match(await probe(makeTarget(silent), abort.signal), { kind: 'inconclusive' });
});

t.test('a stalled event loop is not the endpoint’s fault', async (t) => {
  const port = await serve(t, (socket) => {
    socket.once('data', () => setTimeout(() => socket.write('HTTP/1.1 200 OK\r\n\r\n'), 20));
  });
  const running = probe(makeTarget(port, http('/', 150)), never);
  const until_ms = performance.now() + 400;
  while (performance.now() < until_ms);
  t.strictSame(await running, { kind: 'pass' });
});

t.test('status reader: byte by byte, and what it refuses', async (t) => {
  const feed = (text: string, size: number) => {
    const reader = new StatusReader();
    const bytes = Buffer.from(text, 'latin1');
    for (let at = 0; at < bytes.length; at += size) {
      const result = reader.push(bytes.subarray(at, at + size));
      if (result !== undefined) return result;
    }
    return undefined;
  };
  for (const size of [1, 2, 3, 7, 1_000]) {
    const interim = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nServer: x\r\n\r\n';
    t.strictSame(feed(interim, size), { kind: 'status', status: 204 }, `${size} at a time`);
    for (const bad of [
      'HTTP/1.1 20 OK\r\n\r\n',
      'HTTP/1.1 2000 OK\r\n\r\n',
      'HTTP/1.1  200 OK\r\n\r\n',
      'HTTP/1.1 099 OK\r\n\r\n',
      'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
      'HTTP/1.1 200 OK\r\nName : x\r\n\r\n',
      'HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n',
      'HTTP/1.1 200 OK\nA: b\r\n\r\n',
      'HTTP/1.1 200 OK\r\nA: \0\r\n\r\n',
      `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(maxHead_bytes)}\r\n\r\n`,
      'http/1.1 200 OK\r\n\r\n',
    ]) {
      t.strictSame(feed(bad, size), { kind: 'invalid' }, `${JSON.stringify(bad.slice(0, 30))} by ${size}`);
    }
    t.equal(feed('HTTP/1.1 200 OK\r\nA: b\r\n', size), undefined, 'not complete yet');
  }
});
