import t from 'tap';
import { formatIpv4, meshRanges, parseIpv4, parsePrefix } from '../../../dataplane/addresses.ts';
import { Random } from '../../sim/random.ts';

t.test('addresses are numbers in host order, there and back', async (t) => {
  for (const [text, value] of [
    ['0.0.0.0', 0],
    ['0.0.0.1', 1],
    ['1.2.3.4', 0x01020304],
    ['127.0.0.1', 0x7f000001],
    ['128.0.0.0', 0x80000000],
    ['255.255.255.255', 0xffffffff],
  ] as const) {
    t.equal(parseIpv4(text), value);
    t.equal(formatIpv4(value), text);
  }
  const random = new Random(1);
  for (let index = 0; index < 1000; index += 1) {
    const value = random.between(0, 0xffffffff);
    t.equal(parseIpv4(formatIpv4(value)), value);
  }
});

t.test('what is no address is named', async (t) => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.0.0.0',
    '01.2.3.4',
    '1.2.3.-4',
    ' 1.2.3.4',
    '::1',
    'a.b.c.d',
  ]) {
    t.throws(() => parseIpv4(text), { name: 'RangeError', message: `"${text}" is not an IPv4 address` });
  }
  for (const value of [-1, 0x1_0000_0000, 1.5, Number.NaN]) {
    t.throws(() => formatIpv4(value), { name: 'RangeError', message: `${value} is not an IPv4 address` });
  }
});

t.test('prefixes', async (t) => {
  t.strictSame(parsePrefix('10.248.0.0/13'), { base: 0x0af80000, length: 13 });
  t.strictSame(parsePrefix('0.0.0.0/0'), { base: 0, length: 0 });
  t.strictSame(parsePrefix('1.2.3.4/32'), { base: 0x01020304, length: 32 });
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/8.0',
    '10.0.0.0/0x8',
  ]) {
    t.throws(() => parsePrefix(text), { name: 'RangeError' }, text);
  }
  t.throws(() => parsePrefix('10.0.0.1/8'), { message: '"10.0.0.1/8" has bits set behind its /8 prefix' });
  t.throws(() => parsePrefix('1.0.0.0/0'), { message: /bits set/ });
  t.throws(() => parsePrefix('10.0/8'), { message: '"10.0" is not an IPv4 address' });
});

t.test('the ranges of a mesh pool lie in it and do not overlap', async (t) => {
  const ranges = meshRanges('10.248.0.0/13');
  t.equal(formatIpv4(ranges.vips.base), '10.248.0.0');
  t.equal(formatIpv4(ranges.networks.base), '10.249.0.0');
  t.equal(formatIpv4(ranges.nodes.base), '10.250.0.0');
  t.equal(formatIpv4(ranges.endpoints.base), '10.252.0.0');
  const pool = parsePrefix('10.248.0.0/13');
  const spans = Object.values(ranges).map(({ base, length }) => [base, base + 2 ** (32 - length)] as const);
  spans.sort(([a], [b]) => a - b);
  for (const [index, [first, end]] of spans.entries()) {
    t.ok(first >= pool.base && end <= pool.base + 2 ** 19);
    t.ok(end <= (spans[index + 1]?.[0] ?? end));
    t.equal(first % (end - first), 0, 'a range is a prefix');
  }
  t.throws(() => meshRanges('10.248.0.0/14'), { message: /must be a \/13/ });
});
