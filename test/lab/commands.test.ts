/**
 * What bad input gets, with real agents: one error that names the thing, the value and the way out, exit code 2 for
 * usage and 1 for failure, and nothing half done.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { AgentHandle } from './lib/agent.ts';
import type { ExecResult, Host } from './lib/host.ts';
import type { LabProcess } from './lib/process.ts';
import { edgeLab } from './lib/topology.ts';
import { connectMany, startEchoServer } from './lib/traffic.ts';

const edge = await edgeLab({ name: 'commands' });
t.setTimeout(180_000);
t.teardown(() => edge[Symbol.asyncDispose]());
const [node1, node2, node3] = [edge.node(1), edge.node(2), edge.node(3)];
const program = new URL('../../control/cli/shoal.ts', import.meta.url).pathname;

/** Runs `shoal agent` with this flag in place of what is right, until it ends by itself. */
function startWrong(
  host: Host,
  flags: Record<string, string>,
  before: readonly string[] = [],
): Promise<ExecResult> {
  const { directory, requiredAddress } = host;
  const right = { 'data-dir': `${directory}/data`, socket: `${directory}/shoal.sock`, uplink: 'eth0' };
  const all = Object.entries({ ...right, 'advertise-addr': requiredAddress, ...flags });
  const words = all.flatMap(([name, value]) => [`--${name}`, value]);
  const [command = '', ...args] = [...before, process.execPath, program, 'agent', ...words];
  return host.exec(command, args, { timeout_ms: 10_000 });
}

/** Everything on a host that an agent may have changed. */
async function traces(host: Host): Promise<Record<string, string>> {
  const settings = ['route_localnet', 'arp_announce', 'forwarding'].map((key) => `net.ipv4.conf.eth0.${key}`);
  return {
    links: await host.run('ls', ['/sys/class/net']),
    pins: await host.run('ls', ['/sys/fs/bpf']),
    settings: await host.run('sysctl', ['-n', ...settings, 'net.ipv4.ip_local_reserved_ports']),
    rules: await host.run('ip', ['rule']),
    routes: await host.run('ip', ['route', 'show', 'table', 'all']),
    programs: await host.run('sh', ['-c', 'ip -d link show eth0 | grep -c prog/ || true']),
  };
}

/** Takes a port on a host, until disposed. */
async function occupy(
  host: Host,
  transport: 'tcp' | 'udp',
  address: string,
  port: number,
): Promise<LabProcess> {
  const script = `
    import net from 'node:net'; import dgram from 'node:dgram';
    const ready = () => console.log('listening');
    ${transport === 'tcp' ? `net.createServer().listen(${port}, '${address}', ready)` : `dgram.createSocket('udp4').bind(${port}, '${address}', ready)`};`;
  const process_ = host.spawn(process.execPath, ['--input-type=module', '-e', script], { name: 'occupier' });
  await process_.waitForLog('listening');
  return process_;
}

