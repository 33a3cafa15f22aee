import t from 'tap';
import { addresses, type NetlinkSocket, routes, rules } from '../src/index.ts';
import { addVeth, makeNamespace } from './support/namespace.ts';

function addAddresses(nl: NetlinkSocket): void {
  addVeth(nl);
  nl.requestSync(addresses.add({ link: 'v0', address: '10.0.0.1/24' }));
  nl.requestSync(addresses.add({ link: 'v0', address: 'fd00::1/64', noDad: true }));
}

t.test('routes: all that a route can have comes back', async (t) => {
  using ns = makeNamespace('routes');
  const { nl } = ns;
  addAddresses(nl);
  const v0 = nl.interfaceIndex('v0');
  const specs = [
    {
      destination: '10.1.0.0/16',
      gateway: '10.0.0.9',
      metric: 100,
      preferredSource: '10.0.0.1',
      mtu_bytes: 1300,
      protocol: 99,
    },
    { destination: '10.2.0.0/16', gateway: '172.16.0.1', link: 'v0', onlink: true },
    { destination: '10.3.0.0/16', type: 'blackhole' },
    { destination: '10.4.0.0/16', link: 'v0' },
    { destination: '10.5.0.0/16', nextHops: [{ gateway: '10.0.0.8', weight: 3 }, { gateway: '10.0.0.9' }] },
    { destination: '10.6.0.0/16', gateway: 'fd00::9', link: 'v0' },
    { destination: '10.7.0.0/16', type: 'local', link: 'lo' },
    { destination: 'default', gateway: '10.0.0.254' },
    { destination: 'fd01::/64', gateway: 'fd00::9', metric: 7 },
    { destination: 'default', family: 'inet6', link: 'v0' },
  ] as const;
  for (const spec of specs) await nl.request(routes.add(spec));
  const listed = await nl.request(routes.list({ table: 254 }));
  const find = (destination: string) => listed.find((route) => route.destination === destination);
  t.match(find('10.1.0.0/16'), {
    family: 'inet',
    gateway: '10.0.0.9',
    linkIndex: v0,
    metric: 100,
    preferredSource: '10.0.0.1',
    mtu_bytes: 1300,
    protocol: 99,
    type: 'unicast',
    table: 254,
    scope: 'global',
    onlink: false,
  });
  t.match(find('10.2.0.0/16'), { gateway: '172.16.0.1', onlink: true, protocol: 4 });
  t.match(find('10.3.0.0/16'), { type: 'blackhole' });
  t.match(find('10.4.0.0/16'), { scope: 'link', linkIndex: v0 });
  t.same(find('10.5.0.0/16')?.nextHops, [
    { gateway: '10.0.0.8', linkIndex: v0, weight: 3, onlink: false },
    { gateway: '10.0.0.9', linkIndex: v0, weight: 1, onlink: false },
  ]);
  t.match(find('10.6.0.0/16'), { family: 'inet', gateway: 'fd00::9' });
  t.match(find('10.7.0.0/16'), { type: 'local', scope: 'host' });
  t.match(find('0.0.0.0/0'), { gateway: '10.0.0.254' });
  t.match(find('fd01::/64'), { family: 'inet6', gateway: 'fd00::9', metric: 7 });
  t.match(find('::/0'), { family: 'inet6', linkIndex: v0 });

  await nl.request(routes.replace({ destination: '10.4.0.0/16', gateway: '10.0.0.7' }));
  t.equal((await nl.request(routes.get('10.4.1.1'))).gateway, '10.0.0.7');
  for (const spec of specs) await nl.request(routes.remove(spec));
  await t.rejects(nl.request(routes.remove({ destination: '10.3.0.0/16' })), { code: 'ESRCH' });
});

t.test('routes: what a packet would take, in big tables and by mark', async (t) => {
  using ns = makeNamespace('lookup');
  const { nl } = ns;
  addAddresses(nl);
  await nl.request(routes.add({ destination: 'default', gateway: '10.0.0.254' }));
  await nl.request(routes.add({ destination: '10.9.0.0/16', gateway: '10.0.0.99', table: 70_000 }));
  await nl.request(rules.add({ mark: 5, markMask: 0xff, table: 70_000, priority: 100 }));
  const plain = await nl.request(routes.get('10.9.1.1'));
  t.match(plain, {
    gateway: '10.0.0.254',
    preferredSource: '10.0.0.1',
    destination: '10.9.1.1/32',
    table: 254,
  });
  const marked = await nl.request(
    routes.get('10.9.1.1', {
      mark: 5,
      source: '10.0.0.1',
      ipProtocol: 6,
      sourcePort: 1234,
      destinationPort: 80,
    }),
  );
  t.match(marked, { gateway: '10.0.0.99', table: 70_000 });
  t.match(await nl.request(routes.get('fd00::2', { link: 'v0' })), { linkIndex: nl.interfaceIndex('v0') });
  await t.rejects(nl.request(routes.get('fdff::1')), {
    code: 'ENETUNREACH',
    message: /^get route to fdff::1/,
  });
  t.equal((await nl.request(routes.list({ table: 70_000, family: 'inet' }))).length, 1);
  t.same(
    await nl.request(routes.list({ table: 70_001, family: 'inet' })),
    [],
    'a table that does not exist is empty',
  );
  t.ok((await nl.request(routes.list({ link: 'v0', family: 'inet' }))).length >= 2);
  await t.rejects(nl.request(routes.add({ destination: 'default' })), /needs `family`/);
  await t.rejects(
    nl.request(routes.add({ destination: '10.8.0.0/16', nextHops: [{ gateway: '10.0.0.2', weight: 257 }] })),
    RangeError,
  );
});

t.test('rules: all that a rule can have comes back', async (t) => {
  using ns = makeNamespace('rules');
  const { nl } = ns;
  const specs = [
    { priority: 10, source: '10.0.0.0/8', destination: '10.1.0.0/16', table: 1000, protocol: 99 },
    { priority: 11, mark: 0x10, markMask: 0xf0, table: 7, inputLink: 'lo', invert: true },
    {
      priority: 12,
      ipProtocol: 17,
      sourcePorts: [1000, 2000],
      destinationPorts: [53, 53],
      action: 'blackhole',
    },
    { priority: 13, table: 254, suppressPrefixLength: 0 },
    { priority: 14, action: 'goto', goto: 32766 },
    { priority: 15, source: 'fd00::/8', table: 9, outputLink: 'lo' },
  ] as const;
  for (const spec of specs) await nl.request(rules.add(spec));
  const listed = await nl.request(rules.list());
  for (const spec of specs) {
    const { protocol, ...rest } = { protocol: undefined, ...spec };
    const found = listed.find((rule) => rule.priority === spec.priority);
    t.match(found, rest, `rule ${spec.priority}`);
    if (protocol !== undefined) t.equal(found?.protocol, protocol);
  }
  t.equal(listed.find((rule) => rule.priority === 15)?.family, 'inet6');
  t.equal(listed.find((rule) => rule.priority === 13)?.action, 'table');
  t.ok((await nl.request(rules.list('inet6'))).every((rule) => rule.family === 'inet6'));
  await t.rejects(nl.request(rules.add(specs[0])), { code: 'EEXIST', message: /^add rule 10 to table 1000/ });
  for (const spec of specs) await nl.request(rules.remove(spec));
  await t.rejects(nl.request(rules.remove(specs[0])), { code: 'ENOENT' });
  t.same(
    (await nl.request(rules.list('inet'))).map((rule) => rule.priority),
    [0, 32766, 32767],
  );
});
