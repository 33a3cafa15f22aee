/** The real command, as a process, against the real API on a real Unix socket; only the agent behind it is pretended. */
import { execFile } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { buildApp } from '../../../control/api/app.ts';
import { listenOnSocket } from '../../../control/api/socket.ts';
import { shoalError } from '../../../control/errors.ts';
import { FakeAgent, fakeAgent } from '../api/fake-agent.ts';

const executable = join(import.meta.dirname, '../../../control/cli/shoal.ts');
const manyRunner = join(import.meta.dirname, 'run-many.ts');
const folder = mkdtempSync(join(tmpdir(), 'shoal-cli-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

type Result = { code: number | null; stdout: string; stderr: string };

/** Runs a TypeScript file with the socket in its environment. */
function start(file: string, socket: string, words: readonly string[]): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [file, ...words],
      { env: { PATH: process.env.PATH, SHOAL_SOCKET: socket }, timeout: 60_000 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}

/** Runs `shoal` with these words, as a process of its own. */
const shoal = (socket: string, ...words: string[]) => start(executable, socket, words);

/** Runs several command lines in one process, in order. */
async function shoals(socket: string, commands: readonly string[][]): Promise<Result[]> {
  const { stdout, stderr } = await start(manyRunner, socket, [JSON.stringify(commands)]);
  if (stdout === '') throw new Error(`the command lines were not run: ${stderr}`);
  return JSON.parse(stdout);
}

/** An agent that serves, and a way to command it. */
async function serve(agent: FakeAgent, name: string) {
  const app = await buildApp({ services: agent, surface: 'local' });
  const path = join(folder, `${name}.sock`);
  await listenOnSocket(app, { path });
  return {
    path,
    run: (...words: string[]) => shoal(path, ...words),
    /** The one JSON document that a command prints. */
    json: async (...words: string[]) => {
      const result = await shoal(path, '--format', 'json', ...words);
      return JSON.parse(result.code === 0 ? result.stdout : result.stderr);
    },
    [Symbol.asyncDispose]: () => app.close(),
  };
}

t.test('the file can be executed as it is', async (t) => {
  accessSync(executable, constants.X_OK);
  t.match(readFileSync(executable, 'utf8'), /^#!\/usr\/bin\/env node\n/);
});

t.test('from init to a service and back', async (t) => {
  const agent = new FakeAgent();
  await using api = await serve(agent, 'journey');
  const before = await api.run('status');
  t.match(before, { code: 0, stdout: /^Cluster: +none: shoal init makes one/ });
  t.match(await api.run('service', 'ls'), {
    code: 1,
    stdout: '',
    stderr:
      'shoal: this node is not part of a cluster\n  shoal init makes a cluster, shoal join enters one\n',
  });

  const init = await api.run('init', '--mesh-pool', '10.64.0.0/13');
  t.match(init, {
    code: 0,
    stdout: /now the first manager[\s\S]+ {4}shoal join --token SHTKN-1-\S+ 10\.0\.0\.1:2377\n/,
  });
  t.match(await api.run('init'), {
    code: 1,
    stderr: /part of a cluster already\n {2}shoal leave takes it out/,
  });
  await agent.cluster.addNode('edge-2', 'worker', 2);
  const stuckId = await agent.cluster.addNode('edge-3', 'worker', 3);

  const nodes = (await api.run('node', 'ls')).stdout.split('\n');
  t.match(nodes[0], /^ID +NAME +STATUS +MANAGER STATUS +ADDRESS +MESH ADDRESS$/);
  t.match(nodes[1], /^[0-9a-z]{12} \* +edge-1 +Ready +Leader +10\.0\.0\.1 +10\.\S+$/);
  t.match(nodes[2], /^[0-9a-z]{12} +edge-2 +Ready +10\.0\.0\.2 +10\.\S+$/);

  const create = ['service', 'create', 'web', '-p', '8080:80', '--endpoint', '127.0.0.1:80@edge-2'];
  const created = await api.run(...create, '--check', 'http:/up', '--check-interval', '500ms');
  t.match(created, { code: 0, stderr: '', stdout: /^[0-9a-z]{25}\nweb: 3 of 3 nodes have it\n$/ });
  t.match(agent.cluster.proposed.at(-1), {
    type: 'service.create',
    check: { kind: 'http', path: '/up', interval_ms: 500 },
    endpoints: [{ address: '127.0.0.1', port: 80 }],
  });

  agent.cluster.stuck.add(stuckId);
  const updated = await api.run('service', 'update', 'web', '--endpoint-add', '10.9.0.1:80');
  t.match(updated, {
    code: 0,
    stdout: /web: 2 of 3 nodes have it\n$/,
    stderr: /^shoal: web: not yet on edge-3; the change is made/,
  });
  const waits = agent.cluster.waits.length;
  t.match(await api.run('service', 'update', '-d', 'web', '--publish-add', '53/udp'), {
    code: 0,
    stdout: /^[0-9a-z]{25}\n$/,
    stderr: '',
  });
  t.equal(agent.cluster.waits.length, waits, '--detach does not wait');

  const services = (await api.run('service', 'ls')).stdout.split('\n');
  t.match(services[1], /^[0-9a-z]{12} +web +10\.\S+ +2\/2 +\*:8080->80\/tcp, \*:53\/udp$/);
  const endpoints = (await api.run('service', 'ps', 'web')).stdout;
  t.match(endpoints, /127\.0\.0\.1:80 +edge-2 +Serving/);
  t.match(endpoints, /10\.9\.0\.1:80 +- +Serving/);
  t.match((await api.run('service', 'ls', '-q')).stdout, /^[0-9a-z]{12}\n$/);
  t.match(
    (await api.run('service', 'inspect', '--pretty', 'web')).stdout,
    /Check: +http:\/up every 500ms, timeout 200ms/,
  );

  const removed = await api.run('service', 'rm', 'web', 'wab');
  t.match(removed, { code: 1, stdout: 'web\n', stderr: /there is no service "wab"/ });
  await api.run('service', 'create', 'last');
  const refused = await api.run('leave');
  t.match(refused, {
    code: 1,
    stderr: /last manager: the cluster, with 2 other nodes and 1 services, would end/,
  });
  const left = await api.run('leave', '--force');
  t.match(left, { code: 0, stdout: 'This node has left its cluster.\n' });
});

t.test('one JSON document from every command that succeeds', async (t) => {
  await using api = await serve(await fakeAgent(), 'json');
  const cases: [string, unknown][] = [
    ['status', { membership: 'member', counts: { nodes: 3 } }],
    ['node ls', [{ name: 'edge-1' }, { name: 'edge-2' }, { name: 'edge-3' }]],
    ['node inspect self edge-3', [{ name: 'edge-1' }, { name: 'edge-3' }]],
    ['service create web -p 80', { name: 'web', convergence: { missing: [] } }],
    ['service update web --host-add a.example.com', { hosts: ['a.example.com'] }],
    ['service inspect web', [{ name: 'web' }]],
    ['service ps web', []],
    ['network create backend', { name: 'backend' }],
    ['network ls', [{ name: 'backend' }, { name: 'mesh' }]],
    ['network rm backend', { removed: [{ ref: 'backend', name: 'backend' }] }],
    ['attach --netns app --service web --port 80', { service: 'web' }],
    ['detach /run/netns/app', { removed: [{ network: 'mesh' }] }],
    ['drops', [{ reason: 'no_endpoint' }, { packets: 0 }]],
    ['flows --limit 1', { total: 2, limit: 1 }],
    ['join-token worker', { token: /^SHTKN-1-/ }],
    ['service rm web', { removed: [{ ref: 'web' }] }],
    ['leave --force', { membership: 'none' }],
    ['init', { membership: 'member', joinCommand: /^shoal join --token/ }],
  ];
  const commands = cases.map(([line]) => [...line.split(' '), '--format', 'json']);
  for (const [index, { code, stdout, stderr }] of (await shoals(api.path, commands)).entries()) {
    const [line = '', expected] = cases[index] ?? [];
    t.match({ code, stderr }, { code: 0, stderr: '' }, line);
    t.match(JSON.parse(stdout), expected, line);
  }
});

t.test('tables and short answers', async (t) => {
  const agent = await fakeAgent();
  await using api = await serve(agent, 'tables');
  t.match(
    (await api.run('drops')).stdout,
    /^REASON +PACKETS +DESCRIPTION\nno_endpoint +7 +no endpoint takes connections\n$/,
  );
  t.match(
    (await api.run('flows', '--limit', '1')).stdout,
    /edge-1 +established +10 +1000 +61s\n\n1 of 2 flows; --limit shows more\.\n$/,
  );
  t.match((await api.run('join-token', '-q', 'manager')).stdout, /^SHTKN-1-\S+\n$/);
  t.match(
    (await api.run('network', 'ls')).stdout,
    /^ID +NAME +SUBNET +ATTACHED\n\S{12} +mesh +10\.\S+\/22 +0\n$/,
  );
  t.match(
    (await api.run('attach', '--pid', '42')).stdout,
    /^[0-9a-z]{25}\n\/proc\/42\/ns\/net is on mesh as 10\./,
  );
  t.match(JSON.parse((await api.run('node', 'inspect', 'edge-2')).stdout), [{ name: 'edge-2' }]);
  t.match(await api.run('node', 'inspect', '--pretty', 'edge-2', 'edge-9'), {
    code: 1,
    stdout: /Name: +edge-2/,
    stderr: /there is no node "edge-9" in this cluster/,
  });
});

t.test('what cannot be meant is refused with 2, before anything is sent', async (t) => {
  const agent = await fakeAgent();
  await using api = await serve(agent, 'usage');
  const sent = agent.cluster.proposed.length;
  const cases: [string[], RegExp][] = [
    [
      ['service', 'create', 'web', '--pubish', '80'],
      /^shoal: unknown option '--pubish'\n {2}Did you mean --publish\?\n {2}see shoal service create --help\n$/,
    ],
    [['servce', 'ls'], /^shoal: unknown command 'servce'\n {2}Did you mean service\?\n/],
    [['service', 'creat', 'x'], /unknown command 'creat'\n {2}Did you mean create\?/],
    [['service', 'create'], /missing required argument 'name'/],
    [['service', 'create', 'web', '-p'], /option '-p, --publish <port>' argument missing/],
    [
      ['service', 'create', 'web', '-p', '80000'],
      /^shoal: --publish "80000": "80000" is not a port from 1 to 65535; expected \[ADDR:\]/,
    ],
    [['service', 'update', 'web'], /nothing to change/],
    [['join', '--token', 'nonsense', '10.0.0.1'], /--token "nonsense": expected a token/],
    [['join', '10.0.0.1'], /required option '--token <token>' not specified/],
    [['join-token', 'boss'], /role "boss": expected manager or worker/],
    [['node', 'ls', 'extra'], /too many arguments/],
    [['node', 'ls', '--format', 'xml'], /--format "xml": expected table or json/],
    [
      ['attach', '--pid', '1', '--port', '80'],
      /--port "80": a port belongs to a service; expected --service NAME as well/,
    ],
    [['agent', '--uplink', 'no/such'], /--uplink "no\/such": expected the name of an interface/],
    [['node'], /a command is missing/],
  ];
  const results = await shoals(
    api.path,
    cases.map(([words]) => words),
  );
  for (const [index, [words, pattern]] of cases.entries()) {
    const { code, stdout, stderr = '' } = results[index] ?? {};
    t.equal(code, 2, `shoal ${words.join(' ')}`);
    t.equal(stdout, '');
    t.match(stderr, pattern);
    t.notMatch(stderr, /^ +at /m, 'no stack trace');
  }
  t.equal(agent.cluster.proposed.length, sent);
});

t.test('errors as JSON, one document each', async (t) => {
  const agent = await fakeAgent();
  await using api = await serve(agent, 'errors');
  t.match(await api.json('service', 'inspect', 'web'), {
    error: { code: 'UNKNOWN_SERVICE', hint: /service ls/ },
  });
  t.match(await api.json('node'), { error: { code: 'USAGE', message: 'a command is missing' } });
  t.match(await api.json('node', 'ls', '--quite'), {
    error: { code: 'USAGE', hint: 'Did you mean --quiet?' },
  });
  agent.cluster.nextFailure = shoalError('NO_LEADER');
  t.match(await api.json('network', 'create', 'x'), {
    error: { code: 'NO_LEADER', message: /nothing was changed/ },
  });
  agent.cluster.nextFailure = shoalError('TIMEOUT');
  t.match(await api.json('network', 'create', 'x'), {
    error: { code: 'TIMEOUT', message: /outcome is unknown/ },
  });
  const token = `SHTKN-1-${'a'.repeat(50)}-${'b'.repeat(25)}`;
  await api.run('leave', '--force');
  t.match(await api.json('join', '--token', token, '10.0.0.9'), { error: { code: 'INVALID_TOKEN' } });
});

t.test('no agent', async (t) => {
  const missing = join(folder, 'nobody.sock');
  t.same(await shoal(missing, 'service', 'rm', 'a', 'b'), {
    code: 1,
    stdout: '',
    stderr: `shoal: no agent answers at ${missing}: is \`shoal agent\` running? (--socket, SHOAL_SOCKET)\n`,
  });
  const other = join(folder, 'other.sock');
  t.match(
    (await shoal(missing, 'status', '--socket', other)).stderr,
    new RegExp(`no agent answers at ${other}`),
  );
});

t.test('help goes to standard output, and needs no agent', async (t) => {
  const missing = join(folder, 'nobody.sock');
  const bare = await shoal(missing);
  t.match(bare, { code: 0, stderr: '', stdout: /^Usage: shoal \[options\] COMMAND/ });
  const asked = await shoal(missing, 'service', 'create', '--help');
  t.match(asked, { code: 0, stderr: '', stdout: /Examples:\n {2}\$ shoal service create/ });
  t.same(await shoal(missing, 'help', 'service', 'create'), asked);
});
