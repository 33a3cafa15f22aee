import dnsPacket, { type Answer } from 'dns-packet';
import t from 'tap';
import { defaultCacheOptions, ReplyCache } from '../../../control/dns/cache.ts';
import { DnsCounters } from '../../../control/dns/counters.ts';
import { readQuery } from '../../../control/dns/message.ts';
import { replyLifetime } from '../../../control/dns/time-to-live.ts';
import { opt, query, readReply, seededRandom } from './codec.ts';

function asked(name: string, additionals: Answer[] = []) {
  const read = readQuery(query(name, 'A', additionals));
  if (read.kind !== 'query') throw new Error(`${name} is no query`);
  return read;
}

const a = (name: string, ttl: number): Answer => ({ type: 'A', name, ttl, data: '192.0.2.1' });
const soa = (ttl: number, minimum: number): Answer => ({
  type: 'SOA',
  name: 'com',
  ttl,
  data: { mname: 'a.com', rname: 'b.com', serial: 1, refresh: 1, retry: 1, expire: 1, minimum },
});

function reply(name: string, answers: Answer[], authorities: Answer[] = [], flags = 0): Buffer {
  return dnsPacket.encode({
    type: 'response',
    flags,
    questions: [{ name, type: 'A', class: 'IN' }],
    answers,
    authorities,
  });
}

function make(options: Partial<typeof defaultCacheOptions> = {}) {
  const clock = { now_ms: 1_000 };
  const counters = new DnsCounters();
  const cache = new ReplyCache(counters, { ...defaultCacheOptions, ...options }, () => clock.now_ms);
  return { cache, clock, counters };
}

t.test('a reply is kept for its smallest TTL, which counts down', async (t) => {
  const { cache, clock, counters } = make();
  cache.store(asked('x.com'), reply('x.com', [a('x.com', 60), a('x.com', 10)]));
  clock.now_ms += 9_500;
  const found = cache.find(asked('X.Com'));
  const { packet } = readReply(found ?? Buffer.alloc(0));
  t.strictSame(
    packet.answers?.map((record) => 'ttl' in record && record.ttl),
    [51, 1],
  );
  t.equal(packet.questions?.[0]?.name, 'X.Com', 'in the case of this client');
  t.equal(counters.get('cacheHits'), 1);
  t.equal(cache.find(asked('y.com')), undefined);
  clock.now_ms += 500;
  t.equal(cache.find(asked('x.com')), undefined);
  t.equal(cache.size, 0);
});

t.test('negative replies: as long as the SOA says, and no longer than the limit', async (t) => {
  const { cache, clock } = make();
  cache.store(asked('x.com'), reply('x.com', [], [soa(900, 5)], 3));
  cache.store(asked('y.com'), reply('y.com', [], [soa(900, 900)]));
  cache.store(asked('z.com'), reply('z.com', [], [], 3));
  t.equal(cache.size, 2, 'without SOA it may not be kept');
  t.equal(readReply(cache.find(asked('x.com')) ?? Buffer.alloc(0)).code, 3);
  const y = readReply(cache.find(asked('y.com')) ?? Buffer.alloc(0)).authorities[0];
  t.match(y, { ttl: defaultCacheOptions.maxNegative_s });
  clock.now_ms += 5_000;
  t.equal(cache.find(asked('x.com')), undefined);
  t.ok(cache.find(asked('y.com')));
  clock.now_ms += 1_000 * defaultCacheOptions.maxNegative_s;
  t.equal(cache.find(asked('y.com')), undefined);
});

t.test('what is not kept', async (t) => {
  const { cache } = make({ maxReply_bytes: 250, maxRecords: 3 });
  const name = 'x.com';
  const table: [string, Buffer][] = [
    ['TTL 0', reply(name, [a(name, 60), a(name, 0)])],
    ['TTL with its top bit set', reply(name, [a(name, 0x8000_0001)])],
    ['SERVFAIL', reply(name, [a(name, 60)], [], 2)],
    ['REFUSED', reply(name, [a(name, 60)], [], 5)],
    ['truncated', reply(name, [a(name, 60)], [], 0x0200)],
    ['too many records', reply(name, [a(name, 60), a(name, 60), a(name, 60), a(name, 60)])],
    ['too long', reply(name, [{ type: 'TXT', name, ttl: 60, data: 'x'.repeat(250) }])],
    ['cut', reply(name, [a(name, 60)]).subarray(0, -1)],
    ['bytes left over', Buffer.concat([reply(name, [a(name, 60)]), Buffer.from([0])])],
  ];
  for (const [what, bytes] of table) {
    cache.store(asked(name), bytes);
    t.equal(cache.size, 0, what);
  }
  const cookie = { ...opt(1_232), options: [{ code: 10, data: Buffer.alloc(8) }] } as unknown as Answer;
  cache.store(asked(name, [cookie]), reply(name, [a(name, 60)]));
  t.equal(cache.size, 0, 'EDNS options');
  const off = make({ maxEntries: 0 }).cache;
  off.store(asked(name), reply(name, [a(name, 60)]));
  t.equal(off.size, 0, 'switched off');
});

t.test('replies for EDNS, DO and plain queries are apart', async (t) => {
  const { cache } = make();
  cache.store(asked('x.com', [opt(1_232)]), reply('x.com', [a('x.com', 60)]));
  t.ok(cache.find(asked('x.com', [opt(4_096)])));
  t.equal(cache.find(asked('x.com')), undefined);
  t.equal(cache.find(asked('x.com', [opt(1_232, 0, dnsPacket.DNSSEC_OK)])), undefined);
});

t.test('the cache is bounded: expired replies go first, then the oldest', async (t) => {
  const { cache, clock, counters } = make({ maxEntries: 3 });
  const put = (name: string, ttl: number) => cache.store(asked(name), reply(name, [a(name, ttl)]));
  put('a.com', 100);
  put('b.com', 1);
  put('c.com', 100);
  clock.now_ms += 2_000;
  put('d.com', 100);
  t.equal(counters.get('cacheEvictions'), 0, 'b.com had expired');
  t.ok(cache.find(asked('a.com')));
  put('e.com', 100);
  t.equal(cache.size, 3);
  t.equal(counters.get('cacheEvictions'), 1);
  t.equal(cache.find(asked('a.com')), undefined);
  cache.clear();
  t.equal(cache.size, 0);
});

t.test('random bytes as replies', async (t) => {
  const random = seededRandom(5);
  const good = reply('x.com', [a('x.com', 60)], [soa(60, 60)]);
  let read = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = Buffer.from(good);
    for (let change = 0; change < 3; change += 1) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    const lifetime = replyLifetime(bytes.subarray(0, Math.floor(random() * 40) + 60), 11, 100);
    if (lifetime === undefined) continue;
    read += 1;
    if (lifetime.ttlOffsets.some((offset) => offset < 23 || offset + 4 > bytes.length))
      t.fail('out of bounds');
  }
  t.ok(read > 0, 'some can be read all the same');
});
