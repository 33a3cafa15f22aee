import t from 'tap';
import { defaultCacheOptions } from '../../../control/dns/cache.ts';
import { frame } from '../../../control/dns/framing.ts';
import { DnsServer, type DnsServerOptions } from '../../../control/dns/server.ts';
import { askUdp, dig, openTcp } from './client.ts';
import { opt, query, readReply } from './codec.ts';
import { reply, startUpstream } from './upstream.ts';

const uncached = { ...defaultCacheOptions, maxEntries: 0 };

async function start(upstreams: { address: string; port: number }[], options: DnsServerOptions = {}) {
  const forwarder = { timeout_ms: 2_000, cache: uncached, ...options.forwarder };
  const server = new DnsServer({ ...options, forwarder });
  const { port } = await server.listen({ address: '127.0.0.1', port: 0 });
  server.setUpstreams(upstreams);
  return { server, port, [Symbol.asyncDispose]: () => server.close() };
}

/** A loopback port with nothing behind it. */
async function closedPort(): Promise<number> {
  await using upstream = await startUpstream(() => []);
  return upstream.port;
}

t.test('unknown names go upstream, as they were asked', async (t) => {
  await using upstream = await startUpstream((q) => [reply(q, 2)]);
  await using running = await start([upstream]);
  const asked = query('ExAmPle.com', 'A', [opt(1_400)], 0x4242);
  const got = await askUdp(running.port, asked);
  t.match(readReply(got), {
    id: 0x4242,
    addresses: ['192.0.2.0', '192.0.2.1'],
    names: ['ExAmPle.com', 'ExAmPle.com'],
  });
  t.strictSame(upstream.seen[0]?.bytes.subarray(2), asked.subarray(2), 'only the id differs');
  t.equal((await dig(running.port, '+short', 'example.org')).trim(), '192.0.2.0\n192.0.2.1');
  t.equal((await dig(running.port, '+short', '+tcp', 'single-label')).trim(), '192.0.2.0\n192.0.2.1');
  t.match(await dig(running.port, 'nothing.shoal'), /NXDOMAIN/);
  t.equal(upstream.seen.length, 3, 'names under .shoal stay here');
});

t.test('ids and source ports are random', async (t) => {
  await using upstream = await startUpstream((q) => [reply(q)]);
  await using running = await start([upstream]);
  await Promise.all(
    Array.from({ length: 60 }, (_, id) => askUdp(running.port, query(`${id}.example.com`, 'A', [], id))),
  );
  const ids = upstream.seen.map((entry) => entry.id);
  t.ok(new Set(ids).size > 50, 'ids differ');
  t.ok(Math.max(...ids) - Math.min(...ids) > 10_000, 'ids are spread');
  const ports = upstream.seen.map((entry) => entry.sourcePort);
  t.ok(new Set(ports).size > 30, 'ports differ');
  t.ok(Math.max(...ports) - Math.min(...ports) > 1_000, 'ports are spread');
});

t.test('forged replies are passed over', async (t) => {
  await using upstream = await startUpstream((q) => {
    const wrongId = reply(q, 1);
    wrongId.writeUInt16BE((wrongId.readUInt16BE(0) + 1) & 0xffff, 0);
    const otherQuestion = reply({ ...q, questions: [{ type: 'A', name: 'other.com' }] }, 1);
    return [wrongId, otherQuestion, Buffer.from('garbage'), reply(q, 3)];
  });
  await using running = await start([upstream]);
  t.equal(readReply(await askUdp(running.port, query('example.com'))).addresses.length, 3);
  t.equal(running.server.counters.get('upstreamMismatches'), 3);
});

