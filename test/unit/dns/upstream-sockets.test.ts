import t from 'tap';
import { defaultSocketPoolOptions, UpstreamSockets } from '../../../control/dns/upstream-sockets.ts';
import { query } from './codec.ts';
import { reply, startUpstream } from './upstream.ts';

/** Asks once; 'error' if that is what came. The time limit also keeps the process, which sockets do not. */
function ask(sockets: UpstreamSockets, upstream: { address: string; port: number }, name = 'x.com') {
  const bytes = query(name);
  return new Promise<Buffer | 'error'>((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error('neither reply nor error')), 10_000);
    const settle = (result: Buffer | 'error') => {
      clearTimeout(limit);
      resolve(result);
    };
    sockets.ask(upstream, {
      query: bytes,
      question: bytes.subarray(12),
      onReply: settle,
      onError: () => settle('error'),
    });
  });
}

const repeat = <T>(count: number, make: () => Promise<T>) => Promise.all(Array.from({ length: count }, make));

t.test('sockets are few, and each is replaced after some uses', async (t) => {
  await using upstream = await startUpstream((q) => [reply(q)]);
  const sockets = new UpstreamSockets(() => {}, { ...defaultSocketPoolOptions, maxSockets: 3, maxUses: 10 });
  t.teardown(() => sockets.close());
  let largest = 0;
  for (let round = 0; round < 20; round += 1) {
    const replies = repeat(10, () => ask(sockets, upstream));
    largest = Math.max(largest, sockets.size);
    t.notOk((await replies).includes('error'));
  }
  t.equal(largest, 3);
  const ports = new Set(upstream.seen.map((entry) => entry.sourcePort));
  t.ok(ports.size >= 15, `${ports.size} source ports in 200 queries`);
});

t.test('a closed port fails all that wait, and the next query begins anew', async (t) => {
  const port = await (async () => {
    await using gone = await startUpstream(() => []);
    return gone.port;
  })();
  const sockets = new UpstreamSockets(() => {});
  t.teardown(() => sockets.close());
  const results = await repeat(5, () => ask(sockets, { address: '127.0.0.1', port }));
  t.strictSame(results, Array(5).fill('error'));
  t.equal(sockets.size, 0);
});

t.test('a cancelled query hears nothing, and its reply counts as a mismatch', async (t) => {
  await using upstream = await startUpstream((q) => [reply(q)]);
  let mismatches = 0;
  const sockets = new UpstreamSockets(
    () => {
      mismatches += 1;
    },
    { ...defaultSocketPoolOptions, maxSockets: 1 },
  );
  t.teardown(() => sockets.close());
  const bytes = query('cancelled.com');
  const unexpected = () => t.fail('called after it was cancelled');
  sockets.ask(upstream, {
    query: bytes,
    question: bytes.subarray(12),
    onReply: unexpected,
    onError: unexpected,
  })();
  t.not(await ask(sockets, upstream), 'error');
  t.equal(mismatches, 1);
});

t.test('sockets do not live long; closing ends what waits', async (t) => {
  await using silent = await startUpstream(() => []);
  await using upstream = await startUpstream((q) => [reply(q)]);
  const sockets = new UpstreamSockets(() => {}, { ...defaultSocketPoolOptions, lifetime_ms: 50 });
  await ask(sockets, upstream);
  t.equal(sockets.size, 1);
  for (let wait = 0; wait < 200 && sockets.size > 0; wait += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.equal(sockets.size, 0);
  const waiting = ask(sockets, silent);
  sockets.close();
  t.equal(await waiting, 'error');
  t.equal(sockets.size, 0);
});
