import t from 'tap';
import { answer } from '../../../control/dns/answer.ts';
import { encodeReply, maxMessage_bytes, readQuery } from '../../../control/dns/message.ts';
import type { DnsView, PublishedPort, ServiceAddresses, TaskAddress } from '../../../control/dns/names.ts';
import { parseAddress, parsePrefix, parseReverse } from '../../../control/dns/reverse.ts';
import { opt, query, readReply, seededRandom, viewOf } from './codec.ts';

const tasks = new Map<number, TaskAddress>([
  [7, { slot: 7, address: '10.252.0.7', port: 80, eligible: true }],
  [8, { slot: 8, address: '10.249.4.2', port: 8_000, eligible: true }],
  [9, { slot: 9, address: '10.252.0.9', port: 80, eligible: false }],
]);
const ports: PublishedPort[] = [
  { published: 8_080, target: null, transport: 'tcp' },
  { published: 443, target: 8_443, transport: 'tcp' },
  { published: 53, target: null, transport: 'udp' },
];
const endpoints = ['10.252.0.7', '10.249.4.2'];
const services = new Map<string, ServiceAddresses>([
  ['web', { vip: '10.248.0.1', endpoints, ports, tasks }],
  ['bare', { vip: null, endpoints, ports, tasks }],
]);
const reverse = new Map([
  ['10.248.0.1', ['web.shoal']],
  ['10.249.4.2', ['8.tasks.web.shoal', '8.tasks.bare.shoal']],
  ['10.250.0.1', ['n1.node.shoal']],
]);
const view: DnsView = viewOf(services, {
  lookupNode: (name) => (name === 'n1' ? '10.250.0.1' : undefined),
  lookupAddress: (address) => [...reverse].find(([dotted]) => parseAddress(dotted) === address)?.[1] ?? [],
  meshPool: parsePrefix('10.248.0.0/13'),
});

function ask(name: string, type: string, known: DnsView = view, limit_bytes = maxMessage_bytes) {
  const read = readQuery(query(name, type as 'A', [opt(4_096)]));
  if (read.kind !== 'query') throw new Error(`${name} is no query`);
  const result = answer(read.packet, known, { ttl_s: 1, random: seededRandom(1), hasUpstream: true });
  if (result.kind === 'forward') return undefined;
  const encoded = encodeReply(result.packet, read, limit_bytes);
  return { ...readReply(encoded.bytes), truncated: encoded.truncated };
}

/** `forward`, a code, or what the records hold, sorted. */
function outcome(name: string, type: string): string | number | string[] {
  const reply = ask(name, type);
  if (reply === undefined) return 'forward';
  if (reply.code !== 0) return reply.code;
  const data = (reply.packet.answers ?? []).map((record) => {
    if (record.type === 'SRV') return `${record.data.target}:${record.data.port}`;
    return record.type === 'A' || record.type === 'PTR' ? record.data : record.type;
  });
  return data.toSorted();
}

