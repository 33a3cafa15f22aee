import t from 'tap';
import {
  addresses,
  fdb,
  links,
  type NetlinkEvent,
  neighbours,
  routes,
  rules,
  subscribe,
  unwrapBatch,
} from '../src/index.ts';
import { addVeth, makeNamespace } from './support/namespace.ts';

/** Reads events until one passes. Bounded by the test's own time limit. @returns that one */
async function until(
  stream: AsyncIterator<NetlinkEvent, undefined>,
  passes: (event: NetlinkEvent) => boolean,
): Promise<NetlinkEvent> {
  for (let count = 0; count < 10_000; count++) {
    const { value } = await stream.next();
    if (value === undefined) throw new Error('the stream ended');
    if (passes(value)) return value;
  }
  throw new Error('10,000 events, and not the one');
}

t.test('changes of every kind are told', async (t) => {
  using ns = makeNamespace('events');
  const { nl } = ns;
  using stream = subscribe(['link', 'address', 'route', 'neighbour', 'rule'], { netns: ns.name });
  addVeth(nl);
  const v0 = nl.interfaceIndex('v0');
  t.match(await until(stream, (e) => e.type === 'link' && e.link.name === 'v0' && e.link.running), {
    action: 'new',
    link: { index: v0, kind: 'veth', up: true },
  });
  await nl.request(addresses.add({ link: 'v0', address: '10.0.0.1/24' }));
  t.match(await until(stream, (e) => e.type === 'address' && e.address.family === 'inet'), {
    action: 'new',
    address: { address: '10.0.0.1', prefixLength: 24, linkIndex: v0 },
  });
  await nl.request(routes.add({ destination: '10.9.0.0/16', gateway: '10.0.0.9' }));
  t.match(await until(stream, (e) => e.type === 'route' && e.route.destination === '10.9.0.0/16'), {
    action: 'new',
    route: { gateway: '10.0.0.9' },
  });
  await nl.request(routes.remove({ destination: '10.9.0.0/16' }));
  t.match(await until(stream, (e) => e.type === 'route' && e.route.destination === '10.9.0.0/16'), {
    action: 'delete',
  });
  await nl.request(neighbours.add({ link: 'v0', address: '10.0.0.9', mac: '02:00:00:00:00:09' }));
  t.match(await until(stream, (e) => e.type === 'neighbour' && e.neighbour.address === '10.0.0.9'), {
    action: 'new',
    neighbour: { mac: '02:00:00:00:00:09', state: 'permanent' },
  });
  await nl.request(links.create({ kind: 'vxlan', name: 'vx0', id: 5, port: 4790 }));
  await nl.request(fdb.append({ link: 'vx0', mac: '02:00:00:00:00:77', destination: '10.0.0.9' }));
  t.match(await until(stream, (e) => e.type === 'fdb' && e.entry.mac === '02:00:00:00:00:77'), {
    action: 'new',
    entry: { destination: '10.0.0.9' },
  });
  await nl.request(rules.add({ priority: 77, table: 7 }));
  t.match(await until(stream, (e) => e.type === 'rule'), { action: 'new', rule: { priority: 77, table: 7 } });
  await nl.request(links.remove('v0'));
  t.match(await until(stream, (e) => e.type === 'link' && e.action === 'delete' && e.link.name === 'v0'), {
    link: { index: v0 },
  });
  t.equal(stream.overruns, 0);
});

t.test('groups that were not asked for are not told', async (t) => {
  using ns = makeNamespace('groups');
  using stream = subscribe(['rule'], { netns: ns.name });
  addVeth(ns.nl);
  await ns.nl.request(rules.add({ priority: 77, table: 7 }));
  t.match((await stream.next()).value, { type: 'rule' });
});

t.test('a port that leaves its bridge is not a link that is gone', async (t) => {
  using ns = makeNamespace('port');
  addVeth(ns.nl);
  await ns.nl.request(links.create({ kind: 'bridge', name: 'br0' }));
  await ns.nl.request(links.set('v0', { master: 'br0' }));
  using stream = subscribe(['link'], { netns: ns.name });
  await ns.nl.request(links.set('v0', { master: null }));
  await ns.nl.request(links.set('v0', { alias: 'last' }));
  const seen: NetlinkEvent[] = [];
  await until(stream, (event) => {
    seen.push(event);
    return event.type === 'link' && event.link.alias === 'last';
  });
  t.notOk(seen.some((event) => event.type === 'link' && event.action === 'delete'));
});

const manyRoutes = Array.from({ length: 2000 }, (_, index) => ({
  destination: `10.${index >> 8}.${index & 255}.0/24`,
  link: 'v0',
  table: 1000,
}));

t.test('a full buffer in the kernel is told as one overrun, and what follows is told again', async (t) => {
  using ns = makeNamespace('enobufs');
  addVeth(ns.nl);
  using stream = subscribe(['route', 'rule'], { netns: ns.name, receiveBuffer_bytes: 8192 });
  // Without a turn of the event loop in between, nobody fetches the events.
  for (const spec of manyRoutes.slice(0, 300)) ns.nl.requestSync(routes.add(spec));
  await until(stream, (event) => event.type === 'overrun');
  t.equal(stream.overruns, 1);
  ns.nl.requestSync(rules.add({ priority: 77, table: 7 }));
  t.match(await until(stream, (event) => event.type === 'rule'), { rule: { priority: 77 } });
  t.equal(stream.overruns, 1);
});

t.test('a reader that is too slow gets one overrun in the place of what it missed', async (t) => {
  using ns = makeNamespace('queue');
  addVeth(ns.nl);
  using stream = subscribe(['route', 'rule'], { netns: ns.name, queueLimit: 10_000 });
  using slow = subscribe(['route', 'rule'], { netns: ns.name, queueLimit: 100 });
  unwrapBatch(await ns.nl.batch(manyRoutes.map(routes.add)));
  await ns.nl.request(rules.add({ priority: 77, table: 7 }));
  const told = new Set<string>();
  await until(stream, (event) => {
    if (event.type === 'route' && event.route.table === 1000) told.add(event.route.destination);
    return event.type === 'rule';
  });
  t.equal(told.size, 2000);
  t.equal(stream.overruns, 0);
  for (let turn = 0; turn < 10_000 && slow.overruns === 0; turn++) await new Promise(setImmediate);
  t.match((await slow.next()).value, { type: 'overrun' }, 'the loss is the first thing told');
  await until(slow, (event) => event.type === 'rule');
  t.throws(() => subscribe(['link'], { queueLimit: 0 }), RangeError);
});

t.test('a stream ends when it is closed, for a reader that waits too', async (t) => {
  using ns = makeNamespace('close');
  const stream = subscribe(['link'], { netns: ns.name });
  const waiting = stream.next();
  await t.rejects(stream.next(), /one reader only/);
  stream.close();
  stream.close();
  t.same(await waiting, { done: true, value: undefined });
  t.same(await stream.next(), { done: true, value: undefined });
  const other = subscribe(['link'], { netns: ns.name });
  ns.nl.requestSync(links.set('lo', { alias: 'x' }));
  for await (const event of other) {
    t.equal(event.type, 'link');
    break;
  }
  t.match(await other.next(), { done: true }, 'leaving the loop closes it');
});
