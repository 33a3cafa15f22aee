/** Names as nodes and attached namespaces see them: services, endpoints, everything else, and what health does. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { AgentHandle } from './lib/agent.ts';
import { startCluster } from './lib/cluster.ts';
import type { Host } from './lib/host.ts';
import type { LabProcess } from './lib/process.ts';
import { edgeLab } from './lib/topology.ts';
import { startEchoServer } from './lib/traffic.ts';

const edge = await edgeLab({ name: 'names' });
t.teardown(() => edge[Symbol.asyncDispose]());
for (const node of edge.nodes) node.setResolvers([edge.client.requiredAddress]);
const agents = await startCluster(edge, { role: (number) => (number === 3 ? 'worker' : 'manager') });
const [first] = agents as [AgentHandle];

/** A name server in the world outside: `outside`, and 100 addresses of `tasks.outside`, too long for UDP. */
const resolverScript = `
import dgram from 'node:dgram'; import net from 'node:net';
import dnsPacket from ${JSON.stringify(import.meta.resolve('dns-packet'))};
const [address, answer] = process.argv.slice(1);
const known = {
  outside: [answer],
  'tasks.outside': Array.from({ length: 100 }, (_, index) => '203.0.113.' + (index + 1)),
};
const reply = (query, fits) => {
  const [{ name }] = query.questions;
  const addresses = known[name];
  const isCut = addresses !== undefined && !fits(addresses.length);
  const code = addresses === undefined ? 3 : 0;
  return {
    type: 'response', id: query.id, questions: query.questions,
    flags: code | dnsPacket.RECURSION_AVAILABLE | (isCut ? dnsPacket.TRUNCATED_RESPONSE : 0),
    answers: isCut ? [] : (addresses ?? []).map((data) => ({ type: 'A', name, ttl: 5, data })),
  };
};
const udp = dgram.createSocket('udp4');
udp.on('message', (bytes, peer) => {
  udp.send(dnsPacket.encode(reply(dnsPacket.decode(bytes), (count) => count < 20)), peer.port, peer.address);
});
const tcp = net.createServer((socket) => {
  socket.on('error', () => {});
  socket.on('data', (bytes) => socket.end(dnsPacket.streamEncode(reply(dnsPacket.streamDecode(bytes), () => true))));
});
udp.bind(53, address, () => tcp.listen(53, address, () => console.log('listening')));`;

/** An HTTP server whose /health can be broken and mended. */
const fragileScript = `
import http from 'node:http';
let status = 200;
http.createServer((request, response) => {
  if (request.url === '/break') status = 500;
  if (request.url === '/mend') status = 200;
  response.writeHead(request.url === '/health' ? status : 200).end();
}).listen(3100, '127.0.0.1', () => console.log('listening'));`;

type Answer = { status: string; addresses: string[]; flags: string };

/** Asks 127.0.0.11, and reads what dig prints. */
async function dig(host: Host, ...query: string[]): Promise<Answer> {
  const output = await host.run('dig', ['+time=3', '+tries=2', '@127.0.0.11', ...query]);
  return {
    status: /status: (\w+)/.exec(output)?.[1] ?? '',
    flags: /flags: ([\w ]+)/.exec(output)?.[1] ?? '',
    addresses: [...output.matchAll(/^\S+\s+\d+\s+IN\s+A\s+(\S+)$/gm)].map((match) => match[1] ?? '').sort(),
  };
}

async function startResolver(address: string, answer: string): Promise<void> {
  const args = ['--input-type=module', '-e', resolverScript, address, answer];
  const resolver = edge.client.spawn(process.execPath, args, { name: 'resolver' });
  await resolver.waitForLog('listening');
}

