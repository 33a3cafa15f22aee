/** The mesh as its users meet it: three agents, services that exist, and real connections. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { AgentHandle } from './lib/agent.ts';
import { startCluster } from './lib/cluster.ts';
import type { Host } from './lib/host.ts';
import { edgeLab } from './lib/topology.ts';
import { connectMany, startBulkServer, startEchoServer, startTransfer } from './lib/traffic.ts';

const clientAddress = '192.0.2.10';
const transferSize_bytes = 100_000_000;

t.setTimeout(240_000);
const edge = await edgeLab({ name: 'mesh' });
t.teardown(() => edge[Symbol.asyncDispose]());
const agents = await startCluster(edge);
const [first, second, third] = agents as [AgentHandle, AgentHandle, AgentHandle];

/** `ADDRESS:PORT` of every node. */
const everyNode = (port: number): string[] => edge.nodes.map((node) => `${node.requiredAddress}:${port}`);

/** Waits until `isSo` holds, and returns how long it took. */
async function until(isSo: () => Promise<boolean>, limit_ms = 10_000): Promise<number> {
  const start = performance.now();
  while (!(await isSo())) {
    if (performance.now() - start > limit_ms) throw new Error(`not so after ${limit_ms} ms`);
    await sleep(20);
  }
  return performance.now() - start;
}

async function dig(host: Host, ...query: string[]): Promise<string[]> {
  const output = await host.run('dig', ['+short', '+time=2', '+tries=2', '@127.0.0.11', ...query]);
  return output.split('\n').filter((line) => line !== '');
}

async function curl(
  host: Host,
  ...args: string[]
): Promise<{ code: number | null; body: string; status: string }> {
  const { code, stdout } = await host.exec('curl', ['-sS', '-m', '5', '-w', '\n%{http_code}', ...args]);
  const lines = stdout.split('\n');
  return { code, body: lines.slice(0, -1).join('\n'), status: lines.at(-1) ?? '' };
}

const endpointOf = (body: string): unknown => (JSON.parse(body) as { endpoint?: unknown }).endpoint;

t.test('every node answers for a published port, evenly, and the endpoints see the client', async (t) => {
  await startEchoServer(edge.node(1), { name: 'one', port: 3000, address: '127.0.0.1' });
  await startEchoServer(edge.node(2), { name: 'two', port: 3000, address: '127.0.0.1' });
  await startEchoServer(edge.node(3), { name: 'three', port: 3000, address: '127.0.0.1' });
  const endpoints = [1, 2, 3].flatMap((node) => ['--endpoint', `127.0.0.1:3000@node${node}`]);
  await second.cli('service', 'create', 'web', '--publish', '8080', ...endpoints);

  const result = await connectMany(edge.client, { targets: everyNode(8080), connections: 3_000 });
  t.same(result.errors, {});
  t.equal(result.succeeded, 3_000);
  t.same(Object.keys(result.clients), [clientAddress]);
  for (const name of ['one', 'two', 'three']) {
    const share = result.endpoints[name] ?? 0;
    // Four standard deviations of a fair three-way choice, and the table's own unevenness.
    t.ok(share > 860 && share < 1_140, `${name} got ${share} of 3000`);
  }
  for (const [target, shares] of Object.entries(result.targets)) {
    t.equal(Object.keys(shares).length, 3, `${target} used all endpoints`);
  }
});

t.test('a node without an endpoint answers, and an ingress keeps no flows', async (t) => {
  await startEchoServer(edge.node(3), { name: 'only', port: 3001, address: '127.0.0.1' });
  await first.cli(
    'service',
    'create',
    'only',
    '--publish',
    '8081:3001',
    '--endpoint',
    '127.0.0.1:3001@node3',
  );
  const result = await connectMany(edge.client, { targets: everyNode(8081), connections: 90 });
  t.equal(result.succeeded, 90);
  t.same(result.endpoints, { only: 90 });
  type Flows = { flows: { frontend: string; via: string; client: string }[] };
  const flows = await third.cli<Flows>('flows', '--limit', '10000');
  const mine = flows.flows.filter(({ frontend }) => frontend.endsWith(':8081'));
  t.same(new Set(mine.map(({ via }) => via)), new Set(['node1', 'node2', 'node3']));
  const elsewhere = await first.cli<Flows>('flows', '--limit', '10000');
  t.notOk(elsewhere.flows.some(({ frontend }) => frontend.endsWith(':8081')));
});

