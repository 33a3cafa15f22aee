/** Every form that a value can have on the command line, and every form that it cannot. */
import t, { type Test } from 'tap';
import { Compile } from 'typebox/compile';
import { isAddress, parseAddress, parseCidr, parseHostPort } from '../../../control/cli/parse/address.ts';
import {
  parseCheck,
  parseCheckCount,
  parseCheckInterval_ms,
  parseCheckTimeout_ms,
} from '../../../control/cli/parse/check.ts';
import { formatDuration, parseDuration_ms } from '../../../control/cli/parse/duration.ts';
import { isName, parseName, parseReference, parseRole, parseToken } from '../../../control/cli/parse/name.ts';
import { parseNetns, parsePid } from '../../../control/cli/parse/netns.ts';
import { parseInteger, parsePort } from '../../../control/cli/parse/number.ts';
import {
  parseEndpoint,
  parseEndpointReference,
  parseHost,
  parsePublish,
  parseVip,
} from '../../../control/cli/parse/publish.ts';
import { UsageError } from '../../../control/cli/usage-error.ts';
import { Address, Name } from '../../../control/store/objects.ts';

type Parse = (flag: string, value: string) => unknown;

/** Each of `values` is refused with an error that names flag and value, and matches the pattern if there is one. */
function refuses(t: Test, parse: Parse, values: (string | [string, RegExp])[]): void {
  for (const entry of values) {
    const [value, pattern] = typeof entry === 'string' ? [entry, /expected/] : entry;
    let thrown: unknown;
    try {
      parse('--flag', value);
    } catch (error) {
      thrown = error;
    }
    t.ok(thrown instanceof UsageError, `${JSON.stringify(value)} is refused`);
    const { message = '' } = (thrown ?? {}) as { message?: string };
    t.ok(message.startsWith(`--flag "${value}": `), message);
    t.match(message, pattern);
  }
}

/** Each value gives what stands beside it. */
function takes(t: Test, parse: Parse, cases: [string, unknown][]): void {
  for (const [value, expected] of cases)
    t.strictSame(parse('--flag', value), expected, JSON.stringify(value));
}

const publish = (published: number, rest: object = {}) => ({
  address: null,
  published,
  target: null,
  protocol: 'tcp',
  ...rest,
});

t.test('--publish', async (t) => {
  takes(t, parsePublish, [
    ['80', publish(80)],
    ['1', publish(1)],
    ['65535', publish(65_535)],
    ['8080:80', publish(8_080, { target: 80 })],
    ['53/udp', publish(53, { protocol: 'udp' })],
    ['80/tcp', publish(80)],
    ['80:8080/http', publish(80, { target: 8_080, protocol: 'http' })],
    ['443/tls', publish(443, { protocol: 'tls' })],
    ['192.0.2.1:80', publish(80, { address: '192.0.2.1' })],
    ['192.0.2.1:80:8080', publish(80, { address: '192.0.2.1', target: 8_080 })],
    ['192.0.2.1:80:8080/udp', publish(80, { address: '192.0.2.1', target: 8_080, protocol: 'udp' })],
    ['0.0.0.0:80', publish(80)],
    ['10.0.0.255:443/tls', publish(443, { address: '10.0.0.255', protocol: 'tls' })],
  ]);
  refuses(t, parsePublish, [
    '',
    ':',
    '/',
    '/tcp',
    ['0', /"0" is not a port/],
    ['65536', /"65536" is not a port/],
    ['080', /"080" is not a port/],
    ['http', /"http" is not a port/],
    '-1',
    '+1',
    '1e3',
    '0x50',
    ' 80',
    '80 ',
    ['80:', /a port is missing/],
    [':80', /a port is missing/],
    ['8000-8010', /"8000-8010" is not a port/],
    '1:2:3',
    ['80/sctp', /"sctp" is not a protocol/],
    ['80/TCP', /"TCP" is not a protocol/],
    ['80/', /"" is not a protocol/],
    '80/tcp/udp',
    ['192.0.2.1', /the port is missing/],
    ['192.0.2.256:80', /"192\.0\.2\.256" is not an IPv4 address/],
    ['192.0.2:80', /is not an IPv4 address/],
    ['1.2:3', /is not an IPv4 address/],
    ['224.0.0.1:80', /no host can have the address/],
    '192.0.2.1:80:8080:1',
    ['[::1]:80', /IPv6 is not supported yet/],
    ['2001:db8::1:80', /IPv6 is not supported yet/],
    ['published=80,target=80', /is not a port/],
    '８０',
  ]);
});

