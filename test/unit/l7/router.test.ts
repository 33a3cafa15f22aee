import t from 'tap';
import { normaliseHost } from '../../../dataplane/l7/grammar.ts';
import { Router } from '../../../dataplane/l7/router.ts';

const http = (host: string, service: string, address: string | null = null) =>
  ({ port: 80, protocol: 'http', host, service, address }) as const;

t.test('exact, then the longest wildcard', async (t) => {
  const router = Router.compile([
    http('*.example.com', 'wild'),
    http('*.b.example.com', 'longer'),
    http('a.example.com', 'exact'),
    http('a.example.com', 'second'),
    http('Upper.Example.NET.', 'upper'),
    { port: 443, protocol: 'tls', host: 'a.example.com', service: 'tls' },
  ]);
  const expected: [host: string, service: string | null][] = [
    ['a.example.com', 'exact'],
    ['A.EXAMPLE.COM:8080', 'exact'],
    ['a.example.com.', 'exact'],
    ['a.example.com.:80', 'exact'],
    ['x.example.com', 'wild'],
    ['x.y.example.com', 'wild'],
    ['x.a.example.com', 'wild'],
    ['x.b.example.com', 'longer'],
    ['b.example.com', 'wild'],
    ['upper.example.net', 'upper'],
    ['example.com', null],
    ['.example.com', 'wild'],
    ['notexample.com', null],
    ['com', null],
    ['', null],
    ['.', null],
    [':80', null],
    ['[::1]:80', null],
    ['__proto__', null],
  ];
  for (const [host, service] of expected)
    t.equal(router.match(80, 'http', host), service, JSON.stringify(host));
  t.equal(router.match(443, 'tls', 'a.example.com'), 'tls');
  t.equal(router.match(443, 'http', 'a.example.com'), null);
  t.equal(router.match(81, 'http', 'a.example.com'), null);
});

t.test('routes of a local address go before those of any', async (t) => {
  const router = Router.compile([
    http('a.example', 'any'),
    http('a.example', 'one', '192.0.2.1'),
    http('b.example', 'b', '192.0.2.1'),
  ]);
  t.equal(router.match(80, 'http', 'a.example', '192.0.2.1'), 'one');
  t.equal(router.match(80, 'http', 'a.example', '192.0.2.2'), 'any');
  t.equal(router.match(80, 'http', 'b.example', '192.0.2.1'), 'b');
  t.equal(router.match(80, 'http', 'b.example', '192.0.2.2'), null);
});

t.test('hosts that are none are refused by name', async (t) => {
  for (const host of ['', '*', '*.', 'a b', 'a/b', 'a:80', '*.*.a', 'a.*.b', 'a..b', '-a', 'a'.repeat(254)]) {
    t.throws(() => Router.compile([http(host, 's')]), /route host/, JSON.stringify(host));
  }
});

t.test('normalising', async (t) => {
  t.equal(normaliseHost('[2001:DB8::1]:80'), '[2001:db8::1]');
  t.equal(normaliseHost('[::1]'), '[::1]');
  t.equal(normaliseHost('A.b.:80'), 'a.b');
});
