/**
 * The agent's configuration: flags before environment before YAML file before defaults, then checked against the
 * machine, so that a wrong value is one clear error before anything is touched.
 */
import { readFile } from 'node:fs/promises';
import { hostname, type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { defaultSocketPath } from '../cli/defaults.ts';
import { near } from '../cli/near.ts';
import { isName } from '../cli/parse/name.ts';
import { UsageError } from '../cli/usage-error.ts';
import type { Timing } from '../cluster/types.ts';
import { parsePath } from './setting-values.ts';
import { environmentName, type Setting, type SettingKey, settingKeys, settings } from './settings.ts';

/** Largest configuration file that is read. */
const fileSize_bytes = 1_024 * 1_024;

/** All that an agent is told when it starts. */
export type AgentConfig = {
  /** Folder of identity, keys and store. */
  dataDir: string;
  nodeName: string;
  /** IPv4 address of this machine that other nodes reach it at. */
  advertiseAddress: string;
  /** TCP port for everything between nodes. */
  controlPort: number;
  /** Interface that faces clients and other nodes. */
  uplink: string;
  xdpMode: 'auto' | 'native' | 'generic';
  /** Unix socket of the API, and the group that may open it besides the agent's own user. */
  socketPath: string;
  socketGroup?: string;
  /** Folder of the bpf file system where this agent's programs and maps are pinned. */
  bpfDir: string;
  /** Address of the resolver, and the resolvers it forwards to; none means those of /etc/resolv.conf. */
  dns: { address: string; upstreams: string[] };
  log: { level: string; format: 'auto' | 'pretty' | 'json' };
  /** Only what was named; the cluster has its own defaults. */
  timing: Timing;
};

/** Settings as one source has them, as text, each with the place it stands for errors. */
type Source = Map<string, { where: string; values: string[] }>;

/** What the configuration is checked against. */
export type Machine = {
  hostname: string;
  interfaces: NodeJS.Dict<Pick<NetworkInterfaceInfo, 'address' | 'family' | 'internal'>[]>;
};

/** Where settings come from. Values of flags are keyed by the setting's key; `socket` is one of them. */
export type Sources = {
  flags: Record<string, string | string[] | undefined>;
  environment: NodeJS.ProcessEnv;
  /** Parsed content of the YAML file, if one was named, and its path. */
  file?: { path: string; content: unknown };
};

/** `socket` is a flag of every command, and so not among the agent's own settings. */
const allKeys = [...settingKeys, 'socket'];

function fromFlags(flags: Sources['flags']): Source {
  const source: Source = new Map();
  for (const [key, value] of Object.entries(flags)) {
    if (value === undefined) continue;
    source.set(key, { where: `--${key}`, values: Array.isArray(value) ? value : [value] });
  }
  return source;
}

function fromEnvironment(environment: NodeJS.ProcessEnv): Source {
  const source: Source = new Map();
  for (const key of allKeys) {
    const where = environmentName(key as SettingKey);
    const value = environment[where];
    if (value === undefined || value === '') continue;
    const list = key !== 'socket' && (settings[key as SettingKey] as Setting).list === true;
    source.set(key, { where, values: list ? value.split(/[\s,]+/).filter((item) => item !== '') : [value] });
  }
  return source;
}

/** Throws {@link UsageError} for a file that is no mapping, an unknown key, or a value that is no text or number. */
function fromFile(file: NonNullable<Sources['file']>): Source {
  const { path, content } = file;
  const source: Source = new Map();
  if (content === null || content === undefined) return source;
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new UsageError(
      '--config',
      path,
      'a YAML mapping with one setting per line, such as `uplink: eth0`',
    );
  }
  for (const [key, value] of Object.entries(content)) {
    const where = `${path}: ${key}`;
    if (!allKeys.includes(key)) {
      const guess = near(key, allKeys);
      const hint = guess === undefined ? `one of ${allKeys.join(', ')}` : guess;
      throw new UsageError(where, undefined, hint, 'there is no such setting');
    }
    const items: unknown[] = Array.isArray(value) ? value : [value];
    const list = key !== 'socket' && (settings[key as SettingKey] as Setting).list === true;
    if (!list && items.length !== 1)
      throw new UsageError(where, JSON.stringify(value), 'one value, not a list');
    const values = items.map((item) => {
      if (typeof item === 'string' || typeof item === 'number') return String(item);
      throw new UsageError(where, JSON.stringify(item), 'text or a number');
    });
    source.set(key, { where, values });
  }
  return source;
}

