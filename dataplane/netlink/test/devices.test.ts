import t from 'tap';
import { addresses, fdb, links, neighbours, netns } from '../src/index.ts';
import { addVeth, makeNamespace } from './support/namespace.ts';

t.test('links: every kind is created, shown, changed and deleted', async (t) => {
  using ns = makeNamespace('links');
  const { nl } = ns;
  await nl.request(links.create({ kind: 'bridge', name: 'br0', up: true, stp: false, ageing_s: 30 }));
  await nl.request(
    links.create({
      kind: 'veth',
      name: 'v0',
      mac: '02:00:00:00:00:01',
      mtu_bytes: 1400,
      txQueues: 2,
      rxQueues: 2,
      peer: { name: 'v1', mac: '02:00:00:00:00:02', mtu_bytes: 1400 },
    }),
  );
  await nl.request(links.set('v1', { up: true, master: 'br0', alias: 'port of br0', txQueueLength: 77 }));
  await nl.request(links.set('v0', { up: true, noArp: true, promiscuous: true }));
  await nl.request(
    links.create({
      kind: 'vxlan',
      name: 'vx0',
      id: 4711,
      local: '10.0.0.1',
      remote: '10.0.0.2',
      port: 4790,
      link: 'v0',
      learning: true,
    }),
  );
  await nl.request(links.create({ kind: 'vxlan', name: 'vx6', id: 5, local: 'fd00::1', port: 4791 }));
  await nl.request(
    links.create({ kind: 'vxlan', name: 'vxe', external: true, port: 4792, udp6ZeroChecksumTx: true }),
  );
  const byName = new Map((await nl.request(links.list())).map((link) => [link.name, link]));
  const bridge = byName.get('br0');
  t.match(byName.get('lo'), { index: 1, loopback: true, up: true });
  t.match(bridge, { kind: 'bridge', up: true });
  t.match(byName.get('v0'), {
    kind: 'veth',
    up: true,
    noArp: true,
    promiscuous: true,
    mac: '02:00:00:00:00:01',
    mtu_bytes: 1400,
    txQueues: 2,
    rxQueues: 2,
    carrier: true,
    hardwareType: 1,
    parentIndex: byName.get('v1')?.index,
  });
  t.match(byName.get('v1'), { masterIndex: bridge?.index, alias: 'port of br0', txQueueLength: 77 });
  t.same(byName.get('vx0')?.vxlan, {
    id: 4711,
    local: '10.0.0.1',
    remote: '10.0.0.2',
    port: 4790,
    linkIndex: byName.get('v0')?.index,
    learning: true,
    external: false,
  });
  t.match(byName.get('vx6')?.vxlan, { id: 5, local: 'fd00::1', learning: false });
  t.match(byName.get('vxe')?.vxlan, { port: 4792, external: true });
  t.type(byName.get('lo')?.statistics?.rxPackets, 'bigint');

  const names = async (filter: Parameters<typeof links.list>[0]) =>
    (await nl.request(links.list(filter))).map(({ name }) => name).sort();
  t.same(await names({ kind: 'vxlan' }), ['vx0', 'vx6', 'vxe']);
  t.same(await names({ master: 'br0' }), ['v1']);

  await nl.request(
    links.setBridgePort('v1', { learning: false, isolated: true, hairpin: true, unicastFlood: false }),
  );
  t.same((await nl.request(links.get('v1'))).bridgePort, {
    learning: false,
    unicastFlood: false,
    hairpin: true,
    isolated: true,
    neighbourSuppress: false,
  });
  await nl.request(links.set('v1', { master: null, name: 'w1', mac: '02:00:00:00:00:03' }));
  const renamed = await nl.request(links.get('w1'));
  t.equal(renamed.masterIndex, undefined);
  t.equal(renamed.mac, '02:00:00:00:00:03');
  await nl.request(links.set('v0', { up: false, noArp: false }));
  t.match(await nl.request(links.get('v0')), { up: false, noArp: false, promiscuous: true });
  for (const name of ['vx0', 'vx6', 'vxe', 'br0', 'v0']) await nl.request(links.remove(name));
  t.same(await names({}), ['lo'], 'a veth goes with its other end');
});