t.test('the next server is asked when one is silent, closed or unwilling', async (t) => {
  await using silent = await startUpstream(() => []);
  await using unwilling = await startUpstream((q) => [reply(q, 0, 5)]);
  await using good = await startUpstream((q) => [reply(q)]);
  const closed = { address: '127.0.0.1', port: await closedPort() };
  await using running = await start([silent, closed, unwilling, good], { forwarder: { timeout_ms: 200 } });
  t.strictSame(readReply(await askUdp(running.port, query('example.com'))).addresses, ['192.0.2.0']);
  t.match(running.server.counters.snapshot(), {
    forwarded: 1,
    upstreamTimeouts: 1,
    upstreamErrors: 1,
    upstreamRefusals: 1,
    failedUpstream: 0,
  });
  t.strictSame(readReply(await askUdp(running.port, query('example.com'))).addresses, ['192.0.2.0']);
  t.equal(silent.seen.length, 1, 'a silent server is asked last for a while');
});

t.test('SERVFAIL when nobody answers, the refusal when all refuse', async (t) => {
  await using silent = await startUpstream(() => []);
  await using running = await start([silent], { forwarder: { timeout_ms: 100 } });
  const got = await askUdp(running.port, query('Example.com'));
  t.match(readReply(got), { code: 2, id: 0x1234 });
  t.equal(readReply(got).packet.questions?.[0]?.name, 'Example.com');
  t.equal(running.server.counters.get('failedUpstream'), 1);
  await using unwilling = await startUpstream((q) => [reply(q, 0, 5)]);
  running.server.setUpstreams([unwilling]);
  t.equal(readReply(await askUdp(running.port, query('example.com'))).code, 5);
  await using unknowing = await startUpstream((q) => [reply(q, 0, 3)]);
  running.server.setUpstreams([unknowing, silent]);
  t.equal(readReply(await askUdp(running.port, query('example.com'))).code, 3, 'NXDOMAIN is an answer');
  t.equal(silent.seen.length, 1);
});

t.test('truncation: relayed by UDP, resolved by TCP', async (t) => {
  await using upstream = await startUpstream((q, transport) =>
    transport === 'udp' ? [reply(q, 1, 0, 0x0200)] : [reply(q, 200)],
  );
  await using running = await start([upstream]);
  t.ok(readReply(await askUdp(running.port, query('example.com'))).packet.flag_tc);
  t.strictSame(
    upstream.seen.map((entry) => entry.transport),
    ['udp'],
  );
  using client = await openTcp(running.port);
  client.socket.write(frame(query('example.com')));
  const [bytes] = await client.until(1);
  t.match(readReply(bytes ?? Buffer.alloc(0)), {
    id: 0x1234,
    addresses: { length: 200 },
    packet: { flag_tc: false },
  });
  t.equal(running.server.counters.get('forwardedTcp'), 1);
  t.equal((await dig(running.port, '+short', 'example.com')).trim().split('\n').length, 200);
});

t.test('an upstream reply larger than the client takes is cut', async (t) => {
  await using upstream = await startUpstream((q) => [reply(q, 100)]);
  await using running = await start([upstream]);
  const small = await askUdp(running.port, query('example.com'));
  t.ok(small.length <= 512);
  t.match(readReply(small), { packet: { flag_tc: true }, addresses: [] });
  t.equal(
    readReply(await askUdp(running.port, query('example.com', 'A', [opt(4_096)]))).addresses.length,
    100,
  );
});

t.test('queries in flight are bounded', async (t) => {
  await using silent = await startUpstream(() => []);
  await using running = await start([silent], { forwarder: { maxInFlight: 5, timeout_ms: 1_000 } });
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, id) => askUdp(running.port, query('example.com', 'A', [], id))),
  );
  t.ok(replies.every((bytes) => readReply(bytes).code === 2));
  const counts = running.server.counters.snapshot();
  t.equal(counts.failedForwardLimit + counts.failedUpstream, 20);
  t.ok(counts.failedForwardLimit > 0, 'some found no place');
  t.ok(silent.seen.length < 20);
});

