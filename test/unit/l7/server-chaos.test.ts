import { createServer as createNetServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import type { AccessEvent } from '../../../dataplane/l7/context.ts';
import {
  eventually,
  frontEnd,
  httpConfig,
  listen,
  loopback,
  pick,
  pieces,
  portOf,
  RawClient,
  randomBytes,
  seeded,
} from './support.ts';

const responses = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX',
  'HTTP/1.1 200 OK\r\n\r\nuntil the end',
  'HTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more than that',
  'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw bytes',
  'HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n',
  '',
];

const requests = [
  'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n',
  'HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n',
  'GET / HTTP/1.0\r\nHost: a.example\r\n\r\n',
  'PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello',
  'POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello',
  'GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw bytes',
  'GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 500000\r\n\r\npart',
  'nonsense\r\n\r\n',
];

t.test('whatever clients and endpoints do, nothing throws and nothing is left behind', async (t) => {
  const random = seeded(17);
  const sockets = new Set<Socket>();
  const misbehave = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    if (random() < 0.1) socket.resetAndDestroy();
    socket.on('data', async () => {
      const response = Buffer.from(responses[pick(random, responses.length)] ?? '');
      for (const piece of random() < 0.5 ? [response] : pieces(response, random).slice(0, 20)) {
        if (socket.destroyed || socket.writableEnded) return;
        socket.write(piece);
        if (random() < 0.2) await delay(1);
        if (random() < 0.02) socket.resetAndDestroy();
      }
      if (random() < 0.3) socket.end();
    });
  };
  const server = await listen(createNetServer({ allowHalfOpen: true }, misbehave));
  const probe = await listen(createNetServer());
  const dead = { id: 'dead', address: loopback, port: portOf(probe) };
  await new Promise((resolve) => probe.close(resolve));
  const events: AccessEvent[] = [];
  const front = await frontEnd(
    httpConfig({ 'a.example': [{ id: 'x', address: loopback, port: portOf(server) }, dead] }),
    {
      limits: {
        responseHead_ms: 200,
        bodyStall_ms: 200,
        head_ms: 200,
        keepAliveIdle_ms: 200,
        halfClosedIdle_ms: 200,
        linger_ms: 50,
        endpointOut_ms: 5,
      },
      random,
      onAccess: (event) => events.push(event),
    },
  );
  const one = async () => {
    using client = new RawClient();
    const parts = Array.from(
      { length: 1 + pick(random, 4) },
      () => requests[pick(random, requests.length)] ?? '',
    );
    const bytes = Buffer.from(parts.join(''));
    if (random() < 0.1) bytes.set(randomBytes(random, 1), pick(random, bytes.length));
    for (const piece of random() < 0.5 ? [bytes] : pieces(bytes, random).slice(0, 30)) {
      if (client.socket.destroyed || client.socket.writableEnded) return;
      client.send(piece);
      if (random() < 0.1) await delay(1);
      if (random() < 0.03) return;
    }
    if (random() < 0.5) client.socket.end();
    if (random() < 0.8) await Promise.race([client.all(), delay(300)]);
  };
  for (let round = 0; round < 30; round += 1) await Promise.all(Array.from({ length: 10 }, one));
  await eventually(() => front.counters().connections_open === 0);
  await front.close(1_000);
  for (const socket of sockets) socket.destroy();
  await eventually(() => front.counters().upstream_connections_open === 0);
  const counters = front.counters();
  t.equal(counters.retries_pending_open, 0);
  t.ok(counters.requests > 200, `${counters.requests} requests`);
  const logged = events.filter(({ method }) => method !== null).length;
  t.equal(logged, counters.requests, 'each request is in the access log once');
  for (const name of [
    'responses_relayed',
    'responses_invalid',
    'retries',
    'upgrades',
    'heads_malformed',
  ] as const) {
    t.ok(counters[name] > 0, `${name}: ${counters[name]}`);
  }
  server.close();
});