t.test('links: what not every kernel has is made, or refused in words', async (t) => {
  using ns = makeNamespace('optional');
  addVeth(ns.nl);
  const optional = [
    { kind: 'dummy', name: 'd0' },
    { kind: 'vlan', name: 'v0.7', link: 'v0', id: 7 },
    { kind: 'bridge', name: 'br0', vlanFiltering: true },
  ] as const;
  for (const spec of optional) {
    const outcome = await ns.nl.request(links.create(spec)).then(
      () => ns.nl.requestSync(links.get(spec.name)).kind,
      (error: Error) => error.message,
    );
    if (outcome !== spec.kind) t.match(outcome, new RegExp(`^create link ${spec.name}: EOPNOTSUPP`));
    else t.equal(outcome, spec.kind);
  }
});

t.test('links: bad names are refused before the kernel sees them', async (t) => {
  using ns = makeNamespace('names');
  for (const name of ['', 'a/b', 'a b', 'sixteen-bytes-ab']) {
    await t.rejects(ns.nl.request(links.create({ kind: 'bridge', name })), RangeError, name);
  }
});

t.test('links: one end of a veth in another namespace', async (t) => {
  using a = makeNamespace('left');
  using b = makeNamespace('right');
  using target = netns.open(b.name);
  await a.nl.request(
    links.create({ kind: 'veth', name: 'v0', up: true, peer: { name: 'eth0', netns: target } }),
  );
  await b.nl.request(links.set('eth0', { up: true }));
  t.equal((await b.nl.request(links.get('eth0'))).kind, 'veth');
  t.type((await a.nl.request(links.get('v0'))).parentNetnsId, 'number');
  await a.nl.request(links.create({ kind: 'bridge', name: 'br0' }));
  await a.nl.request(links.create({ kind: 'bridge', name: 'br1', netns: target }));
  t.equal((await b.nl.request(links.get('br1'))).kind, 'bridge');
  await t.rejects(a.nl.request(links.get('br1')), { code: 'ENODEV' });
  await a.nl.request(links.create({ kind: 'veth', name: 'x0', peer: { name: 'x1' } }));
  await a.nl.request(links.set('x1', { netns: target, name: 'moved' }));
  t.equal((await b.nl.request(links.get('moved'))).kind, 'veth');
});

t.test('addresses: both families are added, listed, replaced and removed', async (t) => {
  using ns = makeNamespace('addresses');
  const { nl } = ns;
  addVeth(nl);
  await nl.request(
    addresses.add({ link: 'v0', address: '10.0.0.1/24', broadcast: '10.0.0.255', label: 'v0:a' }),
  );
  await nl.request(addresses.add({ link: 'v0', address: '10.1.0.1', peer: '10.1.0.2', scope: 'link' }));
  await nl.request(addresses.add({ link: 'v0', address: 'fd00::1/64', noDad: true, noPrefixRoute: true }));
  await t.rejects(nl.request(addresses.add({ link: 'v0', address: '10.0.0.1/24' })), {
    code: 'EEXIST',
    message: /^add address 10\.0\.0\.1\/24 on v0: EEXIST/,
  });
  const v4 = await nl.request(addresses.list({ link: 'v0', family: 'inet' }));
  const find = (address: string) => v4.find((entry) => entry.address === address);
  t.match(find('10.0.0.1'), {
    prefixLength: 24,
    broadcast: '10.0.0.255',
    label: 'v0:a',
    scope: 'global',
    permanent: true,
  });
  t.match(find('10.1.0.1'), { prefixLength: 32, peer: '10.1.0.2', scope: 'link' });
  const v6 = await nl.request(addresses.list({ link: 'v0', family: 'inet6' }));
  t.match(
    v6.find(({ address }) => address === 'fd00::1'),
    { prefixLength: 64, tentative: false, permanent: true },
  );
  await nl.request(
    addresses.replace({
      link: 'v0',
      address: 'fd00::1/64',
      noDad: true,
      validLifetime_s: 3600,
      preferredLifetime_s: 1800,
    }),
  );
  const limited = (await nl.request(addresses.list({ link: 'v0', family: 'inet6' }))).find(
    (a) => a.address === 'fd00::1',
  );
  t.ok(limited?.validLifetime_s !== undefined && limited.validLifetime_s <= 3600);
  t.equal(limited?.permanent, false);
  t.ok((await nl.request(addresses.list())).some(({ address }) => address === '127.0.0.1'));
  await nl.request(addresses.remove({ link: 'v0', address: '10.0.0.1/24' }));
  await t.rejects(nl.request(addresses.remove({ link: 'v0', address: '10.0.0.1/24' })), {
    code: 'EADDRNOTAVAIL',
  });
  t.equal((await nl.request(addresses.list({ link: 'v0', family: 'inet' }))).length, 1);
});