t.test('no listener can take all places', async (t) => {
  await using silent = await startUpstream(() => []);
  await using running = await start([silent], { forwarder: { maxInFlight: 8, timeout_ms: 1_500 } });
  const second = await running.server.listen({ address: '127.0.0.1', port: 0 });
  const ask = (port: number, count: number, zone: string) =>
    Promise.all(Array.from({ length: count }, (_, id) => askUdp(port, query(`${id}.${zone}`, 'A', [], id))));
  const greedy = ask(running.port, 20, 'greedy.com');
  const { counters } = running.server;
  while (counters.get('failedForwardLimit') < 16) await new Promise((resolve) => setImmediate(resolve));
  t.equal(counters.get('forwarded'), 4, 'one alone gets half');
  const modest = ask(second.port, 2, 'modest.com');
  await Promise.all([greedy, modest]);
  t.equal(counters.get('forwarded'), 6, 'and the next some of the rest');
  t.equal(counters.get('failedForwardLimit'), 16);
  const again = ask(running.port, 4, 'later.com');
  await again;
  t.equal(counters.get('forwarded'), 10, 'places are given back');
});

t.test('equal questions at the same time are asked once', async (t) => {
  await using upstream = await startUpstream(() => []);
  await using late = await startUpstream((q) => [reply(q)]);
  await using running = await start([upstream, late], { forwarder: { timeout_ms: 300 } });
  const names = ['example.com', 'EXAMPLE.com', 'eXample.com', 'other.com'];
  const replies = await Promise.all(
    names.map((name, id) => askUdp(running.port, query(name, 'A', [], 700 + id))),
  );
  replies.forEach((bytes, index) => {
    t.match(readReply(bytes), { id: 700 + index, addresses: ['192.0.2.0'] });
    t.equal(readReply(bytes).packet.questions?.[0]?.name, names[index]);
  });
  t.match(running.server.counters.snapshot(), { forwarded: 2, coalesced: 2 });
  t.equal(late.seen.length, 2);
});

t.test('answers are kept, and forgotten with the servers they came from', async (t) => {
  await using first = await startUpstream((q) => [reply(q, 1)]);
  await using second = await startUpstream((q) => [reply(q, 2)]);
  await using running = await start([first], { forwarder: { cache: defaultCacheOptions } });
  const ask = async (name: string) => readReply(await askUdp(running.port, query(name, 'A', [], 99)));
  t.equal((await ask('example.com')).addresses.length, 1);
  t.match(await ask('Example.COM'), { id: 99, packet: { questions: [{ name: 'Example.COM' }] } });
  t.equal(first.seen.length, 1);
  t.match(running.server.counters.snapshot(), { forwarded: 1, cacheHits: 1 });
  running.server.setUpstreams([{ ...first }]);
  await ask('example.com');
  t.equal(first.seen.length, 1, 'the same servers again');
  running.server.setUpstreams([second]);
  t.equal((await ask('example.com')).addresses.length, 2);
});

t.test('upstreams that lead back are refused', async (t) => {
  await using upstream = await startUpstream((q) => [reply(q)]);
  await using running = await start([]);
  const own = { address: '127.0.0.1', port: running.port };
  const embedded = { address: '127.0.0.11', port: 53 };
  t.strictSame(running.server.setUpstreams([embedded, own, upstream]), [upstream]);
  t.equal(running.server.counters.get('upstreamLoops'), 2);
  t.strictSame(readReply(await askUdp(running.port, query('example.com'))).addresses, ['192.0.2.0']);
  running.server.setUpstreams([embedded, own]);
  t.equal(readReply(await askUdp(running.port, query('example.com'))).code, 2, 'none left');
  t.equal(readReply(await askUdp(running.port, query('single'))).code, 3);
  running.server.setUpstreams([{ address: '127.0.0.2', port: running.port }, upstream]);
  t.equal(running.server.counters.get('upstreamLoops'), 4);
  const later = await running.server.listen({ address: '127.0.0.2', port: running.port });
  t.equal(running.server.counters.get('upstreamLoops'), 5, 'a listener that comes later counts as well');
  await later.close();
});

t.test('closing ends what is in flight', async (t) => {
  await using silent = await startUpstream(() => []);
  const running = await start([silent], { forwarder: { timeout_ms: 60_000 } });
  using client = await openTcp(running.port);
  client.socket.write(frame(query('example.com')));
  while (silent.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await running.server.close();
  await client.closing;
  t.equal(running.server.counters.get('failedUpstream'), 1);
});
