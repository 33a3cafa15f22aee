import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { frame } from '../../../control/dns/framing.ts';
import type { ServiceAddresses } from '../../../control/dns/names.ts';
import { DnsServer, type DnsServerOptions } from '../../../control/dns/server.ts';
import { askUdp, dig, openTcp, sendUdp } from './client.ts';
import { opt, query, readReply, seededRandom, viewOf } from './codec.ts';

const many = Array.from({ length: 1_000 }, (_, index) => `10.252.${index >> 8}.${index & 255}`);
const services = new Map<string, ServiceAddresses>([
  ['web', { vip: '10.248.0.1', endpoints: ['10.252.0.1', '10.252.0.2'] }],
  ['big', { vip: '10.248.0.2', endpoints: many }],
]);
const view = viewOf(services);

async function start(options: DnsServerOptions = {}) {
  const server = new DnsServer(options);
  server.view = view;
  const { port } = await server.listen({ address: '127.0.0.1', port: 0 });
  return { server, port, [Symbol.asyncDispose]: () => server.close() };
}

t.test('dig', async (t) => {
  await using running = await start();
  const { port, server } = running;
  t.equal((await dig(port, '+short', 'web')).trim(), '10.248.0.1');
  t.equal((await dig(port, '+short', '+tcp', 'web.shoal')).trim(), '10.248.0.1');
  t.equal((await dig(port, '+short', '+noedns', 'WEB')).trim(), '10.248.0.1');
  t.strictSame((await dig(port, '+short', 'tasks.web')).trim().split('\n').toSorted(), [
    '10.252.0.1',
    '10.252.0.2',
  ]);

  const empty = await dig(port, 'web', 'AAAA');
  t.match(empty, /status: NOERROR/);
  t.match(empty, /ANSWER: 0, AUTHORITY: 1/);
  t.match(empty, /SOA\s+ns\.shoal\./);
  t.match(await dig(port, 'nothing.shoal'), /status: NXDOMAIN/);
  t.match(await dig(port, 'nothing'), /status: NXDOMAIN/, 'no upstream');
  t.match(await dig(port, 'example.com'), /status: SERVFAIL/, 'no upstream');
  t.match(await dig(port, '-c', 'CH', '-t', 'TXT', 'version.bind'), /status: REFUSED/);
  t.match(await dig(port, '+opcode=STATUS', 'web'), /status: NOTIMP/);
  t.match(await dig(port, '+edns=1', '+noednsneg', 'web'), /status: BADVERS/);
  t.match(
    await dig(port, '+edns=0', '+dnssec', '+cookie', '+nsid', 'web'),
    /EDNS: version: 0, flags: do; udp: 4096/,
  );

  const cut = await dig(port, '+ignore', '+bufsize=1232', 'tasks.big');
  t.match(cut, /flags:[^;]* tc/);
  t.match(cut, /MSG SIZE {2}rcvd: 12\d\d/);
  const plain = await dig(port, '+ignore', '+noedns', 'tasks.big');
  t.match(plain, /flags:[^;]* tc/);
  t.match(plain, /MSG SIZE {2}rcvd: (4[89]\d|50\d|51[012])\b/);
  t.equal(
    (await dig(port, '+short', 'tasks.big')).trim().split('\n').length,
    1_000,
    'asks again by TCP by itself',
  );
  t.equal((await dig(port, '+short', '+tcp', 'tasks.big')).trim().split('\n').length, 1_000);

  const counts = server.counters.snapshot();
  for (const name of [
    'queriesUdp',
    'queriesTcp',
    'answered',
    'answeredEmpty',
    'answeredUnknown',
    'truncated',
    'notImplemented',
    'badEdnsVersion',
    'refusedClass',
    'failedNoUpstream',
  ] as const) {
    t.ok(counts[name] > 0, `${name} is counted`);
  }
});

t.test('a replaced view answers at once', async (t) => {
  await using running = await start();
  running.server.view = viewOf(new Map([['new', { vip: '10.248.0.9', endpoints: [] }]]));
  t.strictSame(readReply(await askUdp(running.port, query('new'))).addresses, ['10.248.0.9']);
  t.equal(readReply(await askUdp(running.port, query('web'))).code, 3);
});

t.test('many listeners share one server, and close on their own', async (t) => {
  await using running = await start();
  const second = await running.server.listen({ address: '127.0.0.2', port: running.port });
  t.strictSame(readReply(await askUdp(second.port, query('web'), '127.0.0.2')).addresses, ['10.248.0.1']);
  await t.rejects(running.server.listen({ address: '127.0.0.2', port: second.port }), { code: 'EADDRINUSE' });
  await second.close();
  await second.close();
  const third = await running.server.listen({ address: '127.0.0.2', port: second.port });
  t.equal(third.port, second.port, 'the port is free again');
  t.strictSame(readReply(await askUdp(running.port, query('web'))).addresses, ['10.248.0.1']);
  t.equal(running.server.counters.get('queriesUdp'), 2);
  await running.server.close();
  await t.rejects(running.server.listen({ address: '127.0.0.1', port: 0 }), /closed/);
});