t.test('--endpoint', async (t) => {
  takes(t, parseEndpoint, [
    ['10.0.0.5:80', { address: '10.0.0.5', port: 80, node: null }],
    ['127.0.0.1:8080@edge-1', { address: '127.0.0.1', port: 8_080, node: 'edge-1' }],
    ['10.0.0.5:80@ABC123', { address: '10.0.0.5', port: 80, node: 'ABC123' }],
  ]);
  refuses(t, parseEndpoint, [
    '',
    ['10.0.0.5', /the port is missing/],
    ['10.0.0.5:', /"" is not a port/],
    ['10.0.0.5:0', /"0" is not a port/],
    ['10.0.0.5:80@', /"" is not a node's name or id/],
    ['10.0.0.5:80@a b', /"a b" is not a node's name/],
    '10.0.0.5:80@a@b',
    '10.0.0.5:80:81',
    ['app:80', /"app" is not an IPv4 address/],
    ['0.0.0.0:80@edge-1', /no host can have/],
    ['255.255.255.255:80', /no host can have/],
    ['127.0.0.1:80', /name the node it is on/],
    ['[::1]:80@edge-1', /IPv6/],
  ]);
  takes(t, parseEndpointReference, [
    ['10.0.0.5:80', { address: '10.0.0.5', port: 80 }],
    ['127.0.0.1:80', { address: '127.0.0.1', port: 80 }],
    ['127.0.0.1:80@edge-1', { address: '127.0.0.1', port: 80, node: 'edge-1' }],
  ]);
  refuses(t, parseEndpointReference, ['', '10.0.0.5', '10.0.0.5:80@', '10.0.0.5:80@a@b']);
});

t.test('--vip', async (t) => {
  takes(t, parseVip, [
    ['auto', 'auto'],
    ['none', null],
    ['192.0.2.7', '192.0.2.7'],
  ]);
  refuses(t, parseVip, [
    '',
    'yes',
    'AUTO',
    '192.0.2.7/24',
    ['::1', /IPv6/],
    ['0.0.0.0', /no host/],
    '239.1.1.1',
  ]);
});

t.test('--host', async (t) => {
  takes(t, parseHost, [
    ['app.example.com', 'app.example.com'],
    ['App.Example.COM.', 'app.example.com'],
    ['*.example.com', '*.example.com'],
    ['localhost', 'localhost'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['1.example', '1.example'],
    [`${'a'.repeat(63)}.b`, `${'a'.repeat(63)}.b`],
  ]);
  refuses(t, parseHost, [
    ['', /a label is empty/],
    '.',
    ['a..b', /a label is empty/],
    ['*', /at least two labels/],
    ['*.com', /at least two labels/],
    ['a.*.com', /whole first label/],
    ['a*.example.com', /whole first label/],
    ['*.*.example.com', /whole first label/],
    ['http://a.b', /scheme/],
    ['a.b/c', /path/],
    ['a.b:80', /port/],
    ['10.0.0.1', /address/],
    ['a.1', /last label is a number/],
    ['bücher.example', /ASCII form/],
    ['a_b.example', /"a_b" is not a label/],
    '-a.example',
    'a-.example',
    `${'a'.repeat(64)}.b`,
    [`${'a.'.repeat(127)}bc`, /longer than 253/],
    'a b',
  ]);
});

t.test('--check and its times', async (t) => {
  takes(t, parseCheck, [
    ['tcp', { kind: 'tcp' }],
    ['none', { kind: 'none' }],
    ['http', { kind: 'http', path: '/' }],
    ['http:/healthz', { kind: 'http', path: '/healthz' }],
    ['http:/a?b=c:d', { kind: 'http', path: '/a?b=c:d' }],
  ]);
  refuses(t, parseCheck, [
    '',
    'https',
    'HTTP',
    'tcp:80',
    ['http:', /begins with \//],
    ['http:healthz', /begins with \//],
    ['http://10.0.0.1/', /not a URL/],
    ['http:/a b', /percent-encoded/],
    ['http:/a\r\nX: y', /percent-encoded/],
    ['http:/ä', /percent-encoded/],
  ]);
  t.throws(() => parseCheck('--check', `http:/${'a'.repeat(1_024)}`), { message: /longer than 1024/ });
  t.equal(parseCheckInterval_ms('--i', '50ms'), 50);
  t.equal(parseCheckInterval_ms('--i', '1h'), 3_600_000);
  refuses(t, parseCheckInterval_ms, ['49ms', '61m', ['200', /it has no unit/]]);
  t.equal(parseCheckTimeout_ms('--t', '10ms'), 10);
  refuses(t, parseCheckTimeout_ms, ['9ms', '61s', '']);
  t.equal(parseCheckCount('--n', '100'), 100);
  refuses(t, parseCheckCount, ['0', '101', '1.5', '-1', '']);
});

t.test('durations', async (t) => {
  const parse = (flag: string, value: string) => parseDuration_ms(flag, value, 0, 1e12);
  takes(t, parse, [
    ['0s', 0],
    ['200ms', 200],
    ['1s', 1_000],
    ['1.5s', 1_500],
    ['0.5ms', 1],
    ['5m', 300_000],
    ['1m30s', 90_000],
    ['1h2m3s4ms', 3_723_004],
    ['2h', 7_200_000],
  ]);
  refuses(t, parse, [
    '',
    '1',
    '1.5',
    's',
    'ms',
    '1d',
    '1 s',
    '1s1m',
    '1s1s',
    '-1s',
    '.5s',
    '1.s',
    '1S',
    '1e3ms',
    'infinity',
  ]);
  for (const [duration_ms, text] of [
    [0, '0ms'],
    [200, '200ms'],
    [1_000, '1s'],
    [1_500, '1.5s'],
    [1_234, '1234ms'],
    [61_000, '61s'],
    [90_000, '1.5m'],
    [3_600_000, '1h'],
  ] as const) {
    t.equal(formatDuration(duration_ms), text);
    t.equal(parse('--flag', text), duration_ms, `${text} reads back`);
  }
});

t.test('addresses, HOST:PORT and ranges', async (t) => {
  takes(t, parseAddress, [
    ['1.2.3.4', '1.2.3.4'],
    ['223.255.255.255', '223.255.255.255'],
  ]);
  refuses(t, parseAddress, [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '1.2.3.256',
    '0.1.2.3',
    '224.0.0.1',
    'a.b.c.d',
    ' 1.2.3.4',
    ['fe80::1', /IPv6/],
  ]);
  takes(t, parseHostPort, [
    ['192.0.2.1:2377', { host: '192.0.2.1', port: 2_377 }],
    ['192.0.2.1', { host: '192.0.2.1', port: 2_377 }],
    ['edge-1.example.com:99', { host: 'edge-1.example.com', port: 99 }],
    ['edge', { host: 'edge', port: 2_377 }],
  ]);
  refuses(t, parseHostPort, [
    '',
    ':2377',
    ['edge:', /"" is not a port/],
    ['edge:0', /"0" is not a port/],
    ['edge:99999', /"99999" is not a port/],
    ['300.0.0.1:2377', /neither an address nor a host name/],
    ['1.2.3:2377', /neither an address nor a host name/],
    'a:1:2',
    'a b:1',
    'http://a:1',
    '-a:1',
    ['[::1]:2377', /IPv6/],
  ]);
  takes(t, parseCidr, [
    ['10.248.0.0/13', '10.248.0.0/13'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['192.0.2.1/32', '192.0.2.1/32'],
  ]);
  refuses(t, parseCidr, [
    '',
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    ['10.249.0.0/13', /the range that holds it begins at 10\.248\.0\.0\/13/],
    ['2001:db8::/32', /IPv6/],
  ]);
  t.throws(() => parseCidr('--mesh-pool', '10.0.0.0/8', 13), { message: /the range must be a \/13/ });
});

t.test('names, references, roles, tokens', async (t) => {
  takes(t, parseName, [
    ['a', 'a'],
    ['web-1', 'web-1'],
    ['a'.repeat(63), 'a'.repeat(63)],
  ]);
  refuses(t, parseName, [
    '',
    '-a',
    'a-',
    'a.b',
    'a_b',
    'a'.repeat(64),
    ['Web', /write it in lower case: web/],
    'ä',
    'a\n',
  ]);
  takes(t, parseReference, [
    ['web', 'web'],
    ['0A-9', '0A-9'],
  ]);
  refuses(t, parseReference, ['', 'a b', '../x', 'a/b', '-a', 'a?']);
  takes(t, parseRole, [
    ['manager', 'manager'],
    ['worker', 'worker'],
  ]);
  refuses(t, parseRole, ['', 'Manager', 'boss']);
  const token = `SHTKN-1-${'0'.repeat(50)}-${'z'.repeat(25)}`;
  t.equal(parseToken('--token', token), token);
  for (const wrong of ['', 'x', `${token}z`, token.toLowerCase(), token.slice(1), ` ${token}`]) {
    t.throws(() => parseToken('--token', wrong), {
      name: 'UsageError',
      message: /^--token ".*expected a token as/,
    });
  }
  t.throws(() => parseToken('--token', 'SWMTKN-1-abc-def'), { message: /Docker Swarm/ });
  t.throws(
    () => parseToken('--token', `${token}SECRET`),
    { message: /^--token "SHTKN-1-0000…"/ },
    'an error shows no more of a secret than its beginning',
  );
});

t.test('namespaces, processes, numbers', async (t) => {
  takes(t, parseNetns, [
    ['/run/netns/app', '/run/netns/app'],
    ['/proc/42/ns/net', '/proc/42/ns/net'],
    ['app', '/run/netns/app'],
  ]);
  refuses(t, parseNetns, ['', '/', 'a/b', '/a/../b', '/a/', '..', '.', '/a\0b', `/${'a'.repeat(1_024)}`]);
  t.equal(parsePid('--pid', '1'), 1);
  refuses(t, parsePid, ['0', '-1', '4194305', '1.0', '', 'self']);
  t.equal(parsePort('--port', '80'), 80);
  refuses(t, parsePort, ['0', '65536', '', 'http', '1.5', '08']);
  t.equal(parseInteger('--n', '007', 0, 10), 7);
  refuses(t, (flag, value) => parseInteger(flag, value, 0, 10), ['11', '9999999999999999', '1e1', '']);
});

t.test('the command line takes what the store takes', async (t) => {
  const names = Compile(Name);
  const addresses = Compile(Address);
  for (const text of [
    'a',
    'a-',
    '-a',
    'a1',
    'A',
    'a.b',
    '',
    'x'.repeat(63),
    'x'.repeat(64),
    'a--b',
    'a b',
    '9',
  ]) {
    t.equal(isName(text), names.Check(text), `name ${JSON.stringify(text)}`);
  }
  for (const text of [
    '1.2.3.4',
    '255.255.255.255',
    '256.1.1.1',
    '1.2.3',
    '01.2.3.4',
    '',
    '1.2.3.4 ',
    '::1',
  ]) {
    t.equal(isAddress(text), addresses.Check(text), `address ${JSON.stringify(text)}`);
  }
});