t.test('UDP is balanced and answered from the address that was asked', async (t) => {
  await startEchoServer(edge.node(2), { name: 'udp-two', port: 3002, address: '127.0.0.1', protocol: 'udp' });
  await startEchoServer(edge.node(3), {
    name: 'udp-three',
    port: 3002,
    address: '127.0.0.1',
    protocol: 'udp',
  });
  const endpoints = ['--endpoint', '127.0.0.1:3002@node2', '--endpoint', '127.0.0.1:3002@node3'];
  await first.cli('service', 'create', 'udp', '--publish', '8082/udp', ...endpoints);
  const result = await connectMany(edge.client, {
    targets: everyNode(8082),
    connections: 120,
    protocol: 'udp',
  });
  t.equal(result.succeeded, 120);
  t.equal(Object.keys(result.endpoints).length, 2);
});

t.test('a plain address is reached by NAT from its home node', async (t) => {
  await startEchoServer(edge.client, { name: 'plain', port: 3003, address: clientAddress });
  await first.cli('service', 'create', 'plain', '--publish', '8083', '--endpoint', `${clientAddress}:3003`);
  const result = await connectMany(edge.client, { targets: everyNode(8083), connections: 60 });
  t.equal(result.succeeded, 60);
  t.equal(Object.keys(result.clients).length, 1, 'one node is home');
  t.ok(edge.nodes.some((node) => node.requiredAddress === Object.keys(result.clients)[0]));
});

t.test('a published port without an endpoint refuses, TCP and UDP', async (t) => {
  await first.cli('service', 'create', 'empty', '--publish', '8084', '--publish', '8084/udp');
  for (const target of everyNode(8084)) {
    const refused = await curl(edge.client, `http://${target}/`);
    t.equal(refused.code, 7, `${target} refuses TCP at once`);
  }
  const result = await connectMany(edge.client, {
    targets: everyNode(8084),
    connections: 3,
    protocol: 'udp',
  });
  t.same(result.errors, { ECONNREFUSED: 3 });
  const drops = await first.cli<{ reason: string; packets: number }[]>('drops', '--all');
  t.ok((drops.find(({ reason }) => reason === 'no-endpoint')?.packets ?? 0) >= 2);
});

t.test('two host names share a port, requests of one connection included', async (t) => {
  const create = (name: string, host: string, node: number): Promise<unknown> =>
    second.cli(
      ...['service', 'create', name, '--publish', '80/http', '--host', host],
      ...['--endpoint', `127.0.0.1:3000@node${node}`],
    );
  await create('coral', 'coral.example', 2);
  await create('kelp', 'kelp.example', 3);
  for (const node of edge.nodes) {
    const url = `http://${node.requiredAddress}/`;
    const coral = await curl(edge.client, '-H', 'Host: coral.example', url);
    const kelp = await curl(edge.client, '-H', 'Host: KELP.example:80', url);
    t.equal(endpointOf(coral.body), 'two');
    t.equal(endpointOf(kelp.body), 'three');
    const nobody = await curl(edge.client, '-H', 'Host: whale.example', url);
    t.equal(nobody.status, '404');
    t.match(nobody.body, 'whale.example');
  }
  const refused = await first.tryCli(
    'service',
    'create',
    'thief',
    '--publish',
    '80/http',
    '--host',
    'coral.example',
  );
  t.equal(refused.code, 1);
  t.match(refused.stderr, /coral\.example.*"coral"/);
});

t.test('names are answered on 127.0.0.11, and the node itself reaches the VIP', async (t) => {
  const [vip = ''] = await dig(edge.node(1), 'web');
  t.match(vip, /^10\.248\.\d+\.\d+$/);
  for (const node of edge.nodes) t.same(await dig(node, 'WEB', '+tcp'), [vip]);
  t.equal((await dig(edge.node(2), 'tasks.web')).length, 3);
  t.same(await dig(edge.node(2), 'web', 'AAAA'), []);
  for (const node of edge.nodes) {
    const answer = await curl(node, `http://${vip}:8080/`);
    t.equal(answer.status, '200', `${node.name} reaches the VIP`);
  }
  for (const address of await dig(edge.node(1), 'tasks.web')) {
    t.equal(
      (await curl(edge.node(1), `http://${address}:3000/`)).status,
      '200',
      `${address} is one endpoint`,
    );
  }
});