t.test('random bytes on UDP and TCP leave it answering', async (t) => {
  await using running = await start();
  const random = seededRandom(42);
  const noise = (longest: number) =>
    Buffer.from(Array.from({ length: Math.floor(random() * longest) }, () => Math.floor(random() * 256)));
  const mutated = () => {
    const bytes = query('tasks.web.shoal', 'A', [opt(1_232)]);
    bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    return bytes;
  };
  for (let round = 0; round < 20; round += 1) {
    await sendUdp(
      running.port,
      Array.from({ length: 50 }, () => (random() < 0.5 ? noise(300) : mutated())),
    );
    await askUdp(running.port, query('web'));
  }
  for (let round = 0; round < 40; round += 1) {
    using client = await openTcp(running.port);
    client.socket.write(
      round % 2 === 0 ? noise(3_000) : Buffer.concat([frame(mutated()), frame(noise(200)), noise(9)]),
    );
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.strictSame(readReply(await askUdp(running.port, query('web'))).addresses, ['10.248.0.1']);
  using client = await openTcp(running.port);
  client.socket.write(frame(query('web')));
  const [reply] = await client.until(1);
  t.strictSame(readReply(reply ?? Buffer.alloc(0)).addresses, ['10.248.0.1']);
  const counts = running.server.counters.snapshot();
  t.equal(counts.failedInternal, 0);
  t.ok(counts.malformed > 100);
  t.ok(counts.droppedResponse > 10);
});

t.test('responses sent as queries get no answer', async (t) => {
  await using running = await start();
  const response = query('web');
  response.writeUInt16BE(0x8180, 2);
  await sendUdp(running.port, [response, Buffer.from([1]), Buffer.alloc(0)]);
  await askUdp(running.port, query('web'));
  t.match(running.server.counters.snapshot(), { droppedResponse: 1, droppedShort: 2, answered: 1 });
});

t.test('TCP: pipelined queries, byte by byte, and a client that ends its side', async (t) => {
  await using running = await start({ tcp: { maxPipelined: 4 } });
  using client = await openTcp(running.port);
  const ids = Array.from({ length: 200 }, (_, index) => 1_000 + index);
  client.socket.write(Buffer.concat(ids.map((id) => frame(query('tasks.big', 'A', [], id)))));
  const replies = (await client.until(ids.length)).map(readReply);
  t.strictSame(
    replies.map((reply) => reply.id).toSorted((a, b) => a - b),
    ids,
  );
  t.ok(replies.every((reply) => reply.addresses.length === 1_000));

  using slow = await openTcp(running.port);
  for (const byte of frame(query('web'))) {
    slow.socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.equal((await slow.until(1)).length, 1);

  using ending = await openTcp(running.port);
  ending.socket.end(Buffer.concat([frame(query('web')), frame(query('web'))]));
  await ending.until(2);
  await ending.closing;
  t.equal(ending.messages.length, 2, 'answered before the server closes too');
});

t.test('TCP: idle, dribbling and oversize clients are closed', async (t) => {
  await using running = await start({ tcp: { idle_ms: 300 } });
  using silent = await openTcp(running.port);
  using dribbling = await openTcp(running.port);
  const dribble = setInterval(() => dribbling.socket.write(Buffer.from([0])), 20);
  t.teardown(() => clearInterval(dribble));
  dribbling.socket.write(Buffer.from([0x0f]));
  using oversize = await openTcp(running.port);
  oversize.socket.write(Buffer.from([0xff, 0xff, 1]));
  await Promise.all([silent.closing, dribbling.closing, oversize.closing]);
  clearInterval(dribble);
  t.equal(running.server.counters.get('tcpClosedIdle'), 2);
  t.equal(running.server.counters.get('tcpClosedOversize'), 1);
});

t.test('TCP: a client that does not read is held back, then closed', async (t) => {
  await using running = await start({ tcp: { idle_ms: 500, maxUnsent_bytes: 65_536 } });
  using client = await openTcp(running.port);
  client.socket.pause();
  const batch = Buffer.concat(Array.from({ length: 200 }, () => frame(query('tasks.big'))));
  for (let round = 0; round < 40; round += 1) client.socket.write(batch);
  await Promise.race([
    client.closing,
    (async () => {
      for (let wait = 0; wait < 100 && running.server.counters.get('tcpClosedIdle') === 0; wait += 1)
        await sleep(100);
    })(),
  ]);
  t.equal(running.server.counters.get('tcpClosedIdle'), 1);
  t.ok(running.server.counters.get('queriesTcp') < 8_000, 'it stopped reading queries');
});

t.test('TCP: connections are bounded', async (t) => {
  await using running = await start({ maxConnections: 3, maxConnectionsPerListener: 2 });
  const other = await running.server.listen({ address: '127.0.0.1', port: 0 });
  using first = await openTcp(running.port);
  using second = await openTcp(running.port);
  using third = await openTcp(running.port);
  await third.closing;
  t.equal(running.server.counters.get('tcpRefusedLimit'), 1, 'per listener');
  using fourth = await openTcp(other.port);
  using fifth = await openTcp(other.port);
  await fifth.closing;
  t.equal(running.server.counters.get('tcpRefusedLimit'), 2, 'in all');
  t.notOk(first.isClosed() || second.isClosed() || fourth.isClosed());
  first.socket.destroy();
  await first.closing;
  for (let attempt = 0; attempt < 50; attempt += 1) {
    using again = await openTcp(running.port);
    again.socket.write(frame(query('web')));
    const answered = await Promise.race([again.until(1).then(() => true), again.closing.then(() => false)]);
    if (answered) {
      t.pass('a place that was given back can be taken');
      return;
    }
    await sleep(20);
  }
  t.fail('no place became free');
});

t.test('a closed server lets go of clients and ports', async (t) => {
  const running = await start();
  using client = await openTcp(running.port);
  client.socket.write(frame(query('web')));
  await client.until(1);
  await running.server.close();
  await client.closing;
  const server = new DnsServer();
  const listener = await server.listen({ address: '127.0.0.1', port: running.port });
  t.equal(listener.port, running.port);
  await server.close();
});
