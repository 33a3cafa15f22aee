import dnsPacket, { type Question } from 'dns-packet';
import t from 'tap';
import { type AnswerResult, answer } from '../../../control/dns/answer.ts';
import { encodeReply, maxMessage_bytes, readQuery } from '../../../control/dns/message.ts';
import { emptyView, type ServiceAddresses } from '../../../control/dns/names.ts';
import { opt, query, type Reply, readReply, seededRandom, viewOf } from './codec.ts';

const many = Array.from({ length: 1_000 }, (_, index) => `10.252.${index >> 8}.${index & 255}`);
const services = new Map<string, ServiceAddresses>([
  ['web', { vip: '10.248.0.1', endpoints: ['10.252.0.1', '10.252.0.2', '10.249.0.9'] }],
  ['bare', { vip: null, endpoints: ['10.252.0.7'] }],
  ['empty', { vip: '10.248.0.2', endpoints: [] }],
  ['big', { vip: '10.248.0.3', endpoints: many }],
  ['tasks', { vip: '10.248.0.4', endpoints: ['10.252.0.8'] }],
  ['shoal', { vip: '10.248.0.5', endpoints: ['10.252.0.9'] }],
  ['kelvin', { vip: '10.248.0.6', endpoints: [] }],
]);
const view = viewOf(services);

type Asked = {
  kind: AnswerResult['kind'];
  outcome?: string;
  reply?: Reply;
  bytes?: Buffer;
  truncated?: boolean;
};

function ask(bytes: Buffer, hasUpstream = true, limit_bytes?: number): Asked {
  const read = readQuery(bytes);
  if (read.kind !== 'query') throw new Error(`expected a query, got ${read.kind} ${read.reason}`);
  const result: AnswerResult = answer(read.packet, view, { ttl_s: 1, random: seededRandom(1), hasUpstream });
  if (result.kind === 'forward') return { kind: result.kind };
  const reply = encodeReply(result.packet, read, limit_bytes ?? read.udpLimit_bytes);
  return { kind: result.kind, outcome: result.outcome, reply: readReply(reply.bytes), ...reply };
}

t.test('names and what they give', async (t) => {
  const table: [string, Question['type'], string[] | 'empty' | 'unknown' | 'forward'][] = [
    ['web', 'A', ['10.248.0.1']],
    ['WEB', 'A', ['10.248.0.1']],
    ['web.shoal', 'A', ['10.248.0.1']],
    ['Web.Shoal', 'A', ['10.248.0.1']],
    ['tasks.web', 'A', ['10.249.0.9', '10.252.0.1', '10.252.0.2']],
    ['tasks.web.shoal', 'A', ['10.249.0.9', '10.252.0.1', '10.252.0.2']],
    ['bare', 'A', ['10.252.0.7']],
    ['tasks.bare', 'A', ['10.252.0.7']],
    ['tasks', 'A', ['10.248.0.4']],
    ['tasks.shoal', 'A', ['10.248.0.4']],
    ['tasks.tasks', 'A', ['10.252.0.8']],
    ['shoal', 'A', ['10.248.0.5']],
    ['shoal.shoal', 'A', ['10.248.0.5']],
    ['tasks.shoal.shoal', 'A', ['10.252.0.9']],
    ['empty', 'A', ['10.248.0.2']],
    ['tasks.empty', 'A', 'empty'],
    ['web', 'AAAA', 'empty'],
    ['tasks.web', 'AAAA', 'empty'],
    ['web.shoal', 'MX', 'empty'],
    ['web', 'TXT', 'empty'],
    ['nothing', 'A', 'forward'],
    ['nothing.shoal', 'A', 'unknown'],
    ['tasks.nothing.shoal', 'A', 'unknown'],
    ['a.tasks.web.shoal', 'A', 'unknown'],
    ['tasks.nothing', 'A', 'forward'],
    ['a.web', 'A', 'forward'],
    ['example.com', 'A', 'forward'],
    ['webshoal', 'A', 'forward'],
    ['.', 'NS', 'forward'],
    // The Kelvin sign lower-cases to "k" in Unicode; DNS knows ASCII only.
    ['\u212aelvin', 'A', 'forward'],
  ];
  for (const [name, type, expected] of table) {
    const got = ask(query(name, type));
    if (expected === 'forward') {
      t.equal(got.kind, 'forward', `${name} ${type}`);
      continue;
    }
    t.equal(got.kind, 'answer', `${name} ${type}`);
    const reply = got.reply;
    if (reply === undefined) throw new Error('no reply');
    t.equal(reply.code, expected === 'unknown' ? 3 : 0, `${name} ${type} code`);
    if (Array.isArray(expected)) t.strictSame(reply.addresses.toSorted(), expected, `${name} ${type}`);
    else t.strictSame(reply.addresses, [], `${name} ${type} has no addresses`);
    t.equal(reply.authorities.length, Array.isArray(expected) ? 0 : 1, `${name} ${type} SOA`);
    t.equal(reply.packet.flag_aa, true);
    t.equal(reply.packet.flag_ra, true);
    t.equal(reply.packet.flag_rd, true);
    t.equal(reply.id, 0x1234);
  }
});

t.test('a negative answer may be cached for the same short time', async (t) => {
  const soa = ask(query('tasks.WEB', 'AAAA')).reply?.authorities[0];
  t.equal(soa?.type, 'SOA');
  t.match(soa, { name: 'WEB', ttl: 1, data: { minimum: 1 } });
});