t.test('a namespace is attached, resolves and reaches services, serves one, and is detached', async (t) => {
  const app = await edge.lab.addHost('app');
  const other = await edge.lab.addHost('other');
  await startEchoServer(app, { name: 'app', port: 9000 });
  await first.cli('service', 'create', 'api', '--publish', '8085:9000');
  const attached = await first.cli<{ address: string; id: string }>(
    ...['attach', '--netns', app.netnsPath, '--service', 'api', '--port', '9000'],
  );
  await second.cli('attach', '--netns', other.netnsPath);
  const result = await connectMany(edge.client, { targets: everyNode(8085), connections: 60 });
  t.equal(result.succeeded, 60);
  t.same(result.clients, { [clientAddress]: 60 }, 'the namespace sees the client');

  const [vip = ''] = await dig(other, 'web');
  t.match(vip, /^10\.248\./);
  const fromOther = await curl(other, `http://${vip}:8080/`);
  t.equal(fromOther.status, '200', 'an attached namespace reaches a VIP');
  t.same(await dig(other, 'tasks.api'), [attached.address]);
  const direct = await curl(other, `http://${attached.address}:9000/`);
  t.equal(endpointOf(direct.body), 'app', 'namespaces on two nodes reach each other');

  const [site = ''] = await dig(other, 'coral');
  const routed = await curl(other, '-H', 'Host: coral.example', `http://${site}/`);
  t.equal(endpointOf(routed.body), 'two', 'a namespace reaches a site by the name of its service');
  const fromNode = await curl(edge.node(3), '-H', 'Host: coral.example', `http://${site}/`);
  t.equal(endpointOf(fromNode.body), 'two', 'and so does a node');

  const again = await first.tryCli('attach', '--netns', app.netnsPath);
  t.equal(again.code, 1);
  t.match(again.stderr, /attached already/);
  await first.cli('detach', app.netnsPath);
  t.notMatch(await app.run('ip', ['-br', 'link']), /shoal0/);
  t.notMatch(await app.run('ip', ['rule']), /4789/);
  const refused = await curl(edge.client, `http://${everyNode(8085)[0]}/`);
  t.equal(refused.code, 7, 'its service has no endpoint any more');
});

t.test('kill -9 of agents in the middle of a transfer changes nothing', async (t) => {
  await startBulkServer(edge.node(3), { port: 3005, address: '127.0.0.1' });
  await first.cli('service', 'create', 'bulk', '--publish', '8086', '--endpoint', '127.0.0.1:3005@node3');
  const transfer = startTransfer(edge.client, {
    target: `${edge.node(2).requiredAddress}:8086`,
    size_bytes: transferSize_bytes,
    rate_bytes: 20_000_000,
  });
  await transfer.reached(0.2);
  second.kill('SIGKILL');
  third.kill('SIGKILL');
  await transfer.reached(0.4);
  const whileDead = await connectMany(edge.client, { targets: everyNode(8080), connections: 60 });
  t.equal(whileDead.succeeded, 60, 'new connections are served with two agents dead');
  await Promise.all([second.restart('SIGKILL'), third.restart('SIGKILL')]);
  await until(async () => /taken over/.test(second.logs()) && /taken over/.test(third.logs()));
  const result = await transfer.finished();
  t.equal(result.size_bytes, transferSize_bytes);
  t.equal(result.sha256, result.expected_sha256);
});

t.test('connections stay with their endpoint when others come and go', async (t) => {
  await startBulkServer(edge.node(1), { port: 3006, address: '127.0.0.1' });
  await startBulkServer(edge.node(2), { port: 3006, address: '127.0.0.1' });
  await first.cli('service', 'create', 'moving', '--publish', '8087', '--endpoint', '127.0.0.1:3006@node1');
  const transfers = Array.from({ length: 8 }, (_, index) =>
    startTransfer(edge.client, {
      target: everyNode(8087)[index % 3] ?? '',
      size_bytes: 12_000_000,
      rate_bytes: 2_000_000,
      seed: index,
    }),
  );
  for (const transfer of transfers) await transfer.reached(0.1);
  await first.cli('service', 'update', 'moving', '--endpoint-add', '127.0.0.1:3006@node2');
  await first.cli('service', 'update', 'moving', '--endpoint-rm', '127.0.0.1:3006@node1');
  await first.cli('service', 'update', 'moving', '--endpoint-add', '127.0.0.1:3006@node1');
  for (const transfer of transfers) await transfer.finished();
  const second_hops = await Promise.all(
    agents.map(async (agent) => {
      const status = await agent.cli<{ dataplane: { packets: Record<string, number> } }>('status');
      return status.dataplane.packets.second_hop ?? 0;
    }),
  );
  t.ok(
    second_hops.reduce((a, b) => a + b, 0) > 0,
    `moved flows were passed on to their owner (${second_hops.join(', ')})`,
  );
});

