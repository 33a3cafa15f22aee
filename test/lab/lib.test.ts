/** Tests of the lab itself: what the other lab tests, the demo and the bench stand on. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { Lab } from './lib/lab.ts';
import { identifyProcess, runDirectory } from './lib/registry.ts';
import { ForeignNamespaceError } from './lib/teardown.ts';
import { edgeLab } from './lib/topology.ts';
import { connectMany, startBulkServer, startEchoServer, startTransfer } from './lib/traffic.ts';

const childScript = fixture('lab-child.ts');
const cleanupScript = fileURLToPath(new URL('./lib/cleanup.ts', import.meta.url));

function fixture(name: string): string {
  return fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
}

function namespaces(): string[] {
  const lines = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).split('\n');
  return lines.map((line) => line.split(' ')[0] ?? '').filter((name) => name !== '');
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited 10 s for: ${what}`);
    await sleep(20);
  }
}

t.test('an edge lab carries connections between its client and every node', async (t) => {
  await using edge = await edgeLab({ name: 'libt-edge', nodes: 3 });
  t.strictSame(
    [edge.client, ...edge.nodes].map((host) => [host.name, host.address]),
    [
      ['client', '192.0.2.10'],
      ['node1', '192.0.2.1'],
      ['node2', '192.0.2.2'],
      ['node3', '192.0.2.3'],
    ],
  );
  for (const node of edge.nodes) {
    await startEchoServer(node, { name: node.name, port: 80 });
    await startEchoServer(node, { name: node.name, port: 81, protocol: 'tcp' });
    await startEchoServer(node, { name: node.name, port: 81, protocol: 'udp' });
  }
  const each = { node1: 10, node2: 10, node3: 10 };
  for (const [protocol, port] of [
    ['http', 80],
    ['tcp', 81],
    ['udp', 81],
  ] as const) {
    const targets = edge.nodes.map((node) => `${node.requiredAddress}:${port}`);
    const summary = await connectMany(edge.client, { targets, connections: 30, protocol });
    t.strictSame(summary.endpoints, each, `${protocol}: every node answers for itself`);
    t.strictSame(summary.errors, {}, `${protocol}: no connection fails`);
    t.strictSame(summary.clients, { '192.0.2.10': 30 }, `${protocol}: and sees the client's address`);
    t.strictSame(summary.targets[targets[1] ?? ''], { node2: 10 }, `${protocol}: counted by target`);
  }
  const closed = await connectMany(edge.client, { targets: ['192.0.2.1:9'], connections: 3 });
  t.strictSame(closed.errors, { ECONNREFUSED: 3 }, 'a closed port is an error by its name');
});

t.test('several clients have an address each', async (t) => {
  await using edge = await edgeLab({ name: 'libt-clients', nodes: 1, clients: 2 });
  await startEchoServer(edge.node(1), { name: 'one', port: 80 });
  for (const client of edge.clients) {
    const summary = await connectMany(client, { targets: ['192.0.2.1:80'] });
    t.strictSame(summary.clients, { [client.requiredAddress]: 1 });
  }
  await t.rejects(edgeLab({ nodes: 10 }), /nodes: 10 is not 1 to 9/);
});

t.test('a host is a machine of its own', async (t) => {
  await using lab = await Lab.create({ name: 'libt-host' });
  const one = await lab.addHost('one', { resolvers: ['127.0.0.11'] });
  const two = await lab.addHost('two', { ipv6: true });
  t.equal((await one.run('hostname')).trim(), 'one');
  t.equal(await one.run('cat', ['/etc/resolv.conf']), 'nameserver 127.0.0.11\n');
  two.setResolvers(['192.0.2.53']);
  t.equal(await two.run('cat', ['/etc/resolv.conf']), 'nameserver 192.0.2.53\n');
  t.strictSame((await one.run('ls', ['/sys/class/net'])).trim(), 'lo');
  t.match(await one.run('cat', ['/sys/fs/cgroup/cgroup.procs']), /^\d+/);
  await one.run('test', ['-r', '/sys/kernel/btf/vmlinux']);
  t.equal((await one.run('stat', ['-f', '-c', '%T', '/sys/fs/cgroup'])).trim(), 'cgroup2fs');
  t.equal(
    (await one.run('nsenter', [`--net=${two.netnsPath}`, 'readlink', '/proc/self/ns/net'])).trim(),
    (await two.run('readlink', ['/proc/self/ns/net'])).trim(),
    'and reaches a namespace made later by its path, as an agent does',
  );
  t.equal(readlinkSync(`/proc/${two.pid}/ns/net`), (await two.run('readlink', ['/proc/self/ns/net'])).trim());
  await one.run('mkdir', ['/sys/fs/bpf/mine']);
  t.ok(existsSync(`${one.bpffsPath}/mine`), 'its bpffs can be seen from outside');
  t.notOk(existsSync(`${two.bpffsPath}/mine`), 'and is not shared');
  t.equal((await one.run('cat', ['/proc/sys/net/ipv6/conf/all/disable_ipv6'])).trim(), '1');
  t.equal((await two.run('cat', ['/proc/sys/net/ipv6/conf/all/disable_ipv6'])).trim(), '0');

  t.equal(await one.run('cat', [], { input: 'given' }), 'given');
  t.equal(await one.run('sh', ['-c', 'echo $GREETING'], { env: { GREETING: 'hello' } }), 'hello\n');
  t.match(await one.exec('sh', ['-c', 'echo no >&2; exit 3']), { code: 3, stderr: 'no\n', timedOut: false });
  await t.rejects(one.run('sh', ['-c', 'echo why >&2; exit 3']), /one: sh .* failed with 3: why/);
  const slow = await one.exec('sleep', ['60'], { timeout_ms: 200 });
  t.match(slow, { code: null, signal: 'SIGKILL', timedOut: true }, 'a command that takes too long is killed');
  const flood = await one.exec('sh', ['-c', 'head -c 20000000 /dev/zero']);
  t.equal(flood.dropped_bytes, 20_000_000 - 16 * 1024 * 1024, 'output is bounded');
});

t.test('a program that ends is told apart from one that runs', async (t) => {
  await using lab = await Lab.create({ name: 'libt-program' });
  const host = await lab.addHost('one');
  const brief = host.spawn('sh', ['-c', 'echo first; echo last; exit 7']);
  t.strictSame(await brief.waitForEnd(), { code: 7, signal: null });
  t.equal(brief.logs(), 'first\nlast\n');
  await t.rejects(brief.waitForLog('never'), /one: sh ended before it wrote never \(exit 7\).*last/s);
  const stubborn = host.spawn('sh', ['-c', 'trap "" TERM; echo up; while :; do sleep 1; done']);
  await stubborn.waitForLog('up');
  await t.rejects(stubborn.waitForLog('never', 100), /did not write never in 100 ms \(still running\)/);
  t.match(await stubborn.stop({ timeout_ms: 100 }), { signal: 'SIGKILL' });
  t.match(lab.logs(), /== one: sh\nfirst\nlast\n.*== one: sh\nup\n/s);
});

t.test('frames that reach a host carry whole checksums', async (t) => {
  await using edge = await edgeLab({ name: 'libt-sums', nodes: 1 });
  const node = edge.node(1);
  await startEchoServer(node, { name: 'one', port: 80 });
  const capture = (on: typeof node): ReturnType<typeof node.spawn> =>
    on.spawn('tcpdump', [
      '-l',
      '-n',
      '-vv',
      '-i',
      'eth0',
      '-Q',
      on === node ? 'in' : 'out',
      'tcp',
      'dst',
      'port',
      '80',
    ]);
  const atNode = capture(node);
  const atClient = capture(edge.client);
  await Promise.all([atNode.waitForLog('listening on'), atClient.waitForLog('listening on')]);
  await connectMany(edge.client, { targets: ['192.0.2.1:80'], connections: 5 });
  await Promise.all([atNode.waitForLog(/Flags \[S\]/), atClient.waitForLog(/Flags \[S\]/)]);
  await Promise.all([atNode.stop(), atClient.stop()]);
  t.match(atClient.logs(), /incorrect -> /, 'the client leaves them to its device');
  t.match(atNode.logs(), /cksum 0x[0-9a-f]{4} \(correct\)/, 'the switch completes them');
  t.notMatch(atNode.logs(), /incorrect -> /);
});

t.test('what an XDP program on a node sends back reaches the client', async (t) => {
  await using edge = await edgeLab({ name: 'libt-xdp', nodes: 1 });
  const node = edge.node(1);
  const object = join(node.directory, 'reflector.bpf.o');
  const clang = existsSync('/usr/bin/clang-19') ? 'clang-19' : 'clang';
  const headers = `/usr/include/${execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim()}-linux-gnu`;
  execFileSync(clang, [
    '-O2',
    '-g',
    '-target',
    'bpf',
    '-I',
    headers,
    '-c',
    fixture('reflector.bpf.c'),
    '-o',
    object,
  ]);
  await node.run('ip', ['link', 'set', 'eth0', 'xdpdrv', 'object', object, 'section', 'xdp']);
  const answer = await edge.client.run(process.execPath, [fixture('udp-once.ts'), '192.0.2.1', '7', 'hello']);
  t.equal(answer, 'hello\n');
});

t.test('a transfer is compared with what its seed gives', async (t) => {
  await using edge = await edgeLab({ name: 'libt-bulk', nodes: 1 });
  await startBulkServer(edge.node(1), { port: 90 });
  for (const direction of ['download', 'upload'] as const) {
    const size_bytes = 8_000_000;
    const transfer = startTransfer(edge.client, { target: '192.0.2.1:90', size_bytes, direction, seed: 3 });
    await transfer.reached(0.5);
    const moved_bytes = transfer.moved_bytes;
    t.ok(moved_bytes >= size_bytes * 0.45, `${direction}: half has moved (${moved_bytes})`);
    const result = await transfer.finished();
    t.equal(result.size_bytes, size_bytes);
    t.equal(result.sha256, result.expected_sha256);
  }
  const cut = startTransfer(edge.client, {
    target: '192.0.2.1:90',
    size_bytes: 8_000_000,
    rate_bytes: 1_000_000,
  });
  await cut.reached(0.1);
  for (const server of edge.node(1).processes) server.kill('SIGKILL');
  await t.rejects(cut.finished(), /node|client: bulk-client/, 'a broken one fails');
});

t.test('a cable can be pulled and put back', async (t) => {
  await using edge = await edgeLab({ name: 'libt-cable', nodes: 1 });
  await startEchoServer(edge.node(1), { name: 'one', port: 80 });
  const attempt = (): Promise<{ succeeded: number }> =>
    connectMany(edge.client, { targets: ['192.0.2.1:80'], timeout_ms: 1_000 });
  edge.underlay.setPort(edge.node(1), 'down');
  t.equal((await attempt()).succeeded, 0);
  edge.underlay.setPort(edge.node(1), 'up');
  t.equal((await attempt()).succeeded, 1);
});

t.test('labs of the same name live side by side', async (t) => {
  const [first, second] = await Promise.all([
    edgeLab({ name: 'libt-twin', nodes: 1 }),
    edgeLab({ name: 'libt-twin', nodes: 1 }),
  ]);
  await using _first = first;
  await using _second = second;
  t.not(first.lab.name, second.lab.name);
  for (const edge of [first, second]) await startEchoServer(edge.node(1), { name: edge.lab.name, port: 80 });
  for (const edge of [first, second]) {
    const { endpoints } = await connectMany(edge.client, { targets: ['192.0.2.1:80'] });
    t.strictSame(endpoints, { [edge.lab.name]: 1 });
  }
});

t.test('nothing is left of a lab that is disposed', async (t) => {
  const edge = await edgeLab({ name: 'libt-gone', nodes: 2 });
  const sleeper = edge.node(1).spawn('sleep', ['300']);
  const { cgroup } = edge.node(1);
  const { run, name } = edge.lab;
  t.equal(namespaces().filter((namespace) => namespace.startsWith(`shoal-${name}-`)).length, 4);
  await edge[Symbol.asyncDispose]();
  t.strictSame(
    namespaces().filter((namespace) => namespace.startsWith(`shoal-${name}-`)),
    [],
  );
  t.match(sleeper.ending, { signal: 'SIGKILL' });
  t.notOk(existsSync(cgroup));
  t.notOk(existsSync(runDirectory(run)));
  await edge[Symbol.asyncDispose]();
  t.pass('a second time does nothing');
});

t.test('an agent is started, asked, killed and started again', async (t) => {
  await using edge = await edgeLab({ name: 'libt-agent', nodes: 1 });
  const program = fixture('agent-stand-in.ts');
  const agent = await edge.lab.startAgent(edge.node(1), { program, args: ['--log-level', 'debug'] });
  const flags = ['--data-dir', agent.dataDirectory, '--socket', agent.socket];
  const expected = [...flags, '--advertise-addr', '192.0.2.1', '--uplink', 'eth0', '--log-level', 'debug'];
  const status = (await agent.api('GET', '/v1/status')).body as { args: string[]; pid: number; host: string };
  t.strictSame(status.args, expected);
  t.equal(status.host, 'node1');
  t.strictSame(await agent.api('POST', '/v1/echo', { some: 'body' }), {
    status: 404,
    body: { some: 'body' },
  });
  t.strictSame(await agent.cli('service', 'ls'), {
    args: ['service', 'ls', '--format', 'json'],
    socket: agent.socket,
  });
  await t.rejects(agent.cli('fail'), /node1: shoal fail failed with 1: refused/);
  await t.rejects(agent.cli('table'), /shoal table did not print JSON but: not json/);
  await t.rejects(agent.start(), /is running/);

  agent.kill('SIGKILL');
  t.match(await agent.process.waitForEnd(), { signal: 'SIGKILL' });
  await t.rejects(agent.api('GET', '/v1/status'));
  await agent.start();
  await agent.restart();
  const again = (await agent.api('GET', '/v1/status')).body as { pid: number };
  t.not(again.pid, status.pid);
  t.match(agent.logs(), `stand-in ${again.pid} listens`);
  await agent.stop();
  t.match(agent.process.ending, { code: 0 });

  const broken = edge.lab.startAgent(edge.node(1), { program, args: ['--broken'] });
  await t.rejects(broken, /node1: agent ended at its start \(exit 1\); its log ends with:\nwrong flag/);
  const mute = edge.lab.startAgent(edge.node(1), { program, args: ['--mute'], timeout_ms: 1_500 });
  await t.rejects(mute, /node1: agent does not answer on .*shoal\.sock \(still running\)/);
});

interface Child {
  readonly process: ChildProcess;
  readonly run: string;
  readonly namespace: string;
  readonly cgroup: string;
  readonly pid: number;
}

async function startChild(...args: string[]): Promise<Child> {
  const child = spawn(process.execPath, [childScript, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (data: Buffer) => resolve(data.toString()));
    child.once('exit', (code) => reject(new Error(`the child ended with ${code}`)));
  });
  return { process: child, ...(JSON.parse(line) as Omit<Child, 'process'>) };
}

async function end(child: Child, signal: NodeJS.Signals): Promise<unknown> {
  const ended = new Promise((resolve) => child.process.once('exit', (_code, by) => resolve(by)));
  child.process.kill(signal);
  return ended;
}

function cleanUp(...args: string[]): string {
  return execFileSync(process.execPath, [cleanupScript, ...args], { encoding: 'utf8', stdio: 'pipe' });
}

t.test('a process that is told to end takes its lab down first', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const child = await startChild('libt-told');
    t.equal(await end(child, signal), signal, 'it ends by the signal');
    t.notOk(namespaces().includes(child.namespace));
    t.notOk(existsSync(child.cgroup));
    await until('the program inside is gone', () => identifyProcess(child.pid) === undefined);
  }
});

t.test('what a killed process left is removed later, and only then', async (t) => {
  const child = await startChild('libt-killed');
  t.throws(() => cleanUp(child.run), /is in use by process/, 'not while its creator lives');
  t.ok(namespaces().includes(child.namespace));
  await end(child, 'SIGKILL');
  t.ok(namespaces().includes(child.namespace), 'it is left behind');
  t.not(identifyProcess(child.pid), undefined, 'with the program inside');
  cleanUp(child.run);
  t.notOk(namespaces().includes(child.namespace));
  t.equal(identifyProcess(child.pid), undefined);
  t.notOk(existsSync(child.cgroup));
  t.notOk(existsSync(runDirectory(child.run)));
});

t.test('several may clear the same leftovers at once', async (t) => {
  const child = await startChild('libt-race');
  await end(child, 'SIGKILL');
  const cleaners = Array.from({ length: 3 }, () => {
    const cleaner = spawn(process.execPath, [cleanupScript], { stdio: ['ignore', 'ignore', 'inherit'] });
    return new Promise((resolve) => cleaner.once('exit', resolve));
  });
  t.strictSame(await Promise.all(cleaners), [0, 0, 0]);
  t.notOk(namespaces().includes(child.namespace));
  t.notOk(existsSync(child.cgroup));
});

t.test('the next lab removes what a killed process left', async (t) => {
  const child = await startChild('libt-next');
  await end(child, 'SIGKILL');
  await using _lab = await Lab.create({ name: 'libt-next' });
  t.notOk(namespaces().includes(child.namespace));
});

t.test('a lab that is kept outlives its process until it is asked to go', async (t) => {
  const child = await startChild('libt-kept', 'keep');
  t.equal(await end(child, 'SIGTERM'), 'SIGTERM');
  await using _lab = await Lab.create({ name: 'libt-other' });
  t.ok(namespaces().includes(child.namespace), 'later labs leave it alone');
  t.match(cleanUp(child.run), `removed ${child.run}`);
  t.notOk(namespaces().includes(child.namespace));
  t.throws(() => cleanUp(child.run), /no lab run/);
});

t.test('a namespace that the lab did not make is left alone', async (t) => {
  await using lab = await Lab.create({ name: 'libt-foreign' });
  const namespace = `shoal-${lab.name}-node1`;
  execFileSync('ip', ['netns', 'add', namespace]);
  t.teardown(() => execFileSync('ip', ['netns', 'delete', namespace]));
  await t.rejects(lab.addHost('node1'), /exists and is not this lab's/);
  await lab[Symbol.asyncDispose]();
  t.ok(namespaces().includes(namespace));
});

t.test('a namespace that was replaced behind the lab is left alone', async (t) => {
  const lab = await Lab.create({ name: 'libt-swapped' });
  const { namespace } = await lab.addHost('node1');
  const other = await lab.addHost('node2');
  execFileSync('ip', ['netns', 'delete', namespace]);
  execFileSync('ip', ['netns', 'add', namespace]);
  t.teardown(() => execFileSync('ip', ['netns', 'delete', namespace]));
  await t.rejects(lab[Symbol.asyncDispose](), ForeignNamespaceError);
  t.ok(namespaces().includes(namespace));
  t.notOk(namespaces().includes(other.namespace), 'the rest is gone');
});

t.test('names that lead elsewhere are refused', async (t) => {
  for (const name of ['', '../x', 'Upper', '-x', 'a'.repeat(41)]) {
    await t.rejects(Lab.create({ name }), /is not usable/, `'${name}'`);
  }
  await using lab = await Lab.create({ name: 'libt-names' });
  await t.rejects(lab.addHost('a/b'), /is not usable/);
  await lab.addHost('same');
  await t.rejects(lab.addHost('same'), /has a host 'same' already/);
  t.throws(() => lab.host('none'), /has no host 'none'/);
  t.throws(() => lab.switch('none'), /has no switch 'none'/);
});