t.test('neighbours: permanent, managed and proxied ones', async (t) => {
  using ns = makeNamespace('neighbours');
  const { nl } = ns;
  addVeth(nl);
  await nl.request(addresses.add({ link: 'v0', address: '10.0.0.1/24' }));
  await nl.request(neighbours.add({ link: 'v0', address: '10.0.0.9', mac: '02:00:00:00:00:09' }));
  await nl.request(
    neighbours.add({ link: 'v0', address: 'fd00::9', mac: '02:00:00:00:00:09', router: true }),
  );
  await nl.request(
    neighbours.replace({ link: 'v0', address: '10.0.0.8', managed: true, externallyLearned: true }),
  );
  t.match(await nl.request(neighbours.get({ link: 'v0', address: '10.0.0.9' })), {
    mac: '02:00:00:00:00:09',
    state: 'permanent',
    managed: false,
  });
  t.match(await nl.request(neighbours.get({ link: 'v0', address: 'fd00::9' })), {
    router: true,
    family: 'inet6',
  });
  t.match(await nl.request(neighbours.get({ link: 'v0', address: '10.0.0.8' })), {
    managed: true,
    externallyLearned: true,
  });
  await nl.request(
    neighbours.replace({ link: 'v0', address: '10.0.0.9', mac: '02:00:00:00:00:0a', state: 'stale' }),
  );
  const listed = await nl.request(neighbours.list({ link: 'v0', family: 'inet' }));
  t.match(
    listed.find(({ address }) => address === '10.0.0.9'),
    { mac: '02:00:00:00:00:0a', state: 'stale' },
  );
  t.equal(listed.length, 2);
  t.same(await nl.request(neighbours.list({ link: 'v1', family: 'inet' })), []);
  await nl.request(neighbours.add({ link: 'v0', address: '10.0.0.77', proxy: true }));
  t.match(await nl.request(neighbours.get({ link: 'v0', address: '10.0.0.77', proxy: true })), {
    proxy: true,
  });
  await nl.request(neighbours.remove({ link: 'v0', address: '10.0.0.77', proxy: true }));
  await nl.request(neighbours.remove({ link: 'v0', address: '10.0.0.9' }));
  await t.rejects(nl.request(neighbours.get({ link: 'v0', address: '10.0.0.9' })), { code: 'ENOENT' });
});

t.test('fdb: entries of a VXLAN device and of a bridge', async (t) => {
  using ns = makeNamespace('fdb');
  const { nl } = ns;
  addVeth(nl);
  await nl.request(
    links.create({ kind: 'vxlan', name: 'vx0', id: 42, port: 4790, local: '127.0.0.1', up: true }),
  );
  await nl.request(links.create({ kind: 'bridge', name: 'br0', up: true }));
  await nl.request(links.set('v1', { master: 'br0' }));
  const mac = '02:00:00:00:00:77';
  await nl.request(
    fdb.add({ link: 'vx0', mac, destination: '10.0.0.9', vni: 43, port: 5000, viaLink: 'lo' }),
  );
  await t.rejects(nl.request(fdb.add({ link: 'vx0', mac, destination: '10.0.0.8' })), { code: 'EEXIST' });
  const flood = '00:00:00:00:00:00';
  await nl.request(fdb.append({ link: 'vx0', mac: flood, destination: '10.0.0.1' }));
  await nl.request(fdb.append({ link: 'vx0', mac: flood, destination: '10.0.0.2' }));
  await nl.request(fdb.add({ link: 'v1', mac, target: 'master', state: 'static' }));
  const vxlan = await nl.request(fdb.list({ link: 'vx0' }));
  t.match(
    vxlan.find((entry) => entry.mac === mac),
    { destination: '10.0.0.9', vni: 43, port: 5000, viaLinkIndex: 1, self: true, permanent: true },
  );
  t.same(
    vxlan.filter((entry) => entry.mac === flood).map(({ destination }) => destination),
    ['10.0.0.1', '10.0.0.2'],
  );
  const bridged = await nl.request(fdb.list({ bridge: 'br0' }));
  t.match(
    bridged.find((entry) => entry.mac === mac),
    { master: true, permanent: false, masterIndex: nl.interfaceIndex('br0') },
  );
  await nl.request(fdb.replace({ link: 'vx0', mac, destination: '10.0.0.7' }));
  t.equal(
    (await nl.request(fdb.list({ link: 'vx0' }))).find((entry) => entry.mac === mac)?.destination,
    '10.0.0.7',
  );
  await nl.request(fdb.remove({ link: 'vx0', mac }));
  t.notOk((await nl.request(fdb.list({ link: 'vx0' }))).some((entry) => entry.mac === mac));
});
