import { createHash } from 'node:crypto';
import { Agent, type IncomingMessage, request } from 'node:http';
import { createServer as createNetServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import type { AccessEvent } from '../../../dataplane/l7/context.ts';
import {
  eventually,
  frontEnd,
  frontPort,
  httpConfig,
  httpUpstream,
  listen,
  loopback,
  pick,
  portOf,
  RawClient,
  randomBytes,
  seeded,
  sha256,
} from './support.ts';

const get = (host: string, path = '/', more = '') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`;

type Reply = {
  status: number;
  headers: IncomingMessage['headers'];
  body: Buffer;
  trailers: IncomingMessage['trailers'];
};

function send(
  options: { host: string; method?: string; path?: string; headers?: Record<string, string>; agent?: Agent },
  parts: Buffer[] = [],
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { host, agent, headers, method, path } = options;
    const sent = request(
      {
        host: loopback,
        port: frontPort,
        method: method ?? 'GET',
        path: path ?? '/',
        agent,
        headers: { host, ...headers },
      },
      (response) => {
        const body: Buffer[] = [];
        response.on('data', (bytes: Buffer) => body.push(bytes));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            trailers: response.trailers,
            body: Buffer.concat(body),
          }),
        );
      },
    );
    sent.on('error', reject);
    for (const part of parts) sent.write(part);
    sent.end();
  });
}

t.test('two hosts on one port over one keep-alive connection reach two upstreams', async (t) => {
  const a = await httpUpstream((_, response) => response.end('from a'));
  const b = await httpUpstream((_, response) => response.end('from b'));
  const events: AccessEvent[] = [];
  const front = await frontEnd(httpConfig({ 'a.example': [a.endpoint], '*.b.example': [b.endpoint] }), {
    onAccess: (event) => events.push(event),
  });
  using client = new RawClient();
  client.send(get('A.example:8080', '/1'));
  await client.until((text) => text.includes('from a'));
  client.send(get('x.B.example.'));
  await client.until((text) => text.includes('from b'));
  client.send(get('c.example') + get('a.example') + get('x.b.example', '/', 'Connection: close\r\n'));
  const text = await client.all();
  t.same(
    text.match(/from .|NO_SUCH|c\.example/g),
    ['from a', 'from b', 'c.example', 'from a', 'from b'],
    'in order',
  );
  const { connections_accepted, hosts_unknown, requests, upstream_connections_opened } = front.counters();
  t.same(
    { connections_accepted, hosts_unknown, requests },
    { connections_accepted: 1, hosts_unknown: 1, requests: 5 },
  );
  t.equal(upstream_connections_opened, 2, 'connections to endpoints are used again');
  t.match(events[0], {
    method: 'GET',
    host: 'A.example:8080',
    path: '/1',
    status: 200,
    service: 'name-a.example',
    sent_bytes: 6,
  });
  t.match(events[2], { host: 'c.example', status: 404, service: null, endpoint: null });
  t.equal(await front.close(10_000), 0);
  await Promise.all([a.stop(), b.stop()]);
});

t.test('heads are rewritten on their way', async (t) => {
  const upstream = await httpUpstream((incoming, response) => {
    response.setHeader('Connection', 'X-Hop');
    response.setHeader('X-Hop', 'secret');
    response.end(JSON.stringify(incoming.rawHeaders));
  });
  const front = await frontEnd(httpConfig({ 'a.example': [upstream.endpoint] }), { via: 'edge-1' });
  using client = new RawClient();
  client.send(
    'GET http://a.example/x HTTP/1.1\r\nHost: ignored\r\nX-Forwarded-For: 203.0.113.9\r\nX_Forwarded_For: forged\r\n' +
      'X-Forwarded-Proto: https\r\nConnection: X-Mine, close\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nVia: 1.0 other\r\nX-Kept: Yes\r\n\r\n',
  );
  const text = await client.all();
  const raw: string[] = JSON.parse(text.slice(text.indexOf('\r\n\r\n')));
  const seen = Object.fromEntries(raw.flatMap((name, i) => (i % 2 === 0 ? [[name, raw[i + 1]]] : [])));
  t.same(seen, {
    Host: 'a.example',
    'X-Kept': 'Yes',
    'X-Forwarded-For': '203.0.113.9, 127.0.0.1',
    'X-Forwarded-Proto': 'http',
    'X-Forwarded-Host': 'a.example',
    Via: '1.0 other, 1.1 edge-1',
    TE: 'trailers',
    Connection: 'TE',
  });
  t.notMatch(text, /secret/i, 'fields named by the response’s Connection stay behind');
  t.match(text, /\r\nConnection: close\r\n/);
  using looping = new RawClient();
  looping.send(
    get('a.example', '/', `Via: ${Array(8).fill('1.1 edge-1').join(', ')}\r\nConnection: close\r\n`),
  );
  t.match(await looping.all(), /^HTTP\/1\.1 508 /);
  await front.close(1_000);
  await upstream.stop();
});

t.test('random requests and responses arrive as they were sent', async (t) => {
  const random = seeded(6);
  const upstream = await httpUpstream((incoming, response) => {
    const hash = createHash('sha256');
    const body: Buffer[] = [];
    incoming.on('data', (bytes: Buffer) => {
      hash.update(bytes);
      body.push(bytes);
    });
    incoming.on('end', () => {
      const all = Buffer.concat(body);
      const chunked = incoming.url === '/chunked';
      response.writeHead(200, {
        'X-Hash': hash.digest('hex'),
        'X-Method': incoming.method ?? '',
        ...(chunked ? { Trailer: 'X-End' } : { 'Content-Length': all.length }),
      });
      for (let at = 0; at < all.length; at += 30_000) response.write(all.subarray(at, at + 30_000));
      if (chunked) response.addTrailers({ 'X-End': String(all.length) });
      response.end();
    });
  });
  const front = await frontEnd(httpConfig({ 'a.example': [upstream.endpoint] }));
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const one = async () => {
    const method = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'][pick(random, 5)] ?? 'GET';
    const parts = Array.from({ length: method === 'GET' ? 0 : pick(random, 5) }, () =>
      randomBytes(random, pick(random, random() < 0.1 ? 400_000 : 2_000)),
    );
    const body = Buffer.concat(parts);
    const path = random() < 0.5 ? '/chunked' : '/length';
    const headers: Record<string, string> =
      random() < 0.5 ? { 'Content-Length': String(body.length) } : { 'Transfer-Encoding': 'chunked' };
    if (method === 'GET') delete headers['Transfer-Encoding'];
    const reply = await send({ host: 'a.example', method, path, headers, agent }, parts);
    t.equal(reply.status, 200);
    t.equal(reply.headers['x-method'], method);
    t.equal(reply.headers['x-hash'], sha256(body), 'the request body arrived');
    t.equal(sha256(reply.body), sha256(body), 'the response body arrived');
    if (path === '/chunked') t.equal(reply.trailers['x-end'], String(body.length), 'so did the trailer');
  };
  for (let round = 0; round < 25; round += 1) await Promise.all([one(), one(), one(), one()]);
  const counters = front.counters();
  t.equal(counters.responses_relayed, 100);
  t.ok(counters.upstream_connections_opened <= 8, 'connections were pooled');
  agent.destroy();
  await front.close(1_000);
  t.equal(front.counters().connections_open, 0);
  await upstream.stop();
});

t.test('HEAD, 204, 304, until-close and HTTP/1.0 clients', async (t) => {
  const upstream = await httpUpstream((incoming, response) => {
    if (incoming.url === '/204') response.writeHead(204).end();
    else if (incoming.url === '/304') response.writeHead(304, { 'Content-Length': '99' }).end();
    else {
      response.write('part one, ');
      response.end('part two');
    }
  });
  const closing = await listen(
    createNetServer((socket) => {
      socket.once('data', () => socket.end('HTTP/1.0 200 Fine\r\nX-A: b\r\n\r\nuntil the end'));
      socket.on('error', () => {});
    }),
  );
  const front = await frontEnd(
    httpConfig({
      'a.example': [upstream.endpoint],
      'c.example': [{ id: 'c', address: loopback, port: portOf(closing) }],
    }),
  );
  using client = new RawClient();
  client.send(
    `HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n${get('a.example', '/204')}${get('a.example', '/304')}${get('c.example')}`,
  );
  const text = await client.all();
  t.same(text.match(/^HTTP\/1\.1 \d+/gm), ['HTTP/1.1 200', 'HTTP/1.1 204', 'HTTP/1.1 304', 'HTTP/1.1 200']);
  t.match(text, /Content-Length: 99\r\n/, 'a 304 keeps the length of what it stands for');
  t.ok(text.endsWith('\r\n\r\nuntil the end'));
  t.match(text.slice(text.lastIndexOf('HTTP/1.1')), /Connection: close/);
  using old = new RawClient();
  old.send('GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n');
  const answer = await old.all();
  t.ok(answer.endsWith('\r\n\r\npart one, part two'), 'an HTTP/1.0 client gets no chunks');
  t.notMatch(answer, /transfer-encoding/i);
  using nameless = new RawClient();
  nameless.send('GET / HTTP/1.0\r\n\r\n');
  t.match(await nameless.all(), /^HTTP\/1\.1 404 [\s\S]*names no host/);
  await front.close(1_000);
  closing.close();
  await upstream.stop();
});

t.test('Expect: 100-continue is passed on, and so is its refusal', async (t) => {
  const upstream = await httpUpstream((incoming, response) => {
    incoming.on('data', () => {});
    incoming.on('end', () => response.end('thanks'));
  });
  upstream.server.on('checkContinue', (incoming, response) => {
    if (incoming.url === '/no') {
      response.writeHead(403, { 'Content-Length': '0' }).end();
      return;
    }
    response.writeContinue();
    incoming.resume().on('end', () => response.end('thanks'));
  });
  const front = await frontEnd(httpConfig({ 'a.example': [upstream.endpoint] }));
  const post = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`;
  using yes = new RawClient();
  yes.send(post('/'));
  t.match(await yes.until((text) => text.includes('\r\n\r\n')), /^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  yes.send('hello');
  t.match(await yes.until((text) => text.includes('thanks')), /HTTP\/1\.1 200/);
  using no = new RawClient();
  no.send(post('/no'));
  t.match(
    await no.all(),
    /^HTTP\/1\.1 403 [\s\S]*Connection: close/,
    'what follows is in doubt, so the connection ends',
  );
  await front.close(1_000);
  await upstream.stop();
});