t.test('names of addresses', async (t) => {
  const table: [string, string, string | number | string[]][] = [
    ['1.0.248.10.in-addr.arpa', 'PTR', ['web.shoal']],
    ['1.0.248.10.IN-ADDR.ARPA', 'PTR', ['web.shoal']],
    ['2.4.249.10.in-addr.arpa', 'PTR', ['8.tasks.bare.shoal', '8.tasks.web.shoal']],
    ['1.0.250.10.in-addr.arpa', 'PTR', ['n1.node.shoal']],
    ['1.0.248.10.in-addr.arpa', 'ANY', ['web.shoal']],
    ['1.0.248.10.in-addr.arpa', 'A', []],
    ['2.0.248.10.in-addr.arpa', 'PTR', 3],
    ['255.255.255.10.in-addr.arpa', 'PTR', 3],
    ['248.10.in-addr.arpa', 'SOA', []],
    ['0.248.10.in-addr.arpa', 'PTR', []],
    ['1.1.0.248.10.in-addr.arpa', 'PTR', 3],
    ['01.0.248.10.in-addr.arpa', 'PTR', 3],
    ['256.0.248.10.in-addr.arpa', 'PTR', 3],
    ['x.248.10.in-addr.arpa', 'PTR', 3],
    ['1.0.247.10.in-addr.arpa', 'PTR', 'forward'],
    ['1.0.0.11.in-addr.arpa', 'PTR', 'forward'],
    ['10.in-addr.arpa', 'PTR', 'forward'],
    ['x.10.in-addr.arpa', 'PTR', 'forward'],
    ['in-addr.arpa', 'NS', 'forward'],
    ['1.0.248.10.ip6.arpa', 'PTR', 'forward'],
  ];
  for (const [name, type, expected] of table) t.strictSame(outcome(name, type), expected, `${name} ${type}`);
  t.equal(ask('2.0.248.10.In-Addr.Arpa', 'PTR')?.authorities[0]?.name, '248.10.In-Addr.Arpa');
  t.equal(ask('1.0.248.10.in-addr.arpa', 'PTR', viewOf(services)), undefined, 'no pool: nothing is ours');
});

t.test('prefixes of other lengths', async (t) => {
  const parse = (name: string, pool: string) => {
    const prefix = parsePrefix(pool);
    if (prefix === undefined) throw new Error(pool);
    return parseReverse(`${name}.in-addr.arpa`, prefix);
  };
  t.match(parse('1.2.3.10', '10.0.0.0/8'), { kind: 'address', address: 0x0a03_0201, zoneLabels: 3 });
  t.match(parse('10', '10.0.0.0/8'), { kind: 'partial' });
  t.match(parse('130.2.1.192', '192.1.2.128/25'), { kind: 'address', zoneLabels: 6 });
  t.equal(parse('127.2.1.192', '192.1.2.128/25'), undefined);
  t.equal(parse('2.1.192', '192.1.2.128/25'), undefined);
  t.strictSame(
    parsePrefix('10.255.1.2/13'),
    { base: 0x0af8_0000, prefixLength: 13 },
    'host bits are cleared',
  );
  t.match(parse('4.3.2.1', '1.2.3.4/32'), { kind: 'address', address: 0x0102_0304 });
  for (const bad of ['', '10.0.0.0', '10.0.0.0/33', '10.0.0/8', '256.0.0.0/8', '010.0.0.0/8', 'fd00::/8']) {
    t.equal(parsePrefix(bad), undefined, bad);
  }
});

t.test('names of nodes', async (t) => {
  t.strictSame(outcome('n1.node.shoal', 'A'), ['10.250.0.1']);
  t.strictSame(outcome('N1.Node.Shoal', 'A'), ['10.250.0.1']);
  t.strictSame(outcome('n1.node.shoal', 'AAAA'), []);
  t.strictSame(outcome('n2.node.shoal', 'A'), 3);
  t.strictSame(outcome('a.n1.node.shoal', 'A'), 3);
  t.strictSame(outcome('node.shoal', 'A'), [], 'exists, since others lie beneath it');
  t.strictSame(outcome('n1.node', 'A'), 'forward', 'without the domain it may be anybody else');
});

