import { createServer as createNetServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import type { L7Limits } from '../../../dataplane/l7/limits.ts';
import type { L7Server } from '../../../dataplane/l7/server.ts';
import {
  eventually,
  frontEnd,
  httpConfig,
  httpUpstream,
  listen,
  loopback,
  portOf,
  RawClient,
} from './support.ts';

const get = (path = '/', more = '') => `GET ${path} HTTP/1.1\r\nHost: a.example\r\n${more}\r\n`;

/** A front end with one slow or quick upstream: `/wait` is answered when `release` is called. */
async function withFront(
  limits: Partial<L7Limits>,
  test: (front: L7Server, release: () => void) => Promise<void>,
): Promise<void> {
  const waiting: (() => void)[] = [];
  const upstream = await httpUpstream((incoming, response) => {
    incoming.resume();
    if (incoming.url === '/wait') waiting.push(() => response.end('waited'));
    else incoming.on('end', () => response.end('quick'));
  });
  const front = await frontEnd(httpConfig({ 'a.example': [upstream.endpoint] }), { limits });
  try {
    await test(front, () => {
      for (const answer of waiting.splice(0)) answer();
    });
  } finally {
    await front.close(50);
    await upstream.stop();
  }
}

async function reply(text: string | Buffer): Promise<string> {
  using client = new RawClient();
  client.send(text);
  // Awaited here, or the client would be disposed of before its answer.
  return await client.all();
}

t.test('heads: 400, 414, 431, 501, 505, each with its reason and a close', async (t) => {
  await withFront({}, async (front) => {
    const expected: [text: string, answer: RegExp][] = [
      [get('/', 'X: 1\r\n folded\r\n'), /^HTTP\/1\.1 400 [\s\S]*Connection: close[\s\S]*folding/],
      [get(`/${'a'.repeat(9_000)}`), /^HTTP\/1\.1 414 [\s\S]*8192/],
      [get('/', `X: ${'a'.repeat(17_000)}\r\n`), /^HTTP\/1\.1 431 [\s\S]*16384/],
      [get('/', 'X: 1\r\n'.repeat(100)), /^HTTP\/1\.1 431 [\s\S]*100 header lines/],
      ['CONNECT a:1 HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 501 /],
      ['TRACE / HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 405 [\s\S]*Allow: GET/],
      ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /^HTTP\/1\.1 505 /],
    ];
    for (const [text, answer] of expected) t.match(await reply(text), answer);
    const { heads_malformed, heads_too_long, request_lines_too_long, requests } = front.counters();
    t.same(
      { heads_malformed, heads_too_long, request_lines_too_long, requests },
      { heads_malformed: 4, heads_too_long: 2, request_lines_too_long: 1, requests: 0 },
    );
  });
});

t.test('a head that trickles is ended by its time, and holds up nobody', async (t) => {
  await withFront({ head_ms: 1_000, keepAliveIdle_ms: 60_000 }, async (front) => {
    using slow = new RawClient();
    slow.send('GET / HTTP/1.1\r\nHost: a');
    const trickle = setInterval(() => slow.send('a'), 20);
    t.match(await reply(get('/', 'Connection: close\r\n')), /quick$/);
    t.match(await slow.all(), /^HTTP\/1\.1 408 [\s\S]*1000 ms/);
    clearInterval(trickle);
    using silent = new RawClient();
    t.equal(await silent.all(), '', 'a client that says nothing is told nothing');
    t.match(front.counters(), { heads_too_slow: 1, idle_timeouts: 1 });
  });
});

t.test('an idle keep-alive connection ends quietly', async (t) => {
  await withFront({ keepAliveIdle_ms: 50 }, async (front) => {
    t.match(await reply(get()), /^HTTP\/1\.1 200 [\s\S]*quick$/);
    t.match(front.counters(), { idle_timeouts: 1, answers_own: 0 });
  });
});

t.test('a request body that stops, or is not well formed', async (t) => {
  await withFront({ bodyStall_ms: 500 }, async (front) => {
    const post = 'POST / HTTP/1.1\r\nHost: a.example\r\n';
    t.match(await reply(`${post}Content-Length: 10\r\n\r\nabc`), /^HTTP\/1\.1 408 /);
    t.match(
      await reply(`${post}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX`),
      /^HTTP\/1\.1 400 [\s\S]*chunk-end/,
    );
    t.match(
      await reply(`${post}Transfer-Encoding: chunked\r\n\r\n1;${'a'.repeat(17_000)}`),
      /^HTTP\/1\.1 400 [\s\S]*chunk-extensions-too-long/,
    );
    t.match(front.counters(), { bodies_stalled: 1, bodies_malformed: 2 });
    await eventually(() => front.counters().upstream_connections_open === 0);
  });
});

t.test('an endpoint that does not answer', async (t) => {
  await withFront({ responseHead_ms: 100 }, async (front) => {
    t.match(await reply(get('/wait', 'Connection: close\r\n')), /^HTTP\/1\.1 504 [\s\S]*100 ms/);
    t.match(front.counters(), { response_head_timeouts: 1 });
  });
});

t.test('an endpoint that does not accept', async (t) => {
  // It listens in a thread that then sleeps: once its short queue is full, the kernel drops further SYNs.
  const source = `
    const { parentPort } = require('node:worker_threads');
    const server = require('node:net').createServer();
    server.listen({ port: 0, host: ${JSON.stringify(loopback)}, backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 1);
    });`;
  const asleep = new Worker(source, { eval: true });
  const port = await new Promise<number>((resolve) => asleep.once('message', resolve));
  await delay(100);
  const fillers = Array.from({ length: 4 }, () => new RawClient(port));
  await eventually(() => fillers.filter(({ socket }) => !socket.connecting).length >= 2);
  const front = await frontEnd(httpConfig({ 'a.example': [{ id: 'asleep', address: loopback, port }] }), {
    limits: { connect_ms: 100 },
  });
  t.match(
    await reply(get('/', 'Connection: close\r\n')),
    /^HTTP\/1\.1 504 [\s\S]*accept a connection in 100 ms/,
  );
  t.match(front.counters(), { upstream_connect_timeouts: 1 });
  await front.close(50);
  for (const filler of fillers) filler[Symbol.dispose]();
  await asleep.terminate();
});

t.test('connections per listener, and per endpoint', async (t) => {
  await withFront(
    { connectionsPerListener: 2, upstreamConnectionsPerEndpoint: 1 },
    async (front, release) => {
      using first = new RawClient();
      first.send(get('/wait'));
      await eventually(() => front.counters().requests === 1);
      t.match(
        await reply(get('/', 'Connection: close\r\n')),
        /^HTTP\/1\.1 503 [\s\S]*as many connections as allowed/,
      );
      await eventually(() => front.counters().connections_open === 1);
      using second = new RawClient();
      await eventually(() => front.counters().connections_open === 2);
      t.equal(await reply(get()), '', 'the third is not accepted');
      t.match(front.counters(), { connections_refused_limit: 1, upstream_limit_reached: 1 });
      release();
      t.match(await first.until((text) => text.includes('waited')), /200 OK/);
      second.send(get());
      t.match(await second.until((text) => text.includes('quick')), /200 OK/, 'room again');
    },
  );
});

t.test('retries that may be pending', async (t) => {
  const dead = await listen(createNetServer());
  const ports = [portOf(dead)];
  await new Promise((resolve) => dead.close(resolve));
  const alive = await httpUpstream((_, response) => response.end('ok'));
  const endpoints = [...ports.map((port) => ({ id: 'dead', address: loopback, port })), alive.endpoint];
  // Always the first by weight: the dead one.
  const front = await frontEnd(httpConfig({ 'a.example': endpoints }), {
    limits: { retriesPending: 0 },
    random: () => 0,
  });
  t.match(await reply(get('/', 'Connection: close\r\n')), /^HTTP\/1\.1 502 /);
  t.match(front.counters(), { retries: 0, retries_refused_limit: 1, retries_pending_open: 0 });
  await front.close(50);
  await alive.stop();
});

t.test('idle connections to endpoints end by themselves', async (t) => {
  await withFront({ upstreamIdle_ms: 50 }, async (front) => {
    using client = new RawClient();
    client.send(get());
    await client.until((text) => text.includes('quick'));
    await eventually(() => front.counters().upstream_connections_open === 0);
    t.match(front.counters(), { upstream_idle_closed: 1 });
  });
});

t.test('pipelined requests without end, from a client that does not read', async (t) => {
  await withFront({ keepAliveIdle_ms: 200 }, async (front) => {
    using client = new RawClient();
    client.socket.pause();
    const many = Buffer.from('GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n'.repeat(2_000));
    let blocked = false;
    const pump = () => {
      while (!client.socket.destroyed) {
        if (client.socket.write(many)) continue;
        blocked = true;
        client.socket.once('drain', pump);
        return;
      }
    };
    pump();
    await eventually(() => front.counters().bodies_stalled === 1);
    t.ok(blocked);
    const { requests } = front.counters();
    t.ok(requests > 100 && requests < 1_000_000, `${requests} were answered before it was left alone`);
  });
});

t.test('bytes that nobody expected never take the front end down', async (t) => {
  await withFront({}, async (front) => {
    const odd = [
      '',
      '\r\n',
      '\r\n\r\n\r\n',
      '\0',
      '\x16\x03\x01\x00\x00',
      'GET',
      '}{',
      '0\r\n\r\n',
      'GET / HTTP/1.1\r\nHost:\r\n\r\n',
    ];
    for (const text of odd) {
      using client = new RawClient();
      client.send(text);
      client.socket.end();
      await client.all();
    }
    t.match(await reply(get('/', 'Connection: close\r\n')), /quick$/);
    await eventually(() => front.counters().connections_open === 0);
  });
});
