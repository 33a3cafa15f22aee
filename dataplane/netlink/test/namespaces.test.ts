import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import {
  ethtool,
  links,
  NetlinkSocket,
  netns,
  openListener,
  prepareThreads,
  routes,
  sysctl,
} from '../src/index.ts';
import { addVeth, makeNamespace } from './support/namespace.ts';

const here = () => readlinkSync('/proc/thread-self/ns/net');

t.test('a bracket enters a namespace and leaves it, also when the function throws', async (t) => {
  await prepareThreads();
  using ns = makeNamespace('bracket');
  using other = makeNamespace('nested');
  const home = here();
  const inside = netns.inside(ns.name, here);
  t.not(inside, home);
  t.equal(here(), home);
  t.throws(
    () =>
      netns.inside(ns.name, () => {
        throw new Error('within');
      }),
    /within/,
  );
  t.equal(here(), home);
  netns.inside(ns.name, () => {
    t.not(netns.inside(other.name, here), inside);
    t.equal(here(), inside, 'a nested bracket returns to the outer one');
  });
  t.equal(here(), home);
  t.throws(() => netns.inside(ns.name, async () => 1), /takes a synchronous function/);
  t.throws(() => netns.inside('shoal-netlink-none', here), { code: 'ENOENT' });
  t.throws(() => netns.inside('', here), TypeError);
  t.equal(here(), home);
});

t.test('references: name, path, descriptor, handle and process', async (t) => {
  using ns = makeNamespace('references');
  using handle = netns.open(ns.name);
  const expected = netns.inside(ns.name, here);
  for (const ref of [netns.path(ns.name), handle.fd, handle]) t.equal(netns.inside(ref, here), expected);
  using own = netns.ofPid(process.pid);
  t.equal(netns.inside(own, here), here());
  using current = netns.inside(ns.name, () => netns.current());
  t.equal(netns.inside(current, here), expected);
  t.throws(() => netns.open('shoal-netlink-none'), { code: 'ENOENT' });
});

t.test('named namespaces are made as iproute2 makes them, and removed', async (t) => {
  const name = `shoal-netlink-${process.pid}-named`;
  t.equal(netns.create(name), `/run/netns/${name}`);
  t.teardown(() => netns.remove(name));
  t.ok(netns.exists(name));
  t.ok(netns.list().includes(name));
  t.throws(() => netns.create(name), { code: 'EEXIST' });
  t.throws(() => netns.create('a/b'), TypeError);
  using nl = NetlinkSocket.open({ netns: name });
  t.same(
    (await nl.request(links.list())).map((link) => [link.name, link.up]),
    [['lo', false]],
  );
  netns.remove(name);
  netns.remove(name);
  t.notOk(netns.exists(name));
  t.equal((await nl.request(links.get('lo'))).index, 1, 'a socket in it keeps it alive');
});

t.test('an anonymous namespace lives as long as its handle', async (t) => {
  using handle = netns.createAnonymous();
  using nl = NetlinkSocket.open({ netns: handle });
  t.equal((await nl.request(links.list())).length, 1);
  t.not(netns.inside(handle, here), here());
});