async function until(isSo: () => Promise<boolean>, limit_ms = 10_000): Promise<void> {
  const deadline = performance.now() + limit_ms;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not so after ${limit_ms} ms`);
    await sleep(50);
  }
}

const app = await edge.lab.addHost('app');
await startResolver(edge.client.requiredAddress, '198.51.100.1');
const servers: LabProcess[] = [];
for (const number of [1, 2, 3]) {
  const options = { name: `web${number}`, port: 3000, address: '127.0.0.1' };
  servers.push(await startEchoServer(edge.node(number), options));
}
const endpoints = [1, 2, 3].flatMap((number) => ['--endpoint', `127.0.0.1:3000@node${number}`]);
const web = await first.cli<{ vip: string }>('service', 'create', 'web', '--publish', '8080', ...endpoints);
await agents[1]?.cli('attach', '--netns', app.netnsPath);
const places = [...edge.nodes, app];

t.test('a service is its VIP, and tasks of it are its endpoints, by UDP and TCP, everywhere', async (t) => {
  for (const place of places) {
    for (const by of ['+notcp', '+tcp']) {
      const vip = await dig(place, 'web', by);
      t.match(vip, { status: 'NOERROR', addresses: [web.vip] }, `${place.name} ${by}`);
      t.match(vip.flags, /aa/);
      t.same((await dig(place, 'WEB.shoal', by)).addresses, [web.vip]);
      t.equal((await dig(place, 'tasks.web', by)).addresses.length, 3);
    }
    t.match(await dig(place, 'web', 'AAAA'), { status: 'NOERROR', addresses: [] }, 'no AAAA is no error');
    t.match(await dig(place, 'web', 'MX'), { status: 'NOERROR', addresses: [] });
    t.match(await dig(place, 'nobody.shoal'), { status: 'NXDOMAIN', addresses: [] });
    t.match(await dig(place, 'tasks.nobody.shoal'), { status: 'NXDOMAIN', addresses: [] });
  }
});

t.test('other names are asked of the resolvers of the node', async (t) => {
  for (const place of places) {
    t.match(await dig(place, 'outside'), { status: 'NOERROR', addresses: ['198.51.100.1'] }, place.name);
    t.equal((await dig(place, 'outside', '+tcp')).addresses[0], '198.51.100.1');
    const many = await dig(place, 'tasks.outside');
    t.equal(many.addresses.length, 100, 'what is too long for UDP is asked again by TCP');
    t.equal((await dig(place, 'nobody.shoal')).status, 'NXDOMAIN', 'what is ours is not asked there');
    t.equal((await dig(place, 'nobody')).status, 'NXDOMAIN', 'what nobody knows');
  }
});

t.test('resolvers that change are noticed', async (t) => {
  await edge.client.run('ip', ['address', 'add', '192.0.2.99/24', 'dev', 'eth0']);
  await startResolver('192.0.2.99', '198.51.100.2');
  edge.node(2).setResolvers(['192.0.2.99']);
  await until(async () => (await dig(edge.node(2), 'outside')).addresses[0] === '198.51.100.2');
  t.same((await dig(app, 'outside')).addresses, ['198.51.100.2'], 'for the namespaces of the node, too');
  t.same((await dig(edge.node(1), 'outside')).addresses, ['198.51.100.1'], 'other nodes have their own');
  edge.node(2).setResolvers([]);
  await until(async () => (await dig(edge.node(2), 'outside')).status !== 'NOERROR');
  t.same((await dig(edge.node(2), 'web')).addresses, [web.vip], 'without any, services still have names');
});

t.test('an endpoint that dies leaves the names within a second', async (t) => {
  await servers[1]?.stop({ signal: 'SIGKILL' });
  await sleep(1_000);
  for (const place of places) t.equal((await dig(place, 'tasks.web')).addresses.length, 2, place.name);
  await startEchoServer(edge.node(2), { name: 'web2', port: 3000, address: '127.0.0.1' });
  await until(async () => (await dig(app, 'tasks.web')).addresses.length === 3);
});

t.test('an endpoint that answers its HTTP check with 500 is out until it recovers', async (t) => {
  const args = ['--input-type=module', '-e', fragileScript];
  const server = edge.node(3).spawn(process.execPath, args, { name: 'fragile' });
  await server.waitForLog('listening');
  await first.cli(
    ...['service', 'create', 'fragile', '--publish', '8081', '--check', 'http:/health'],
    ...['--endpoint', '127.0.0.1:3100@node3'],
  );
  const count = async () => (await dig(app, 'tasks.fragile')).addresses.length;
  const row = async () => {
    const rows = await first.cli<{ health: string; healthReason: string }[]>('service', 'ps', 'fragile');
    return rows[0];
  };
  await until(async () => (await row())?.health === 'healthy' && (await count()) === 1);
  await edge.node(3).run('curl', ['-sS', '-m', '5', 'http://127.0.0.1:3100/break']);
  await until(async () => (await count()) === 0);
  t.match(await row(), { health: 'unhealthy', healthReason: /500/ });
  const refused = await edge.client.exec('curl', ['-sS', '-m', '5', 'http://192.0.2.1:8081/']);
  t.equal(refused.code, 7, 'and its port is refused');
  await edge.node(3).run('curl', ['-sS', '-m', '5', 'http://127.0.0.1:3100/mend']);
  await until(async () => (await count()) === 1);
  t.match(await row(), { health: 'healthy' });
});

t.test('a namespace that is detached has no resolver any more', async (t) => {
  await agents[1]?.cli('detach', app.netnsPath);
  const { code } = await app.exec('dig', ['+time=1', '+tries=1', '@127.0.0.11', 'web']);
  t.equal(code, 9);
  t.notMatch(await app.run('ss', ['-lntu']), /127\.0\.0\.11/);
});