/** The sources, strongest first, as one reader of settings. */
function reader(sources: readonly Source[]) {
  const find = (key: string) => sources.find((source) => source.has(key))?.get(key);
  return {
    /** Where the value of a setting comes from, for errors. */
    where: (key: string) => find(key)?.where ?? `--${key}`,
    one<T>(key: string, { parse, fallback }: Pick<Setting<T>, 'parse' | 'fallback'>): T | undefined {
      const found = find(key);
      // Of a flag that is given twice, the last one counts, as everywhere.
      const value = found?.values.at(-1) ?? fallback;
      return value === undefined ? undefined : parse(found?.where ?? `--${key}`, value);
    },
    all<T>(key: string, { parse }: Setting<T>): T[] {
      const found = find(key);
      return (found?.values ?? []).map((value) => parse(found?.where ?? `--${key}`, value));
    },
  };
}

type Reader = ReturnType<typeof reader>;

/** A setting that has a default. */
function required<T>(read: Reader, key: SettingKey, setting: Setting<T>): T {
  const value = read.one(key, setting);
  if (value === undefined) throw new Error(`setting ${key} has no default`);
  return value;
}

/** The IPv4 addresses of an interface. */
function addressesOf(machine: Machine, name: string): string[] {
  return (machine.interfaces[name] ?? [])
    .filter(({ family }) => family === 'IPv4')
    .map(({ address }) => address);
}

/** All addresses with their interfaces, for errors: `192.0.2.10 on eth0`. */
function inventory(machine: Machine): string {
  const all = Object.keys(machine.interfaces).flatMap((name) =>
    addressesOf(machine, name).map((address) => `${address} on ${name}`),
  );
  return all.length === 0 ? 'this machine has no address at all' : `this machine has ${all.join(', ')}`;
}

/** Uplink and advertised address: each found from the other where only one is named, both where there is no choice. */
function place(read: Reader, machine: Machine): { uplink: string; advertiseAddress: string } {
  const uplink = read.one('uplink', settings.uplink);
  const address = read.one('advertise-addr', settings['advertise-addr']);
  if (uplink !== undefined && addressesOf(machine, uplink).length === 0) {
    const problem = `there is no such interface, or it is down or has no IPv4 address; ${inventory(machine)}`;
    throw new UsageError(read.where('uplink'), uplink, 'an interface that is up', problem);
  }
  if (uplink !== undefined && machine.interfaces[uplink]?.every(({ internal }) => internal)) {
    const problem = 'no client comes in by the loopback interface';
    throw new UsageError(read.where('uplink'), uplink, 'the interface that faces clients and nodes', problem);
  }
  if (address?.startsWith('127.')) {
    const problem = `it is every machine's own; ${inventory(machine)}`;
    throw new UsageError(read.where('advertise-addr'), address, 'one that other nodes reach', problem);
  }
  if (address !== undefined) {
    const holder = Object.keys(machine.interfaces).find((name) =>
      addressesOf(machine, name).includes(address),
    );
    if (holder === undefined) {
      const problem = `no interface has it; ${inventory(machine)}`;
      throw new UsageError(read.where('advertise-addr'), address, 'an address of this machine', problem);
    }
    return { uplink: uplink ?? holder, advertiseAddress: address };
  }
  const names = uplink === undefined ? Object.keys(machine.interfaces) : [uplink];
  const candidates = names.flatMap((name) =>
    (machine.interfaces[name] ?? [])
      .filter(({ family, internal }) => family === 'IPv4' && (uplink !== undefined || !internal))
      .map((one) => ({ uplink: name, advertiseAddress: one.address })),
  );
  const [only, ...others] = candidates;
  if (only === undefined || others.length > 0) {
    const problem = `it is not clear which address to advertise; ${inventory(machine)}`;
    throw new UsageError('--advertise-addr', undefined, 'an address of this machine', problem);
  }
  return only;
}

/** The node's name: the one given, or made of the host name's first label. */
function nodeName(read: Reader, machine: Machine): string {
  const given = read.one('node-name', settings['node-name']);
  if (given !== undefined) return given;
  const made = (machine.hostname.split('.')[0] ?? '').toLowerCase().replaceAll('_', '-');
  if (!isName(made)) {
    const problem = `the host name "${machine.hostname}" cannot be used in DNS`;
    throw new UsageError('--node-name', undefined, 'a name of letters a-z, digits and dashes', problem);
  }
  return made;
}