async function until(isSo: () => Promise<boolean>, limit_ms = 15_000): Promise<void> {
  const deadline = performance.now() + limit_ms;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not so after ${limit_ms} ms`);
    await sleep(50);
  }
}

const token = (root: string, secret: string): string => `SHTKN-1-${root.repeat(50)}-${secret.repeat(25)}`;
const before = new Map<string, Record<string, string>>();
for (const node of edge.nodes) before.set(node.name, await traces(node));

t.test('an agent that cannot run says why and leaves no trace', async (t) => {
  const { directory } = node1;
  await node1.run('touch', [`${directory}/file`]);
  await node1.run('sh', ['-c', `echo 'uplnk: eth0' > ${directory}/wrong.yaml`]);
  const cases: [Record<string, string>, 1 | 2, RegExp][] = [
    [{ bogus: 'x' }, 2, /unknown option '--bogus'/],
    [{ 'control-port': '99999' }, 2, /--control-port "99999": expected a port/],
    [{ 'xdp-mode': 'fast' }, 2, /--xdp-mode "fast": expected auto, native or generic/],
    [{ 'advertise-addr': '192.0.2.77' }, 2, /"192\.0\.2\.77": no interface has it; .*192\.0\.2\.1 on eth0/],
    [{ 'advertise-addr': '127.0.0.1' }, 2, /"127\.0\.0\.1": it is every machine's own/],
    [{ uplink: 'eth7' }, 2, /--uplink "eth7": there is no such interface/],
    [{ uplink: 'lo' }, 2, /--uplink "lo": no client comes in/],
    [{ config: '/nowhere.yaml' }, 2, /--config "\/nowhere\.yaml": there is no such file/],
    [
      { config: `${directory}/wrong.yaml` },
      2,
      /wrong\.yaml: uplnk: there is no such setting; expected uplink/,
    ],
    [{ 'data-dir': `${directory}/file/data` }, 1, /data folder .*\/file\/data cannot be used: .*--data-dir/],
    [{ 'data-dir': '/proc/1/data' }, 1, /data folder \/proc\/1\/data cannot be used: ENOENT/],
    [{ 'bpf-dir': `${directory}/pins` }, 1, /--bpf-dir .*\/pins is not on a BPF file system: name a folder/],
    [{ 'bpf-dir': '/sys/fs/bpf/a.b' }, 1, /--bpf-dir \/sys\/fs\/bpf\/a\.b: .* no name with a dot/],
    [{ socket: `${directory}/file` }, 1, /socket .*\/file: a file that is no socket is there; remove it/],
    [{ 'socket-group': 'nobodys' }, 1, /socket group "nobodys": there is no such group/],
  ];
  for (const [flags, code, stderr] of cases) {
    const result = await startWrong(node1, flags);
    t.match(result, { code, stderr }, JSON.stringify(flags));
    t.ok(result.stderr.trim().split('\n').length <= 2, 'in a line, and one on what to do');
  }
  const unprivileged = ['setpriv', '--reuid=65534', '--clear-groups'];
  t.match(await startWrong(node1, {}, unprivileged), { code: 1, stderr: /data folder|run it as root/ });
  const occupier = await occupy(node1, 'tcp', node1.requiredAddress, 2377);
  t.match(await startWrong(node1, {}), {
    code: 1,
    stderr: /control port 192\.0\.2\.1:2377 .*--control-port/,
  });
  await occupier.stop({ signal: 'SIGKILL' });
  t.same(await traces(node1), before.get('node1'));
});

let first: AgentHandle;
let second: AgentHandle;
let third: AgentHandle;

/** Runs commands, in no particular order, and holds each to its exit code and what it must say. */
async function refused(t: Tap, agent: AgentHandle, cases: readonly [string, 1 | 2, RegExp][]): Promise<void> {
  const joins = cases.filter(([line]) => line.startsWith('join '));
  const others = cases.filter(([line]) => !line.startsWith('join '));
  const work = async (todo: [string, 1 | 2, RegExp][]): Promise<void> => {
    for (let next = todo.shift(); next !== undefined; next = todo.shift()) {
      const [line, code, stderr] = next;
      t.match(await agent.tryCli(...line.split(' ')), { code, stderr, stdout: '' }, line);
    }
  };
  // An agent enters one cluster at a time.
  await Promise.all([work(joins), work(others), work(others)]);
}
type Tap = Pick<typeof t, 'match'>;

t.test('what an agent outside of a cluster refuses', async (t) => {
  [first, second, third] = (await Promise.all(edge.nodes.map((node) => edge.lab.startAgent(node)))) as [
    AgentHandle,
    AgentHandle,
    AgentHandle,
  ];
  const outside = /this node is not part of a cluster\n {2}shoal init makes a cluster, shoal join enters one/;
  const commands = ['node ls', 'service create web', 'drops', 'flows', 'leave', 'join-token worker'];
  await refused(
    t,
    first,
    commands.map((line) => [line, 1, outside]),
  );
  await refused(t, first, [
    [`join --token ${token('a', 'b')} 192.0.2.2`, 1, /192\.0\.2\.2:2377 cannot be reached: .*ECONNREFUSED/],
    [`join --token ${token('a', 'b')} 192.0.2.99`, 1, /192\.0\.2\.99:2377 cannot be reached: no answer/],
    ['join --token SWMTKN-1-a 192.0.2.2', 2, /--token "SWMTKN-1-a": this is a token of Docker Swarm/],
    [`join --token ${token('a', 'b')} host:99999`, 2, /"99999" is not a port/],
    ['init --mesh-pool 10.0.0.0/8', 2, /--mesh-pool "10\.0\.0\.0\/8": the range must be a \/13/],
    ['servce ls', 2, /unknown command 'servce'\n {2}Did you mean service\?/],
    ['service create web --pblish 80', 2, /unknown option '--pblish'\n {2}Did you mean --publish\?/],
    ['status --format xml', 2, /--format "xml": expected table or json/],
  ]);
  const stranger = await node1.exec('setpriv', [
    ...['--reuid=65534', '--clear-groups', process.execPath, program],
    ...['--socket', first.socket, 'status'],
  ]);
  t.match(stranger, { code: 1, stderr: /may not be opened by this user: run as root, or as a member of/ });

  const sameFolder = await startWrong(node1, { socket: `${node1.directory}/other.sock` });
  t.match(sameFolder, { code: 1, stderr: /data folder .* is held by another agent, process \d+/ });
  const sameSocket = { 'data-dir': `${node1.directory}/other`, 'control-port': '2378' };
  t.match(await startWrong(node1, sameSocket), {
    code: 1,
    stderr: /another agent answers on it; name another/,
  });
  for (const [transport, said] of [
    ['tcp', /127\.0\.0\.11:53 \(TCP\): another program listens there/],
    ['udp', /127\.0\.0\.11:53 \(UDP\): another program listens there/],
  ] as const) {
    const occupier = await occupy(node1, transport, '127.0.0.11', 53);
    t.match(await first.tryCli('init'), { code: 1, stderr: said });
    await occupier.stop({ signal: 'SIGKILL' });
  }
  t.same(await traces(node1), before.get('node1'));
});

t.test('an uplink without XDP in its driver: no half cluster stays, and a retry works', async (t) => {
  await node1.run('ip', ['link', 'add', 'plain0', 'type', 'bridge']);
  await node1.run('ip', ['address', 'add', '198.18.0.1/24', 'dev', 'plain0']);
  await node1.run('ip', ['link', 'set', 'plain0', 'up']);
  const clean = await traces(node1);
  await first.stop();
  const run = (mode: string): LabProcess => {
    const { dataDirectory, socket } = first;
    const args = ['agent', '--data-dir', dataDirectory, '--socket', socket, '--uplink', 'plain0'];
    return node1.spawn(process.execPath, [program, ...args, '--xdp-mode', mode], { name: 'agent-plain' });
  };
  const native = run('native');
  await native.waitForLog('agent ready');
  const failed = await first.tryCli('init');
  t.match(failed, { code: 1, stderr: /nothing was changed: .*plain0: .*xdp \(native\).*--xdp-mode auto/ });
  t.same(await traces(node1), clean);
  t.match(await first.tryCli('status'), { code: 0, stdout: /Cluster: +none/ });
  await native.stop();
  const auto = run('auto');
  await auto.waitForLog('agent ready');
  await first.cli('init');
  t.match(await first.cli('status'), { dataplane: { state: 'up', xdpMode: 'generic' } });
  t.equal((await first.tryCli('leave')).code, 0);
  await auto.stop();
  t.same(await traces(node1), clean, 'leaving takes all of it away');
  await node1.run('ip', ['link', 'delete', 'plain0']);
  await first.start();
});

t.test('a cluster lets in whom it knows, once', async (t) => {
  await first.cli('init');
  const manager = (await first.cli<{ token: string }>('join-token', 'manager')).token;
  const old = (await first.cli<{ token: string }>('join-token', 'worker')).token;
  const worker = (await first.cli<{ token: string }>('join-token', '--rotate', 'worker')).token;
  const [, , root = '', secret = ''] = manager.split('-');
  const address = `${node1.requiredAddress}:2377`;
  await refused(t, second, [
    [`join --token SHTKN-1-${'a'.repeat(50)}-${secret} ${address}`, 1, /has another root certificate than/],
    [
      `join --token SHTKN-1-${root}-${'b'.repeat(25)} ${address}`,
      1,
      /its secret is not, or no longer, one of/,
    ],
    [`join --token ${old} ${address}`, 1, /its secret is not, or no longer/],
  ]);
  t.same(await traces(node2), before.get('node2'));
  await second.cli('join', '--token', manager, address);
  await third.cli('join', '--token', worker, node2.requiredAddress);
  const already = /this node is part of a cluster already: cluster [0-9a-z]{25}\n {2}shoal leave/;
  await refused(t, first, [['init', 1, already]]);
  await refused(t, second, [[`join --token ${manager} ${address}`, 1, already]]);
});

t.test('what a cluster refuses changes nothing', async (t) => {
  for (const [index, node] of edge.nodes.entries()) {
    await startEchoServer(node, { name: `web${index + 1}`, port: 3000, address: '127.0.0.1' });
  }
  const endpoints = [1, 2, 3].flatMap((number) => ['--endpoint', `127.0.0.1:3000@node${number}`]);
  // Typed on the worker.
  await third.cli('service', 'create', 'web', '--publish', '8080', ...endpoints);
  await first.cli('service', 'create', 'site', '--publish', '80/http', '--host', 'a.example');
  const list = JSON.stringify(await first.cli('service', 'ls'));
  const create = 'service create other';
  await refused(t, first, [
    [`${create} --publish 80:x`, 2, /--publish "80:x": "x" is not a port/],
    [`${create} --endpoint 127.0.0.1:80`, 2, /127\.0\.0\.1 is every machine's own: name the node/],
    [`${create} --endpoint 127.0.0.1:80@nowhere`, 1, /no node "nowhere" in this cluster\n {2}shoal node ls/],
    [
      `${create} --publish 8080`,
      1,
      /port 8080\/tcp is published by service "web"\n {2}publish on another port/,
    ],
    [`${create} --publish 80`, 1, /port 80\/tcp is published by service "site"/],
    [`${create} --publish 80/http`, 2, /at least one --host HOSTNAME/],
    [
      `${create} --publish 80/http --host a.example`,
      1,
      /host "a\.example" on port 80 is routed to service "site"/,
    ],
    [`${create} --publish 2377`, 1, /port 2377\/tcp is the control port of node "node\d"/],
    [`${create} --publish 4789/udp`, 1, /port 4789\/udp carries the tunnels between nodes/],
    [`${create} --publish 127.0.0.1:99`, 1, /no client reaches 127\.0\.0\.1/],
    ['service create web', 1, /service "web" exists already/],
    ['service update web', 2, /nothing to change; expected at least one option/],
    ['service update web --publish-add 2377', 1, /is the control port/],
    [
      'service update web --if-version 1 --publish-add 81',
      1,
      /is at version \d+, not 1: it was changed meanwhile/,
    ],
    ['service update web --endpoint-rm 10.9.9.9:80', 1, /no endpoint of service "web" "10\.9\.9\.9:80"/],
    ['service update nobody --publish-add 81', 1, /no service "nobody"\n {2}shoal service ls lists/],
    ['service ps nobody', 1, /no service "nobody"/],
    ['service rm nobody', 1, /no service "nobody"/],
    ['attach', 2, /expected --netns PATH or --pid PID/],
    ['attach --netns nowhere', 1, /no network namespace \/run\/netns\/nowhere; ip netns lists/],
    ['attach --netns /etc/passwd', 1, /\/etc\/passwd is not a network namespace .*another kind of file/],
    ['attach --pid 4194303', 1, /there is no process 4194303/],
    ['attach --pid 1 --netns x', 2, /either --netns or --pid/],
    [`attach --netns ${node1.netnsPath}`, 1, /is the node's own network namespace/],
    [`attach --netns ${edge.client.netnsPath} --service nobody`, 1, /no service "nobody"/],
    [`attach --netns ${edge.client.netnsPath} --network nothing`, 1, /no network "nothing"/],
    ['detach nothing', 1, /no attachment "nothing"/],
    ['detach /run/netns/nothing', 1, /no attachment "\/run\/netns\/nothing"/],
    ['network rm mesh', 1, /network "mesh" belongs to the cluster and stays/],
  ]);
  t.equal(JSON.stringify(await first.cli('service', 'ls')), list);
  t.notMatch(await edge.client.run('ip', ['link']), /shoal\d/, 'nothing was attached');
  await refused(t, third, [['join-token worker', 1, /this node is a worker, and only managers have/]]);
});

t.test('every command has one JSON document, and tables that fit', async (t) => {
  await connectMany(edge.client, {
    targets: edge.nodes.map((node) => `${node.requiredAddress}:8080`),
    connections: 30,
  });
  const lines = [
    'status',
    'node ls',
    'node inspect self',
    'service ls',
    'service ps web',
    'service inspect web',
  ];
  for (const agent of [first, third]) {
    for (const line of [...lines, 'network ls', 'drops --all', 'flows']) {
      t.ok(await agent.cli(...line.split(' ')), line);
      const { stdout } = await agent.tryCli(...line.split(' '));
      if (line.includes('inspect')) continue;
      t.notMatch(stdout, /\[object|undefined|NaN|[{}]/, `${line} is for people`);
    }
  }
  t.match(
    (await third.tryCli('flows')).stdout,
    /tcp +192\.0\.2\.10:\d+ +192\.0\.2\.\d:8080 +127\.0\.0\.1:3000/,
  );
});

t.test('the API and its page: on the socket, and on the control port for nodes alone', async (t) => {
  t.match(await first.api('GET', '/openapi.json'), { status: 200, body: { openapi: /^3\./ } });
  const curl = (...args: string[]) =>
    node3.exec('curl', ['-sS', '-m', '5', '-k', '-o', '/dev/null', ...args]);
  const docs = await node1.run('curl', [
    '-sS',
    '-m',
    '5',
    '--unix-socket',
    first.socket,
    'http://shoal/docs',
  ]);
  t.match(docs, /<html/i);
  const url = `https://${node1.requiredAddress}:2377/docs`;
  const data = third.dataDirectory;
  const shown = await curl(
    '-w',
    '%{http_code}',
    '--cert',
    `${data}/node.crt`,
    '--key',
    `${data}/node.key`,
    url,
  );
  t.match(shown, { code: 0, stdout: '200' }, 'with a certificate of the cluster');
  t.not((await curl(url)).code, 0, 'not without one');
  t.not((await curl(url.replace('https', 'http'))).code, 0, 'not in plain text');
});