t.test('the domain itself exists, empty, when no service has its name', async (t) => {
  const read = readQuery(query('SHOAL', 'NS'));
  if (read.kind !== 'query') throw new Error('not a query');
  const result = answer(read.packet, emptyView, { ttl_s: 1, random: Math.random, hasUpstream: true });
  t.match(result, { kind: 'answer', outcome: 'answeredEmpty' });
});

t.test('without upstream: NXDOMAIN for single labels, SERVFAIL for others', async (t) => {
  t.match(ask(query('nothing'), false), { outcome: 'answeredUnknown', reply: { code: 3 } });
  t.match(ask(query('example.com'), false), { outcome: 'failedNoUpstream', reply: { code: 2 } });
  t.match(ask(query('.', 'NS'), false), { outcome: 'failedNoUpstream', reply: { code: 2 } });
});

t.test('mixed case comes back byte for byte', async (t) => {
  const asked = query('TaSkS.wEb');
  const got = ask(asked);
  t.strictSame(got.bytes?.subarray(12, asked.length), asked.subarray(12));
  t.ok(got.reply?.names.every((name) => name === 'TaSkS.wEb'));
});

t.test('the order of endpoints depends on the randomness given', async (t) => {
  const read = readQuery(query('tasks.web'));
  if (read.kind !== 'query') throw new Error('not a query');
  const orders = new Map<string, number>();
  const random = seededRandom(7);
  for (let round = 0; round < 600; round += 1) {
    const result = answer(read.packet, view, { ttl_s: 1, random, hasUpstream: false });
    if (result.kind !== 'answer') throw new Error('not answered');
    const order = readReply(encodeReply(result.packet, read, 512).bytes).addresses.join();
    orders.set(order, (orders.get(order) ?? 0) + 1);
  }
  t.equal(orders.size, 6, 'all permutations occur');
  for (const [order, count] of orders) t.ok(count > 50, `${order} occurs ${count} times of 600`);
});

t.test('EDNS: echoed without options, version checked, size respected', async (t) => {
  t.equal(ask(query('web')).reply?.opt, undefined, 'none unless asked');
  const echoed = ask(query('web', 'A', [opt(1_232, 0, dnsPacket.DNSSEC_OK)])).reply?.opt;
  t.match(echoed, { udpPayloadSize: 4_096, ednsVersion: 0, flag_do: true, options: [] });
  const bad = ask(query('web', 'A', [opt(1_232, 1)]));
  t.match(bad, { outcome: 'badEdnsVersion', reply: { code: 0, addresses: [], opt: { extendedRcode: 1 } } });
  for (const size of [1, 512, 600, 1_232, 4_096, 65_535]) {
    const got = ask(query('tasks.big', 'A', [opt(size)]));
    const limit = Math.min(Math.max(size, 512), 4_096);
    t.ok(got.truncated, `${size}: truncated`);
    t.ok(got.reply?.packet.flag_tc, `${size}: TC`);
    t.ok((got.bytes?.length ?? 0) <= limit, `${size}: within ${limit}`);
    t.ok((got.bytes?.length ?? 0) > limit - 16, `${size}: filled to the last record`);
    t.ok(got.reply?.opt, `${size}: OPT kept`);
  }
  t.ok(ask(query('tasks.big')).bytes?.length, 'plain');
  t.ok((ask(query('tasks.big')).bytes?.length ?? 513) <= 512, 'plain DNS stays within 512');
});

t.test('over TCP a thousand endpoints of the longest name fit', async (t) => {
  const name = 'n'.repeat(63);
  services.set(name, { vip: null, endpoints: many });
  t.teardown(() => services.delete(name));
  const got = ask(query(`tasks.${name}.shoal`), true, maxMessage_bytes);
  t.equal(got.truncated, false);
  t.equal(got.reply?.addresses.length, 1_000);
  t.strictSame(got.reply?.addresses.toSorted(), many.toSorted());
});

t.test('classes, transfers', async (t) => {
  const chaos = query('web');
  chaos.writeUInt16BE(3, chaos.length - 2);
  t.match(ask(chaos), { outcome: 'refusedClass', reply: { code: 5 } });
  const strange = query('web');
  strange.writeUInt16BE(4_711, strange.length - 2);
  const got = ask(strange);
  t.match(got, { outcome: 'refusedClass', reply: { code: 5 } });
  t.strictSame(got.bytes?.subarray(12, strange.length), strange.subarray(12), 'the odd class comes back');
  t.match(ask(query('web', 'AXFR')), { outcome: 'refusedTransfer', reply: { code: 5 } });
  t.match(ask(query('example.com', 'IXFR')), { outcome: 'refusedTransfer', reply: { code: 5 } });
  const any = query('web');
  any.writeUInt16BE(255, any.length - 4);
  t.strictSame(ask(any).reply?.addresses, ['10.248.0.1'], 'ANY gives the address');
  const unknownType = query('web');
  unknownType.writeUInt16BE(65_280, unknownType.length - 4);
  t.match(ask(unknownType), { outcome: 'answeredEmpty', reply: { code: 0 } });
});

t.test('a dot inside a label is not a separator', async (t) => {
  const label = Buffer.from('tasks.web');
  const bytes = Buffer.concat([
    query('.').subarray(0, 12),
    Buffer.from([label.length]),
    label,
    Buffer.from([0, 0, 1, 0, 1]),
  ]);
  t.equal(ask(bytes).kind, 'forward');
});