/** Only what was named of the cluster's timing. Throws {@link UsageError} for a silence that no heartbeat can fill. */
function timing(read: Reader): Timing {
  const tick_ms = read.one('raft-tick', settings['raft-tick']);
  const electionTicks = read.one('raft-election-ticks', settings['raft-election-ticks']);
  const agentHeartbeat_ms = read.one('agent-heartbeat', settings['agent-heartbeat']);
  const agentDown_ms = read.one('agent-down', settings['agent-down']);
  const down_ms = agentDown_ms ?? 1_000;
  const heartbeat_ms = agentHeartbeat_ms ?? 200;
  if (down_ms < 2 * heartbeat_ms) {
    throw new UsageError(
      read.where(agentDown_ms === undefined ? 'agent-heartbeat' : 'agent-down'),
      undefined,
      'agent-down to be at least twice agent-heartbeat',
      `they are ${down_ms}ms and ${heartbeat_ms}ms`,
    );
  }
  return {
    ...(tick_ms === undefined ? {} : { tick_ms }),
    ...(electionTicks === undefined ? {} : { electionTicks }),
    ...(agentHeartbeat_ms === undefined ? {} : { agentHeartbeat_ms }),
    ...(agentDown_ms === undefined ? {} : { agentDown_ms }),
  };
}

/**
 * The configuration from all sources, checked. Pure.
 *
 * @throws UsageError that names the flag, variable or line of the file, the value and what is expected
 */
export function resolveAgentConfig(sources: Sources, machine: Machine): AgentConfig {
  const read = reader([
    fromFlags(sources.flags),
    fromEnvironment(sources.environment),
    ...(sources.file === undefined ? [] : [fromFile(sources.file)]),
  ]);
  const socketGroup = read.one('socket-group', settings['socket-group']);
  return {
    dataDir: required(read, 'data-dir', settings['data-dir']),
    nodeName: nodeName(read, machine),
    ...place(read, machine),
    controlPort: required(read, 'control-port', settings['control-port']),
    xdpMode: required(read, 'xdp-mode', settings['xdp-mode']),
    socketPath: read.one('socket', { parse: parsePath, fallback: defaultSocketPath }) ?? defaultSocketPath,
    ...(socketGroup === undefined ? {} : { socketGroup }),
    bpfDir: required(read, 'bpf-dir', settings['bpf-dir']),
    dns: {
      address: required(read, 'dns-addr', settings['dns-addr']),
      upstreams: read.all('dns-upstream', settings['dns-upstream']),
    },
    log: {
      level: required(read, 'log-level', settings['log-level']),
      format: required(read, 'log-format', settings['log-format']),
    },
    timing: timing(read),
  };
}

/** Reads and parses a configuration file. Throws {@link UsageError} that says where in the file it is wrong. */
async function readConfigFile(path: string): Promise<NonNullable<Sources['file']>> {
  const expected = 'a readable YAML file';
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw new UsageError('--config', path, expected, code === 'ENOENT' ? 'there is no such file' : message);
  }
  if (text.length > fileSize_bytes) {
    throw new UsageError('--config', path, expected, `it is larger than ${fileSize_bytes} bytes`);
  }
  const { parse } = await import('yaml');
  try {
    // Aliases can make a small file expand without bound; no setting needs one.
    return { path, content: parse(text, { maxAliasCount: 0, prettyErrors: true }) };
  } catch (thrown) {
    const [first] = (thrown as Error).message.split('\n');
    throw new UsageError('--config', path, expected, first);
  }
}

/**
 * The agent's configuration on this machine.
 *
 * @param flags values of the flags, keyed by the setting's key, and `config` for the path of the YAML file
 * @throws UsageError
 */
export async function loadAgentConfig(
  flags: Sources['flags'],
  environment = process.env,
  machine: Machine = { hostname: hostname(), interfaces: networkInterfaces() },
): Promise<AgentConfig> {
  const { config, ...others } = flags;
  const path = Array.isArray(config) ? config.at(-1) : (config ?? environment.SHOAL_CONFIG);
  const file = path === undefined || path === '' ? undefined : await readConfigFile(path);
  return resolveAgentConfig({ flags: others, environment, ...(file === undefined ? {} : { file }) }, machine);
}