t.test('published ports', async (t) => {
  const web = ['web.shoal:443', 'web.shoal:53', 'web.shoal:8080'];
  const eligible = ['7.tasks.web.shoal:80', '8.tasks.web.shoal:8000'];
  const table: [string, string, string | number | string[]][] = [
    ['_8080._tcp.web', 'SRV', ['web.shoal:8080']],
    ['_8080._TCP.Web.Shoal', 'SRV', ['web.shoal:8080']],
    ['_443._tcp.web', 'SRV', ['web.shoal:443']],
    ['_53._udp.web', 'SRV', ['web.shoal:53']],
    ['_53._tcp.web', 'SRV', 3],
    ['_1._tcp.web.shoal', 'SRV', 3],
    ['_08080._tcp.web', 'SRV', 3],
    ['_http._tcp.web', 'SRV', 3],
    ['8080._tcp.web', 'SRV', 3],
    ['_8080._tcp.web', 'A', []],
    ['_tcp.web', 'SRV', []],
    ['_tcp.web.shoal', 'SRV', []],
    ['_tcp.shoal', 'SRV', []],
    ['_web._tcp.shoal', 'SRV', ['web.shoal:443', 'web.shoal:8080']],
    ['_web._udp.shoal', 'SRV', ['web.shoal:53']],
    ['_other._tcp.shoal', 'SRV', 3],
    ['web._tcp.shoal', 'SRV', 3],
    ['web', 'SRV', web],
    ['web.shoal', 'SRV', web],
    ['tasks.web', 'SRV', eligible],
    ['tasks.web.shoal', 'SRV', eligible],
    ['_8080._tcp.bare', 'SRV', ['7.tasks.bare.shoal:80', '8.tasks.bare.shoal:8000']],
    ['_443._tcp.bare', 'SRV', ['7.tasks.bare.shoal:8443', '8.tasks.bare.shoal:8443']],
    ['_8080._tcp.other', 'SRV', 'forward'],
    ['_8080._tcp.example.com', 'SRV', 'forward'],
    ['_web._tcp', 'SRV', 'forward'],
  ];
  for (const [name, type, expected] of table) t.strictSame(outcome(name, type), expected, `${name} ${type}`);
});

t.test('names of single endpoints', async (t) => {
  t.strictSame(outcome('8.tasks.web.shoal', 'A'), ['10.249.4.2']);
  t.strictSame(outcome('8.tasks.web.shoal', 'SRV'), ['8.tasks.web.shoal:8000']);
  t.strictSame(outcome('9.tasks.web.shoal', 'A'), ['10.252.0.9'], 'well or not');
  for (const slot of ['6', '08', '0', '-8', '8e0', '1000000'])
    t.equal(outcome(`${slot}.tasks.web.shoal`, 'A'), 3);
  t.equal(outcome('8.tasks.web', 'A'), 'forward');
});

t.test('SRV comes with the addresses of its targets', async (t) => {
  const additionals = (name: string) =>
    (ask(name, 'SRV')?.packet.additionals ?? []).flatMap((record) =>
      record.type === 'A' ? [`${record.name} ${record.data}`] : [],
    );
  t.strictSame(additionals('web'), ['web.shoal 10.248.0.1'], 'once for all ports');
  t.strictSame(additionals('tasks.web').toSorted(), [
    '7.tasks.web.shoal 10.252.0.7',
    '8.tasks.web.shoal 10.249.4.2',
  ]);
  const record = ask('_8080._tcp.web', 'SRV')?.packet.answers?.[0];
  t.match(record, { type: 'SRV', ttl: 1, data: { priority: 0, weight: 1 } });
});

t.test('a thousand endpoints: SRV before addresses, and OPT always', async (t) => {
  const many = new Map(
    Array.from({ length: 1_000 }, (_, index) => {
      const slot = index + 1;
      return [
        slot,
        { slot, address: `10.252.${slot >> 8}.${slot & 255}`, port: 80, eligible: true },
      ] as const;
    }),
  );
  const big = viewOf(new Map([['big', { vip: null, endpoints: [], ports, tasks: many }]]));
  const byTcp = ask('tasks.big', 'SRV', big);
  t.equal(byTcp?.truncated, false);
  t.equal(byTcp?.packet.answers?.length, 1_000);
  t.ok(byTcp?.opt);
  const byUdp = ask('tasks.big', 'SRV', big, 1_232);
  t.equal(byUdp?.truncated, true);
  t.ok(byUdp?.opt);
  t.equal(byUdp?.packet.additionals?.length, 1, 'a cut answer has no addresses of what was cut');
});