t.test('an upgrade is spliced both ways, early bytes and half-close included', async (t) => {
  const upstream = await httpUpstream((_, response) => response.end('plain'));
  upstream.server.on('upgrade', (incoming, socket: Socket, early: Buffer) => {
    socket.allowHalfOpen = true;
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${incoming.headers.upgrade}\r\n\r\nhi `,
    );
    socket.write(early);
    socket.on('data', (bytes) => socket.write(bytes));
    socket.on('end', () => setTimeout(() => socket.end(' bye'), 20));
    socket.on('error', () => {});
  });
  const events: AccessEvent[] = [];
  const front = await frontEnd(httpConfig({ 'a.example': [upstream.endpoint] }), {
    onAccess: (event) => events.push(event),
  });
  using client = new RawClient();
  client.send(`${get('a.example', '/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n')}early `);
  const first = await client.until((text) => text.endsWith('hi early '));
  t.match(first, /^HTTP\/1\.1 101 [\s\S]*Upgrade: websocket\r\n/);
  const big = randomBytes(seeded(7), 300_000);
  client.send(big);
  await client.until(() => client.bytes.length >= first.length + big.length);
  client.socket.end();
  await client.all();
  t.equal(sha256(client.bytes.subarray(first.length, first.length + big.length)), sha256(big));
  t.ok(client.text.endsWith(' bye'), 'the endpoint can speak after the client has ended');
  await eventually(() => events.length === 1);
  t.match(events[0], { status: 101, received_bytes: 6 + big.length, sent_bytes: 3 + 6 + big.length + 4 });
  using h2c = new RawClient();
  h2c.send(
    get(
      'a.example',
      '/',
      'Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n',
    ),
  );
  t.match(await h2c.all(), /^HTTP\/1\.1 200 [\s\S]*plain$/, 'HTTP/2 is not switched to');
  t.match(front.counters(), { upgrades: 1, upgrades_h2c_ignored: 1 });
  await front.close(1_000);
  await upstream.stop();
});

t.test(
  'a dead endpoint is passed over; when all are dead, or none is there, the answer says so',
  async (t) => {
    const alive = await httpUpstream((_, response) => response.end('alive'));
    const gone = await httpUpstream((_, response) => response.end('gone'));
    const dead = gone.endpoint;
    await gone.stop();
    const front = await frontEnd(
      httpConfig({ 'a.example': [alive.endpoint, dead], 'dead.example': [dead], 'none.example': [] }),
    );
    for (let round = 0; round < 10; round += 1) {
      const reply = await send({ host: 'a.example', method: 'POST' }, [Buffer.from('body')]);
      t.same([reply.status, String(reply.body)], [200, 'alive'], 'nothing was sent, so even POST is retried');
    }
    const refused = await send({ host: 'dead.example', headers: { Accept: 'application/json' } });
    t.equal(refused.status, 502);
    t.match(JSON.parse(String(refused.body)), {
      error: { code: 'ENDPOINT_FAILED', message: /name-dead\.example refused/ },
    });
    const none = await send({ host: 'none.example' });
    t.equal(none.status, 503);
    t.match(String(none.body), /no healthy endpoint/);
    t.equal(none.headers['retry-after'], '1');
    t.ok(front.counters().retries <= 2, 'the dead one was avoided after it failed');
    await front.close(1_000);
    await alive.stop();
  },
);

t.test('a pooled connection that went stale costs nobody a request, if it may be repeated', async (t) => {
  let accepted = 0;
  const server = await listen(
    createNetServer((socket) => {
      accepted += 1;
      let requests = 0;
      socket.on('error', () => {});
      socket.on('data', () => {
        requests += 1;
        // The second request on a connection finds it closed.
        if (requests === 2) socket.resetAndDestroy();
        else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      });
    }),
  );
  const front = await frontEnd(
    httpConfig({ 'a.example': [{ id: 'x', address: loopback, port: portOf(server) }] }),
  );
  t.equal((await send({ host: 'a.example' })).status, 200);
  t.equal((await send({ host: 'a.example' })).status, 200, 'GET is sent again');
  t.equal((await send({ host: 'a.example', method: 'POST' })).status, 502, 'POST is not');
  t.equal(accepted, 2);
  t.equal(front.counters().retries, 1);
  await front.close(1_000);
  server.close();
});

t.test('invalid and broken responses', async (t) => {
  const bad: [what: string, response: string, expected: RegExp][] = [
    ['not HTTP', 'SSH-2.0-x\r\n', /^HTTP\/1\.1 502 /],
    [
      'both framings',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      /^HTTP\/1\.1 502 /,
    ],
    ['an end within the head', 'HTTP/1.1 200 OK\r\nX: ', /^HTTP\/1\.1 502 /],
    ['no answer', '', /^HTTP\/1\.1 502 /],
    ['101 unasked', 'HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n', /^HTTP\/1\.1 502 /],
    ['many interim responses', 'HTTP/1.1 103 X\r\n\r\n'.repeat(20), /HTTP\/1\.1 502 [\s\S]*interim/],
    [
      'a short body',
      'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc',
      /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nabc$/,
    ],
  ];
  let current = '';
  const server = await listen(
    createNetServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(current));
    }),
  );
  const front = await frontEnd(
    httpConfig({ 'a.example': [{ id: 'x', address: loopback, port: portOf(server) }] }),
  );
  for (const [what, response, expected] of bad) {
    current = response;
    using client = new RawClient();
    client.send(get('a.example', '/', 'Connection: close\r\n'));
    t.match(await client.all(), expected, what);
  }
  const { responses_aborted_by_endpoint, responses_invalid } = front.counters();
  t.same(
    { responses_aborted_by_endpoint, responses_invalid },
    { responses_aborted_by_endpoint: 2, responses_invalid: 4 },
  );
  await front.close(1_000);
  server.close();
});

t.test(
  'a client that does not read holds back its endpoint, and nothing is buffered without bound',
  async (t) => {
    const total = 64 * 1024 * 1024;
    let written = 0;
    const upstream = await httpUpstream((_, response) => {
      response.writeHead(200, { 'Content-Length': total });
      const more = () => {
        while (written < total) {
          written += 65_536;
          if (!response.write(Buffer.alloc(65_536))) {
            response.once('drain', more);
            return;
          }
        }
        response.end();
      };
      more();
    });
    const front = await frontEnd(httpConfig({ 'a.example': [upstream.endpoint] }));
    using client = new RawClient();
    client.socket.pause();
    client.send(get('a.example', '/', 'Connection: close\r\n'));
    let before = -1;
    while (before !== written || written === 0) {
      before = written;
      await delay(200);
    }
    t.ok(written < total / 2, `the endpoint was held back at ${written} bytes`);
    let received = 0;
    client.socket.removeAllListeners('data');
    client.socket.on('data', (bytes: Buffer) => {
      received += bytes.length;
    });
    client.socket.resume();
    await eventually(() => received > total);
    await front.close(1_000);
    await upstream.stop();
  },
);

t.test('configurations are swapped under load without an error', async (t) => {
  const a = await httpUpstream((_, response) => setTimeout(() => response.end('ok'), 2));
  const b = await httpUpstream((_, response) => response.end('ok'));
  const both = httpConfig({ 'a.example': [a.endpoint, b.endpoint] });
  const front = await frontEnd(both);
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let running = true;
  let served = 0;
  const load = Array.from({ length: 8 }, async () => {
    while (running) {
      const reply = await send({ host: 'a.example', method: 'POST', agent }, [Buffer.from('x')]);
      if (reply.status !== 200) t.fail(`status ${reply.status}: ${reply.body}`);
      served += 1;
    }
  });
  for (let swap = 0; swap < 2_000 && (swap < 30 || served < 200); swap += 1) {
    const endpoints = [[a.endpoint], [b.endpoint], [a.endpoint, b.endpoint]][swap % 3] ?? [];
    await front.apply(httpConfig({ 'a.example': endpoints }));
    await delay(5);
  }
  running = false;
  await Promise.all(load);
  t.ok(served >= 200, `${served} requests were served`);
  t.equal(front.counters().connections_accepted, 8, 'no connection was dropped');
  await t.rejects(
    front.apply({
      ...both,
      routes: [{ port: frontPort, protocol: 'http', host: 'bad host', service: 's-a.example' }],
    }),
    /"bad host"/,
  );
  t.equal(
    (await send({ host: 'a.example', agent })).status,
    200,
    'a configuration that is refused changes nothing',
  );
  agent.destroy();
  await front.close(1_000);
  await Promise.all([a.stop(), b.stop()]);
});

t.test(
  'a removed listener closes once its requests are done; one that cannot open is reported and retried',
  async (t) => {
    let release = () => {};
    const upstream = await httpUpstream((_, response) => {
      release = () => response.end('late');
    });
    const config = httpConfig({ 'a.example': [upstream.endpoint] });
    const taken = createNetServer();
    await new Promise<void>((resolve) => taken.listen(8_081, loopback, resolve));
    const front = await frontEnd(config, { limits: { listenRetry_ms: 20 } });
    const other = { port: 8_081, protocol: 'http', address: loopback } as const;
    const { failed, listening } = await front.apply({ ...config, listeners: [...config.listeners, other] });
    t.match(failed, [{ listener: other, error: { code: 'EADDRINUSE' } }]);
    t.equal(listening.length, 1);
    await new Promise((resolve) => taken.close(resolve));
    using second = new RawClient();
    second.send(get('a.example'));
    await eventually(() => front.counters().requests === 1);
    using idle = new RawClient();
    await eventually(() => front.counters().connections_open === 2);
    await front.apply({ ...config, listeners: [other] });
    t.equal(await idle.all(), '', 'an idle connection ends at once');
    release();
    t.match(await second.all(), /Connection: close[\s\S]*late$/, 'one with a request after it');
    let answered = '';
    for (let i = 0; i < 200 && answered === ''; i += 1) {
      using client = new RawClient(8_081);
      client.send(get('nobody.example', '/', 'Connection: close\r\n'));
      answered = await client.all();
    }
    t.match(answered, /^HTTP\/1\.1 404 /, 'the other listener opened meanwhile');
    await front.close(1_000);
    await t.rejects(front.apply(config), /closed/);
    await upstream.stop();
  },
);

t.test('close drains until its deadline, then cuts', async (t) => {
  const upstream = await httpUpstream(() => {});
  const front = await frontEnd(httpConfig({ 'a.example': [upstream.endpoint] }));
  using client = new RawClient();
  client.send(get('a.example'));
  await eventually(() => front.counters().upstream_connections_open === 1);
  t.equal(await front.close(50), 1);
  t.equal(await client.all(), '');
  await eventually(
    () => front.counters().connections_open === 0 && front.counters().upstream_connections_open === 0,
  );
  t.match(front.counters(), { requests_aborted_by_client: 1 });
  await upstream.stop();
});