t.test('threads of the pool stay outside, even when the first use of it is within a bracket', async (t) => {
  const program = `
    import { readdirSync, readlinkSync, promises } from 'node:fs';
    const { netns } = await import(${JSON.stringify(new URL('../src/index.ts', import.meta.url).href)});
    using ns = netns.createAnonymous();
    netns.inside(ns, () => { for (let i = 0; i < 8; i++) promises.readFile('/proc/self/stat'); });
    const all = readdirSync('/proc/self/task').map((task) => readlinkSync('/proc/self/task/' + task + '/ns/net'));
    console.log(new Set(all).size);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  t.equal(output.trim(), '1');
});

t.test('a process that cannot leave a namespace is aborted, and says why', async (t) => {
  const program = `
    import { closeSync, readdirSync, readlinkSync } from 'node:fs';
    const { netns } = await import(${JSON.stringify(new URL('../src/index.ts', import.meta.url).href)});
    using ns = netns.createAnonymous();
    const home = readlinkSync('/proc/thread-self/ns/net');
    netns.inside(ns, () => {
      for (const fd of readdirSync('/proc/self/fd')) {
        try {
          if (readlinkSync('/proc/self/fd/' + fd) === home) closeSync(Number(fd));
        } catch {}
      }
    });
    console.log('went on');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, errors, [, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  t.equal(signal, 'SIGABRT');
  t.equal(output, '');
  t.match(errors, /cannot return to the thread's network namespace: .*setns: EBADF/);
});

t.test('brackets leak no descriptors', async (t) => {
  using ns = makeNamespace('leak');
  const count = () => readdirSync('/proc/self/fd').length;
  netns.inside(ns.name, () => {});
  const before = count();
  for (let turn = 0; turn < 200; turn++) {
    netns.inside(ns.name, () => {});
    using nl = NetlinkSocket.open({ netns: ns.name });
    nl.requestSync(links.get('lo'));
  }
  t.equal(count(), before);
});

t.test('sysctl: read and written in a namespace, not outside', async (t) => {
  using ns = makeNamespace('sysctl');
  addVeth(ns.nl);
  const key = 'net.ipv4.conf.v0.forwarding';
  t.notOk(existsSync('/proc/sys/net/ipv4/conf/v0'));
  sysctl.set(key, 0, { netns: ns.name });
  t.equal(sysctl.get(key, { netns: ns.name }), '0');
  sysctl.set('net/ipv4/conf/v0/forwarding', 1, { netns: ns.name });
  t.equal(sysctl.get(key, { netns: ns.name }), '1');
  t.throws(() => sysctl.get('net.ipv4.no_such', { netns: ns.name }), { code: 'ENOENT' });
  t.throws(() => sysctl.set('net.ipv4.no_such', 1, { netns: ns.name }), { code: 'ENOENT' });
  for (const bad of ['', 'net..ipv4', 'net/../../etc/passwd'])
    t.throws(() => sysctl.get(bad), TypeError, bad);
});

/** Runs a program in the namespace. @returns what it printed */
async function runInside(name: string, program: string): Promise<string> {
  // A child takes over the namespace of the thread that starts it.
  const child = netns.inside(name, () =>
    spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return output;
}

t.test('a TCP server of this process answers inside of a namespace', async (t) => {
  using ns = makeNamespace('tcp');
  const fd = openListener({ netns: ns.name, type: 'tcp', address: '127.0.0.1', port: 8080, backlog: 16 });
  const server = net.createServer((socket) => socket.end(`hello ${socket.remoteAddress}`));
  const listening = once(server, 'listening');
  server.listen({ fd });
  await listening;
  t.teardown(() => server.close());
  const program = `
    import net from 'node:net';
    net.connect(8080, '127.0.0.1').on('data', (data) => process.stdout.write(data));`;
  t.equal(await runInside(ns.name, program), 'hello 127.0.0.1');
  t.throws(() => openListener({ netns: ns.name, type: 'tcp', address: '127.0.0.1', port: 8080 }), {
    code: 'EADDRINUSE',
    message: /^bind tcp 127\.0\.0\.1:8080: EADDRINUSE/,
  });
});

t.test('a UDP server of this process answers inside of a namespace, over IPv6 too', async (t) => {
  using ns = makeNamespace('udp');
  for (const address of ['127.0.0.1', '::1']) {
    const type = address === '::1' ? 'udp6' : 'udp4';
    const fd = openListener({ netns: ns.name, type: 'udp', address, port: 5353, device: 'lo' });
    const server = dgram.createSocket(type);
    server.on('message', (message, from) => server.send(`got ${message}`, from.port, from.address));
    const listening = once(server, 'listening');
    server.bind({ fd });
    await listening;
    const program = `
      import dgram from 'node:dgram';
      const client = dgram.createSocket('${type}');
      client.on('message', (message) => { process.stdout.write(message); client.close(); });
      client.send('ping', 5353, '${address}');`;
    t.equal(await runInside(ns.name, program), 'got ping');
    const closed = once(server, 'close');
    server.close();
    await closed;
  }
});

t.test('listeners: bad input is refused, and an address to come may be bound', async (t) => {
  using ns = makeNamespace('listener');
  const options = { netns: ns.name, type: 'tcp', address: '192.0.2.1' } as const;
  t.throws(() => openListener({ ...options, port: 65536 }), RangeError);
  t.throws(() => openListener({ ...options, address: 'localhost', port: 80 }), TypeError);
  t.throws(() => openListener({ ...options, port: 80 }), { code: 'EADDRNOTAVAIL' });
  t.throws(() => openListener({ ...options, port: 80, freeBind: true, device: 'none' }), { code: 'ENODEV' });
  for (const address of ['192.0.2.1', '2001:db8::1']) {
    const open = () => openListener({ ...options, address, port: 80, freeBind: true, reusePort: true });
    const servers = [net.createServer(), net.createServer()];
    for (const server of servers) {
      const listening = once(server, 'listening');
      server.listen({ fd: open() });
      await listening;
    }
    t.match(servers[1]?.address(), { address, port: 80 });
    for (const server of servers) server.close();
  }
});

t.test('ethtool: offloads of a veth are turned off and on', async (t) => {
  using ns = makeNamespace('ethtool');
  addVeth(ns.nl);
  const options = { netns: ns.name };
  t.match(ethtool.getOffloads('v0', options), { txChecksum: true, tso: true, gso: true });
  const off = ethtool.setOffloads('v0', { txChecksum: false, tso: false, gso: false, gro: false }, options);
  t.match(off, { txChecksum: false, tso: false, gso: false, gro: false });
  t.same(ethtool.getOffloads('v0', options), off);
  t.match(ethtool.getOffloads('v1', options), { txChecksum: true }, 'the other end is its own');
  const on = ethtool.setOffloads('v0', { txChecksum: true, tso: true, gso: true, gro: true }, options);
  t.match(on, { txChecksum: true, tso: true, gso: true, gro: true });
  t.throws(() => ethtool.getOffloads('none', options), { code: 'ENODEV', message: /rxChecksum of none/ });
  t.throws(() => ethtool.getOffloads('', options), RangeError);
});

t.test('a socket without a namespace is in the one of its thread', async (t) => {
  using ns = makeNamespace('thread');
  using nl = netns.inside(ns.name, () => NetlinkSocket.open());
  t.same(
    (await nl.request(links.list())).map(({ name }) => name),
    ['lo'],
  );
  t.ok((await nl.request(routes.list({ family: 'inet' }))).every(({ linkIndex }) => linkIndex === 1));
});