t.test(
  'an agent ends within two seconds, is killed, starts again, and packets never wait for it',
  async (t) => {
    const targets = edge.nodes.map((node) => `${node.requiredAddress}:8080`);
    const forwards = async (what: string) => {
      const { succeeded, errors } = await connectMany(edge.client, { targets, connections: 60 });
      t.match({ succeeded, errors }, { succeeded: 60, errors: {} }, what);
    };
    const start = performance.now();
    second.kill('SIGTERM');
    t.match(await second.process.waitForEnd(5_000), { code: 0 });
    const took_ms = performance.now() - start;
    t.ok(took_ms < 2_500, `it took ${Math.round(took_ms)} ms`);
    await forwards('without one agent');
    await second.start();
    await Promise.all([first, second, third].map((agent) => agent.stop('SIGKILL')));
    await forwards('without any agent');
    await Promise.all([first, second, third].map((agent) => agent.start()));
    await forwards('while they start');
    await until(
      async () => (await third.tryCli('service', 'update', '-d', 'web', '--check-fall', '3')).code === 0,
    );
    await forwards('after a change');
    for (const agent of [first, second, third]) t.match(agent.logs(), /taken over, without a break/);
  },
);

t.test('an agent at rest neither talks nor grows', async (t) => {
  const resident = (agent: AgentHandle): number => {
    const pid = JSON.parse(readFileSync(`${agent.dataDirectory}/agent.pid`, 'utf8')) as { pid: number };
    const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid.pid}/status`, 'utf8'))?.[1];
    return Number(kilobytes) / 1_024;
  };
  await sleep(1_000);
  const logs = [first, second, third].map((agent) => agent.logs().length);
  const earlier = [first, second, third].map(resident);
  await sleep(5_000);
  t.same(
    [first, second, third].map((agent) => agent.logs().length),
    logs,
    'nothing is logged',
  );
  for (const [index, now] of [first, second, third].map(resident).entries()) {
    const grown = now - (earlier[index] ?? 0);
    t.ok(grown < 40, `node${index + 1} grew by ${grown.toFixed(1)} MiB`);
  }
});

t.test(
  'the log is for people on a terminal, and for programs elsewhere; settings may come from a file',
  async (t) => {
    const { directory } = edge.client;
    const lines = [
      `data-dir: ${directory}/data`,
      `socket: ${directory}/s`,
      'uplink: eth0',
      'node-name: edge-x',
    ];
    await edge.client.run('sh', ['-c', `printf '%s\\n' "$@" > ${directory}/shoal.yaml`, 'sh', ...lines]);
    const command = `${process.execPath} ${program} agent --config ${directory}/shoal.yaml`;
    const plain = edge.client.spawn('sh', ['-c', `exec ${command}`], { name: 'plain' });
    await plain.waitForLog('agent ready');
    t.match(JSON.parse(plain.logs().split('\n')[0] ?? ''), { socket: `${directory}/s`, msg: 'agent ready' });
    await plain.stop();
    const terminal = edge.client.spawn('script', ['-qfec', command, '/dev/null'], { name: 'terminal' });
    await terminal.waitForLog('agent ready');
    t.match(terminal.logs(), /INFO.*agent ready/);
    t.notMatch(terminal.logs(), /"msg"/);
    await terminal.stop();
  },
);

t.test('the last manager leaves only when it is told twice', async (t) => {
  t.equal((await second.tryCli('leave')).code, 0, 'one of two managers may');
  t.same(await traces(node2), before.get('node2'));
  await refused(t, first, [
    [
      'leave',
      1,
      /the last manager: the cluster, with 1 other nodes and 2 services, would end; shoal leave --force/,
    ],
  ]);
  t.equal((await third.tryCli('leave')).code, 0, 'a worker may');
  t.same(await traces(node3), before.get('node3'));
  t.equal((await first.tryCli('leave', '--force')).code, 0);
  t.same(await traces(node1), before.get('node1'));
  t.equal(await node1.run('ls', [first.dataDirectory]), 'agent.pid\n', 'and nothing is kept');
  await first.cli('init');
  t.equal((await first.tryCli('leave')).code, 0, 'a cluster of nothing may be left');
});
