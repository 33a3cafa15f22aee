/**
 * `npm run demo`: three edge nodes, two services that know nothing of shoal, and real traffic from a client.
 *
 * Exit code 0 only if every answer was the right one. With `--keep` the lab stays up, and what to try is printed.
 */
import { parseArgs } from 'node:util';
import type { AgentHandle } from './lib/agent.ts';
import { startCluster } from './lib/cluster.ts';
import type { Host } from './lib/host.ts';
import { type EdgeLab, edgeLab } from './lib/topology.ts';
import { connectMany, startEchoServer } from './lib/traffic.ts';
import { Story, table } from './story.ts';

const connectionsPerNode = 60;
const clientAddress = '192.0.2.10';
const webPort = 8080;

/** The existing services: ordinary HTTP servers on the loopback address of a node. */
const existing = [
  { name: 'coral', node: 2, port: 3000 },
  { name: 'kelp', node: 3, port: 3000 },
] as const;

const sites = [
  { host: 'coral.example', service: 'coral-site', endpoint: existing[0] },
  { host: 'kelp.example', service: 'kelp-site', endpoint: existing[1] },
] as const;

const usage = `npm run demo [-- --keep]

Builds a lab in network namespaces (a client, a switch, three edge nodes), forms a cluster, publishes two existing
HTTP servers and sends traffic to every node. Nothing outside the lab is touched, and it is taken down at the end.

  --keep   leave the lab up and print what to try
  --help   show this`;

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { keep: { type: 'boolean' }, help: { type: 'boolean' } } });
  if (values.help === true) {
    console.log(usage);
    return 0;
  }
  const story = new Story();
  await using edge = await edgeLab({ name: 'demo' });
  story.chapter('A lab: a client and three edge nodes on one switch, each a network namespace');
  for (const host of [edge.client, ...edge.nodes])
    story.line(`${host.name.padEnd(7)} ${host.requiredAddress}`);

  story.chapter('Three agents form one cluster');
  const agents = await startCluster(edge, { onStep: (text) => story.line(text) });
  const first = agents[0] as AgentHandle;
  const nodes = await first.cli<{ name: string; role: string; status: string }[]>('node', 'ls');
  story.check('all three nodes are managers and ready', nodes.length === 3 && nodes.every(isReadyManager));

  story.chapter('Two HTTP servers that exist, each on 127.0.0.1 of its node, are published');
  for (const { name, node, port } of existing) {
    await startEchoServer(edge.node(node), { name, port, address: '127.0.0.1' });
    story.line(`${name} listens on 127.0.0.1:${port} of node${node}`);
  }
  await publish(story, agents);

  await showPublishedPort(story, edge);
  await showNames(story, edge);
  await showSites(story, edge);
  await showCounters(story, agents);

  if (values.keep === true) {
    const takeDown = edge.lab.keep();
    story.chapter('The lab stays up');
    for (const text of whatToTry(edge, first, takeDown)) story.line(text);
  }
  return story.finish();
}

function isReadyManager(node: { role: string; status: string }): boolean {
  return node.role === 'manager' && node.status === 'ready';
}

/** Publishes through two different managers: it does not matter which is asked. */
async function publish(story: Story, agents: readonly AgentHandle[]): Promise<void> {
  const run = async (agent: AgentHandle, ...args: string[]): Promise<void> => {
    story.command(agent.host.name, ['shoal', ...args]);
    const result = await agent.tryCli(...args);
    story.check(result.stdout.trim().split('\n').at(-1) ?? '', result.code === 0, result.stderr.trim());
  };
  const endpoints = existing.flatMap(({ node, port }) => ['--endpoint', `127.0.0.1:${port}@node${node}`]);
  await run(agents[0] as AgentHandle, 'service', 'create', 'web', '--publish', String(webPort), ...endpoints);
  for (const { host, service, endpoint } of sites) {
    const at = `127.0.0.1:${endpoint.port}@node${endpoint.node}`;
    const args = ['--publish', '80/http', '--host', host, '--endpoint', at];
    await run(agents[1] as AgentHandle, 'service', 'create', service, ...args);
  }
}

async function showPublishedPort(story: Story, edge: EdgeLab): Promise<void> {
  story.chapter(`Every node answers on port ${webPort}, whether or not an endpoint lives there`);
  const rows = [
    ['node', 'connections', ...existing.map(({ name }) => name), 'client address seen', 'median'],
  ];
  for (const node of edge.nodes) {
    const target = `${node.requiredAddress}:${webPort}`;
    const result = await connectMany(edge.client, { targets: [target], connections: connectionsPerNode });
    const clients = Object.keys(result.clients);
    const shares = existing.map(({ name }) => result.endpoints[name] ?? 0);
    rows.push([
      node.name,
      `${result.succeeded}/${connectionsPerNode}`,
      ...shares.map(String),
      clients.join(' '),
      `${result.latency_ms.median.toFixed(1)} ms`,
    ]);
    const isRight = result.succeeded === connectionsPerNode && shares.every((share) => share > 0);
    story.note(`${node.name}: every connection answered, both endpoints used`, isRight);
    story.note(`${node.name}: the endpoints saw ${clientAddress}`, clients.join() === clientAddress);
  }
  story.table(table(rows));
  story.showNotes();
}

