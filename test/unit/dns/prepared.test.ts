import t from 'tap';
import { DnsCounters } from '../../../control/dns/counters.ts';
import type { ServiceAddresses } from '../../../control/dns/names.ts';
import { defaultPreparedOptions, PreparedReplies } from '../../../control/dns/prepared.ts';
import { DnsServer } from '../../../control/dns/server.ts';
import { askUdp } from './client.ts';
import { opt, query, readReply, viewOf } from './codec.ts';

const services = new Map<string, ServiceAddresses>([
  ['web', { vip: '10.248.0.1', endpoints: ['10.252.0.1', '10.252.0.2', '10.252.0.3'] }],
]);

async function start() {
  const server = new DnsServer();
  server.view = viewOf(services);
  const { port } = await server.listen({ address: '127.0.0.1', port: 0 });
  const ask = async (bytes: Buffer) => readReply(await askUdp(port, bytes));
  return { server, ask, [Symbol.asyncDispose]: () => server.close() };
}

t.test('the second answer is the first one, under its own id', async (t) => {
  await using running = await start();
  for (const asked of [
    query('Web'),
    query('web', 'AAAA'),
    query('no.shoal'),
    query('web', 'A', [opt(1_232)]),
  ]) {
    const first = await running.ask(asked);
    asked.writeUInt16BE(0x7777, 0);
    const second = await running.ask(asked);
    t.equal(second.id, 0x7777);
    t.strictSame({ ...second.packet, id: 0 }, { ...first.packet, id: 0 });
  }
  t.match(running.server.counters.snapshot(), {
    queriesUdp: 8,
    answered: 4,
    answeredEmpty: 2,
    answeredUnknown: 2,
  });
});

t.test('addresses are shuffled each time, none lost', async (t) => {
  await using running = await start();
  const orders = new Set<string>();
  for (let round = 0; round < 200; round += 1) {
    const { addresses } = await running.ask(query('tasks.web'));
    t.strictSame(addresses.toSorted(), ['10.252.0.1', '10.252.0.2', '10.252.0.3']);
    orders.add(addresses.join());
  }
  t.equal(orders.size, 6);
});

t.test('a change of what is known counts at once', async (t) => {
  await using running = await start();
  await running.ask(query('web'));
  running.server.view = viewOf(new Map([['web', { vip: '10.248.0.9', endpoints: [] }]]));
  t.strictSame((await running.ask(query('web'))).addresses, ['10.248.0.9']);
  t.equal((await running.ask(query('other'))).code, 3);
  t.equal((await running.ask(query('other'))).code, 3);
  running.server.setUpstreams([{ address: '127.0.0.1', port: 1 }]);
  t.equal((await running.ask(query('other'))).code, 2, 'now it is asked elsewhere, where nobody answers');
});

t.test('the table is bounded in entries and sizes', async (t) => {
  const counters = new DnsCounters();
  const prepared = new PreparedReplies(counters, Math.random, { ...defaultPreparedOptions, maxEntries: 2 });
  const about = { question_bytes: 9, addressCount: 0, outcome: 'answered' as const };
  const reply = Buffer.alloc(100);
  for (const name of ['a', 'b', 'c']) prepared.store(query(name), reply, about);
  t.equal(prepared.size, 1);
  t.equal(counters.get('preparedPurges'), 1);
  t.ok(prepared.find(query('c')));
  t.equal(prepared.find(query('a')), undefined);
  prepared.store(query('long'), Buffer.alloc(defaultPreparedOptions.maxReply_bytes + 1), about);
  prepared.store(Buffer.alloc(defaultPreparedOptions.maxQuery_bytes + 1), reply, about);
  prepared.store(query('lies'), reply, { ...about, addressCount: 100 });
  t.equal(prepared.size, 1);
  t.equal(prepared.find(Buffer.alloc(3)), undefined);
  const found = prepared.find(query('c'));
  found?.fill(0xff);
  t.not(prepared.find(query('c'))?.[50], 0xff, 'each gets a copy');
  prepared.clear();
  t.equal(prepared.size, 0);
});