t.test('a dead endpoint takes no new connection within a second, on any node', async (t) => {
  const dying = await startEchoServer(edge.node(2), { name: 'dying', port: 3007, address: '127.0.0.1' });
  await startEchoServer(edge.node(3), { name: 'living', port: 3007, address: '127.0.0.1' });
  const endpoints = ['--endpoint', '127.0.0.1:3007@node2', '--endpoint', '127.0.0.1:3007@node3'];
  await first.cli('service', 'create', 'mortal', '--publish', '8088', ...endpoints);
  await until(async () => {
    const rows = await first.cli<{ health: string }[]>('service', 'ps', 'mortal');
    return rows.length === 2 && rows.every(({ health }) => health === 'healthy');
  });
  await dying.stop({ signal: 'SIGKILL' });
  await sleep(1_000);
  const result = await connectMany(edge.client, { targets: everyNode(8088), connections: 300 });
  t.same(result.endpoints, { living: 300 });
  const rows = await second.cli<{ health: string; healthReason: string }[]>('service', 'ps', 'mortal');
  const dead = rows.find(({ health }) => health === 'unhealthy');
  t.match(dead?.healthReason, 'refused');
  await startEchoServer(edge.node(2), { name: 'risen', port: 3007, address: '127.0.0.1' });
  await until(async () => {
    const again = await connectMany(edge.client, { targets: everyNode(8088), connections: 30 });
    return (again.endpoints.risen ?? 0) > 0;
  });
  t.pass('it is used again once it answers');
});

t.test('the leader dies and the cluster still takes changes', async (t) => {
  const status = await first.cli<{ leader: { name: string } | null }>('status');
  const index = agents.findIndex((agent) => agent.host.name === status.leader?.name);
  const leader = agents[index] as AgentHandle;
  const other = agents[(index + 1) % agents.length] as AgentHandle;
  leader.kill('SIGKILL');
  const took_ms = await until(async () => {
    const result = await other.tryCli(
      'service',
      'create',
      'after',
      '--publish',
      '8089',
      '--endpoint',
      `127.0.0.1:3000@${other.host.name}`,
    );
    return result.code === 0;
  }, 15_000);
  t.comment(`a service was created ${Math.round(took_ms)} ms after the leader's death`);
  const result = await connectMany(edge.client, { targets: everyNode(8089), connections: 30 });
  t.equal(result.succeeded, 20, 'the two nodes with an agent have it');
  const old = await connectMany(edge.client, { targets: everyNode(8080), connections: 30 });
  t.equal(old.succeeded, 30, 'what the dead agent had set up goes on');
  await leader.restart('SIGKILL');
  await until(async () => {
    const result = await leader.tryCli('service', 'inspect', 'after');
    return result.code === 0;
  });
  t.pass('it knows what happened while it was dead');
});

t.test('leave takes everything away again', async (t) => {
  const links = await edge.node(3).run('ip', ['-br', 'link']);
  t.match(links, /shoal0/);
  await third.cli('leave', '--force');
  t.notMatch(await edge.node(3).run('ip', ['-br', 'link']), /shoal/);
  t.notMatch(await edge.node(3).run('ls', ['/sys/fs/bpf']), /shoal/);
  t.equal((await edge.node(3).run('sysctl', ['-n', 'net.ipv4.conf.eth0.route_localnet'])).trim(), '0');
  const nodes = await first.cli<{ name: string }[]>('node', 'ls');
  t.same(nodes.map(({ name }) => name).sort(), ['node1', 'node2']);
  const result = await connectMany(edge.client, { targets: everyNode(8080).slice(0, 2), connections: 60 });
  t.equal(result.succeeded, 60);
  t.notOk('three' in result.endpoints);
});
