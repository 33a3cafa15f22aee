/** The agent's configuration: who wins, what is found out from the machine, and what is refused. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  loadAgentConfig,
  type Machine,
  resolveAgentConfig,
  type Sources,
} from '../../../control/agent/config.ts';
import { environmentName, settingKeys, type settings } from '../../../control/agent/settings.ts';

const ipv4 = (address: string, internal = false) => ({ address, family: 'IPv4' as const, internal });
const machine: Machine = {
  hostname: 'Edge_1.example.com',
  interfaces: {
    lo: [ipv4('127.0.0.1', true)],
    eth0: [ipv4('10.0.0.1'), { address: 'fe80::1', family: 'IPv6', internal: false }],
    eth1: [ipv4('10.1.0.1'), ipv4('10.1.0.2')],
  },
};

const resolve = (sources: Partial<Sources>, on = machine) =>
  resolveAgentConfig({ flags: {}, environment: {}, ...sources }, on);
const file = (content: unknown) => ({ file: { path: '/etc/shoal.yaml', content } });

t.test('defaults', async (t) => {
  t.strictSame(resolve({ flags: { uplink: 'eth0' } }), {
    dataDir: '/var/lib/shoal',
    nodeName: 'edge-1',
    uplink: 'eth0',
    advertiseAddress: '10.0.0.1',
    controlPort: 2_377,
    xdpMode: 'auto',
    socketPath: '/run/shoal/shoal.sock',
    bpfDir: '/sys/fs/bpf/shoal',
    dns: { address: '127.0.0.11', upstreams: [] },
    log: { level: 'info', format: 'auto' },
    timing: {},
  });
});

t.test('flags come before the environment, the environment before the file', async (t) => {
  const flags = { uplink: 'eth0', 'control-port': '1111' };
  const environment = {
    SHOAL_CONTROL_PORT: '2222',
    SHOAL_NODE_NAME: 'env',
    SHOAL_DNS_UPSTREAM: '9.9.9.9, 1.1.1.1',
  };
  const content = {
    'control-port': 3333,
    'node-name': 'file',
    'data-dir': '/file',
    'dns-upstream': ['8.8.8.8'],
  };
  const config = resolve({ flags, environment, ...file(content) });
  t.match(config, {
    controlPort: 1_111,
    nodeName: 'env',
    dataDir: '/file',
    dns: { upstreams: ['9.9.9.9', '1.1.1.1'] },
  });
  t.same(resolve({ flags, ...file(content) }).dns.upstreams, ['8.8.8.8']);
  t.same(resolve({ flags: { ...flags, 'dns-upstream': ['7.7.7.7', '6.6.6.6'] } }).dns.upstreams, [
    '7.7.7.7',
    '6.6.6.6',
  ]);
});

t.test('every setting can be named in all three places', async (t) => {
  const values: Record<string, [string, (config: ReturnType<typeof resolve>) => unknown, unknown]> = {
    'data-dir': ['/d/', (c) => c.dataDir, '/d'],
    'advertise-addr': ['10.1.0.2', (c) => c.advertiseAddress, '10.1.0.2'],
    uplink: ['eth0', (c) => c.uplink, 'eth0'],
    'node-name': ['n', (c) => c.nodeName, 'n'],
    'control-port': ['99', (c) => c.controlPort, 99],
    'socket-group': ['shoal', (c) => c.socketGroup, 'shoal'],
    'bpf-dir': ['/b', (c) => c.bpfDir, '/b'],
    'xdp-mode': ['generic', (c) => c.xdpMode, 'generic'],
    'dns-addr': ['127.0.0.53', (c) => c.dns.address, '127.0.0.53'],
    'dns-upstream': ['9.9.9.9', (c) => c.dns.upstreams, ['9.9.9.9']],
    'log-level': ['debug', (c) => c.log.level, 'debug'],
    'log-format': ['json', (c) => c.log.format, 'json'],
    'raft-tick': ['20ms', (c) => c.timing.tick_ms, 20],
    'raft-election-ticks': ['30', (c) => c.timing.electionTicks, 30],
    'agent-heartbeat': ['100ms', (c) => c.timing.agentHeartbeat_ms, 100],
    'agent-down': ['5s', (c) => c.timing.agentDown_ms, 5_000],
    socket: ['/s.sock', (c) => c.socketPath, '/s.sock'],
  };
  t.same(Object.keys(values).sort(), [...settingKeys, 'socket'].sort(), 'none is forgotten here');
  // Without an uplink it takes that of the advertised address; with one, both are named.
  const base = { 'advertise-addr': '10.0.0.1' };
  for (const [key, [text, read, expected]] of Object.entries(values)) {
    const variable = environmentName(key as keyof typeof settings);
    t.strictSame(read(resolve({ flags: { ...base, [key]: text } })), expected, `--${key}`);
    const environment = { SHOAL_ADVERTISE_ADDR: '10.0.0.1', [variable]: text };
    t.strictSame(read(resolve({ environment })), expected, variable);
    t.strictSame(read(resolve(file({ ...base, [key]: text }))), expected, `${key}: in the file`);
  }
});

t.test('uplink and address are found from each other, or from a machine that leaves no choice', async (t) => {
  t.match(resolve({ flags: { 'advertise-addr': '10.1.0.2' } }), { uplink: 'eth1' });
  t.match(resolve({ flags: { uplink: 'eth0' } }), { advertiseAddress: '10.0.0.1' });
  t.throws(() => resolve({ flags: { uplink: 'lo' } }), { message: /--uplink "lo": no client comes in/ });
  t.throws(() => resolve({ flags: { uplink: 'eth0', 'advertise-addr': '127.0.0.1' } }), {
    message:
      /--advertise-addr "127\.0\.0\.1": it is every machine's own; this machine has .*10\.0\.0\.1 on eth0/,
  });
  t.match(resolve({ flags: { uplink: 'eth1', 'advertise-addr': '10.0.0.1' } }), { uplink: 'eth1' });
  const { lo, eth0 } = machine.interfaces;
  t.match(resolve({}, { ...machine, interfaces: { lo, eth0 } }), {
    uplink: 'eth0',
    advertiseAddress: '10.0.0.1',
  });
  const unclear =
    /--advertise-addr: it is not clear which address to advertise; this machine has .*10\.0\.0\.1 on eth0/;
  t.throws(() => resolve({}), { name: 'UsageError', message: unclear });
  t.throws(() => resolve({ flags: { uplink: 'eth1' } }), { message: unclear });
  t.throws(() => resolve({}, { ...machine, interfaces: {} }), { message: /no address at all/ });
});

t.test('a wrong value names the place it came from', async (t) => {
  const cases: [Partial<Sources>, RegExp][] = [
    [{ flags: { 'control-port': '0' } }, /^--control-port "0": expected a port/],
    [{ environment: { SHOAL_CONTROL_PORT: 'x' } }, /^SHOAL_CONTROL_PORT "x": expected a port/],
    [file({ 'control-port': 'x' }), /^\/etc\/shoal\.yaml: control-port "x": expected a port/],
    [
      file({ 'advertise-address': '1.2.3.4' }),
      /^\/etc\/shoal\.yaml: advertise-address: there is no such setting; expected advertise-addr$/,
    ],
    [file({ colour: 1 }), /there is no such setting; expected one of data-dir, /],
    [file({ 'data-dir': ['/a', '/b'] }), /data-dir "\["\/a","\/b"\]": expected one value, not a list/],
    [file({ 'data-dir': null }), /expected text or a number/],
    [file({ 'data-dir': { a: 1 } }), /expected text or a number/],
    [file(['a']), /^--config "\/etc\/shoal\.yaml": expected a YAML mapping/],
    [file('a'), /expected a YAML mapping/],
    [{ flags: { uplink: 'eth9' } }, /^--uplink "eth9": there is no such interface, or it is down/],
    [{ flags: { uplink: 'a/b' } }, /^--uplink "a\/b": expected the name of an interface/],
    [
      { flags: { 'advertise-addr': '10.9.9.9' } },
      /^--advertise-addr "10\.9\.9\.9": no interface has it; this machine has/,
    ],
    [{ flags: { 'advertise-addr': 'eth0' } }, /^--advertise-addr "eth0": expected an IPv4 address/],
    [{ flags: { 'data-dir': 'relative' } }, /^--data-dir "relative": expected a path from the root/],
    [{ flags: { 'data-dir': '/a/../b' } }, /expected a path from the root/],
    [{ flags: { socket: 'x.sock' } }, /^--socket "x\.sock": expected a path from the root/],
    [{ flags: { 'xdp-mode': 'fast' } }, /expected auto, native or generic/],
    [{ flags: { 'log-level': 'loud' } }, /^--log-level "loud": expected trace, debug/],
    [{ flags: { 'node-name': 'Edge' } }, /write it in lower case: edge/],
    [{ flags: { 'socket-group': ' ' } }, /expected a name or number/],
    [{ flags: { 'agent-down': '100ms' } }, /^--agent-down: they are 100ms and 200ms/],
    [{ flags: { 'agent-heartbeat': '5s' } }, /^--agent-heartbeat: they are 1000ms and 5000ms/],
    [{ flags: { 'raft-tick': '10' } }, /it has no unit/],
  ];
  for (const [sources, message] of cases) {
    const flags = { ...(message.source.includes('uplink') ? {} : { uplink: 'eth0' }), ...sources.flags };
    t.throws(() => resolve({ ...sources, flags }), { name: 'UsageError', message }, message.source);
  }
  const odd = { ...machine, hostname: 'ä' };
  t.throws(() => resolve({ flags: { uplink: 'eth0' } }, odd), {
    message: /--node-name: the host name "ä" cannot be used/,
  });
});

t.test('a file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-config-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'shoal.yaml');
  const load = (text: string) => {
    writeFileSync(path, text);
    return loadAgentConfig({ config: path, uplink: 'eth0' }, {}, machine);
  };
  t.match(await load('# comment\nnode-name: edge-7\ncontrol-port: 4000\n'), {
    nodeName: 'edge-7',
    controlPort: 4_000,
  });
  writeFileSync(path, 'node-name: edge-8\n');
  t.match(await loadAgentConfig({ uplink: 'eth0' }, { SHOAL_CONFIG: path }, machine), { nodeName: 'edge-8' });
  t.ok(await load(''), 'an empty file says nothing');
  await t.rejects(load('a: b: c'), {
    name: 'UsageError',
    message: /shoal\.yaml": .*expected a readable YAML file/,
  });
  await t.rejects(load('uplink: eth0\nuplink: eth1'), { name: 'UsageError', message: /unique/ });
  await t.rejects(load('a: &x [1]\nb: [*x, *x]'), { name: 'UsageError' });
  await t.rejects(load(`# ${'x'.repeat(1_100_000)}`), { message: /larger than/ });
  await t.rejects(loadAgentConfig({ config: join(folder, 'no.yaml') }, {}), {
    message: /there is no such file/,
  });
  await t.rejects(loadAgentConfig({ config: folder }, {}), { name: 'UsageError', message: /EISDIR/ });
});