async function showNames(story: Story, edge: EdgeLab): Promise<void> {
  story.chapter('Names are answered on 127.0.0.11 of every node');
  const rows = [['asked on', 'name', 'answer']];
  const vips = new Set<string>();
  for (const node of edge.nodes) {
    const vip = (await dig(node, 'web')).join(' ');
    vips.add(vip);
    rows.push([node.name, 'web', vip]);
  }
  const tasks = await dig(edge.node(1), 'tasks.web');
  rows.push(['node1', 'tasks.web', tasks.join(' ')]);
  story.table(table(rows));
  const [vip = ''] = vips;
  story.check('all nodes name the same virtual IP', vips.size === 1 && /^\d+\.\d+\.\d+\.\d+$/.test(vip));
  story.check('tasks.web names both endpoints', tasks.length === existing.length);
  const answer = await edge.node(1).exec('curl', ['-sS', '-m', '5', `http://${vip}:${webPort}/`]);
  const endpoint = endpointOf(answer.stdout);
  story.check(
    `node1 itself reaches http://${vip}:${webPort}/ (${endpoint ?? answer.stderr.trim()})`,
    endpoint !== undefined,
  );
}

async function dig(host: Host, name: string): Promise<string[]> {
  const output = await host.run('dig', ['+short', '+time=2', '+tries=2', '@127.0.0.11', name, 'A']);
  return output.split('\n').filter((line) => line !== '');
}

async function showSites(story: Story, edge: EdgeLab): Promise<void> {
  story.chapter('Two host names share port 80, on every node');
  const rows = [['node', 'Host', 'answered by']];
  for (const node of edge.nodes) {
    for (const { host, endpoint } of sites) {
      const answer = await request(edge, node, host);
      const by = endpointOf(answer.body);
      rows.push([node.name, host, by ?? answer.body.slice(0, 60)]);
      story.note(`${node.name} routes ${host} to ${endpoint.name}`, by === endpoint.name);
    }
  }
  const stranger = await request(edge, edge.node(1), 'whale.example');
  rows.push(['node1', 'whale.example', `${stranger.status} ${stranger.body.split('\n')[0] ?? ''}`]);
  story.note('a host that nobody serves is told so with 404', stranger.status === '404');
  story.table(table(rows));
  story.showNotes();
}

async function request(edge: EdgeLab, node: Host, host: string): Promise<{ status: string; body: string }> {
  const args = [
    '-sS',
    '-m',
    '5',
    '-w',
    '\n%{http_code}',
    '-H',
    `Host: ${host}`,
    `http://${node.requiredAddress}/`,
  ];
  const { stdout, stderr } = await edge.client.exec('curl', args);
  const lines = stdout.split('\n');
  return { status: lines.at(-1) ?? '', body: lines.slice(0, -1).join('\n') || stderr };
}

function endpointOf(body: string): string | undefined {
  try {
    return (JSON.parse(body) as { endpoint?: string }).endpoint;
  } catch {
    return undefined;
  }
}

type Status = { dataplane: { packets: Record<string, number>; xdpMode: string } };

async function showCounters(story: Story, agents: readonly AgentHandle[]): Promise<void> {
  story.chapter('Packets per program');
  const statuses = await Promise.all(agents.map((agent) => agent.cli<Status>('status')));
  const names = Object.keys(statuses[0]?.dataplane.packets ?? {});
  const rows = [['counter', ...agents.map((agent) => agent.host.name)]];
  for (const name of names)
    rows.push([name, ...statuses.map(({ dataplane }) => String(dataplane.packets[name] ?? 0))]);
  story.table(table(rows));
  const total = (name: string): number =>
    statuses.reduce((sum, { dataplane }) => sum + (dataplane.packets[name] ?? 0), 0);
  story.check(
    'packets went through the tunnel and back',
    total('xdp_encapsulated') > 0 && total('xdp_returned') > 0,
  );
  const drops = await Promise.all(
    agents.map((agent) => agent.cli<{ reason: string; packets: number }[]>('drops')),
  );
  const dropped = drops.flat().filter(({ packets }) => packets > 0);
  story.check(
    dropped.length === 0
      ? 'no packet was dropped'
      : `dropped: ${dropped.map(({ reason }) => reason).join(', ')}`,
    dropped.length === 0,
  );
}

function whatToTry(edge: EdgeLab, agent: AgentHandle, takeDown: string): string[] {
  const { client } = edge;
  const shoal = agent.host.commandLine(
    `env SHOAL_SOCKET=${agent.socket} ${process.execPath} ${agent.program}`,
  );
  return [
    client.commandLine(`curl http://192.0.2.1:${webPort}/`),
    client.commandLine(`curl -H 'Host: ${sites[0].host}' http://192.0.2.3/`),
    edge.node(1).commandLine('dig @127.0.0.11 web'),
    `${shoal} service ls`,
    `${shoal} flows`,
    `take it down with: ${takeDown}`,
  ];
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`demo: ${(error as Error).message}`);
  const { code } = error as NodeJS.ErrnoException;
  process.exitCode = code?.startsWith('ERR_PARSE_ARGS') ? 2 : 1;
}
