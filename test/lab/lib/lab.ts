/**
 * A lab: hosts and switches in network namespaces, linked by veth pairs, that go away with `await using`.
 *
 *     await using lab = await Lab.create({ name: 'demo' });
 *     const client = await lab.addHost('client');
 *     const underlay = await lab.addSwitch('underlay');
 *     await lab.link(client, underlay, { address: '192.0.2.10/24' });
 *
 * It is taken down when it is disposed, when the process ends in whatever way it can still notice (return, uncaught
 * error, SIGINT, SIGTERM, SIGHUP), and otherwise by the next lab or `cleanup.ts`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AgentHandle, type AgentOptions, startAgent } from './agent.ts';
import { cgroupRoot, makeCgroup } from './cgroup.ts';
import { Host } from './host.ts';
import {
  addAddress,
  addBridge,
  addBridgePort,
  addVeth,
  namespaceExists,
  prepareNamespaceDirectory,
  setLinkState,
  setOffloads,
  setWire,
} from './network.ts';
import { openRun, type RunRecord, runDirectory, saveRecord } from './registry.ts';
import { removeCrashedRuns, removeRun } from './teardown.ts';

/** Hosts and switches of one lab. */
export const hostLimit = 256;

/** Longest name of a Linux network device. */
const interfaceNameLength = 15;

/** Options of a host. */
export interface HostOptions {
  /** IPv6 is switched off unless asked for, which keeps captures and counters quiet. */
  readonly ipv6?: boolean;
  /** Name servers in `/etc/resolv.conf`; none unless told. */
  readonly resolvers?: readonly string[];
}

/** Options of a link between a host and a switch. */
export interface LinkOptions {
  /** Address with prefix length for the host's end: `192.0.2.10/24`. */
  readonly address?: string;
  /** MAC of the host's end; made from the IPv4 address unless told (`02:00` and its four bytes). */
  readonly mac?: string;
  /** Name of the host's end; `eth0` unless told. */
  readonly interface?: string;
  /** 1500 unless told. */
  readonly mtu_bytes?: number;
}

/** A switch: a bridge in a namespace of its own. */
export class Switch {
  readonly name: string;
  readonly host: Host;
  /** The bridge's device. */
  readonly bridge = 'br0';

  constructor(name: string, host: Host) {
    this.name = name;
    this.host = host;
  }

  /** Unplugs or plugs the cable of a host: sets the switch's port down or up. */
  setPort(host: Host, state: 'up' | 'down'): void {
    setLinkState(this.host.namespace, portName(host), state);
  }
}

/** Labs of this process that are still up, for the hooks on its end. */
const openLabs = new Set<Lab>();

/** A set of hosts and switches. */
export class Lab implements AsyncDisposable, Disposable {
  /** The name it got: the one asked for, numbered if another lab holds that. */
  readonly name: string;
  /** Where logs and state are, until the lab goes. */
  readonly directory: string;
  readonly #record: RunRecord;
  readonly #hosts = new Map<string, Host>();
  readonly #switches = new Map<string, Switch>();
  #closed = false;

  private constructor(record: RunRecord) {
    this.#record = record;
    this.name = record.name;
    this.directory = runDirectory(record.run);
  }

  /**
   * Opens an empty lab, after removing what crashed ones left.
   * @throws Error if not root, or if something the lab needs is missing
   */
  static async create(options: { readonly name: string }): Promise<Lab> {
    if (process.getuid?.() !== 0) throw new Error('a lab makes network namespaces: run this as root');
    for (const failure of removeCrashedRuns().failed) console.error(`lab: leftover ${failure}`);
    const record = openRun(options.name);
    const lab = new Lab(record);
    openLabs.add(lab);
    installHooks();
    try {
      prepareNamespaceDirectory();
      record.cgroup = join(cgroupRoot(), `shoal-lab.${record.run}`);
      saveRecord(record);
      makeCgroup(record.cgroup);
    } catch (error) {
      lab[Symbol.dispose]();
      throw error;
    }
    return lab;
  }

  /** Names the run for `cleanup.ts`. */
  get run(): string {
    return this.#record.run;
  }

  /** All hosts, switches' own included, in the order they were made. */
  get hosts(): Host[] {
    return [...this.#hosts.values()];
  }

  /** Adds a host with nothing but a loopback device. @throws Error if its namespace's name is taken */
  async addHost(name: string, options: HostOptions = {}): Promise<Host> {
    if (!/^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$/.test(name)) {
      throw new Error(`host name '${name}' is not usable: take up to 42 lower-case letters, digits and '-'`);
    }
    if (this.#hosts.has(name)) throw new Error(`lab ${this.name} has a host '${name}' already`);
    if (this.#hosts.size >= hostLimit) throw new Error(`lab ${this.name} is full: ${hostLimit} hosts`);
    const namespace = `shoal-${this.name}-${name}`;
    if (namespaceExists(namespace)) {
      throw new Error(
        `network namespace '${namespace}' exists and is not this lab's: remove it with 'ip netns delete ${namespace}' if it is yours`,
      );
    }
    this.#record.namespaces.push(namespace);
    saveRecord(this.#record);
    const host = await Host.create({
      name,
      namespace,
      directory: join(this.directory, name),
      cgroup: join(this.#record.cgroup, name),
      token: this.#record.token,
      ipv6: options.ipv6 ?? false,
      resolvers: options.resolvers ?? [],
    });
    this.#hosts.set(name, host);
    return host;
  }

  /** The host of that name. @throws Error if there is none */
  host(name: string): Host {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`lab ${this.name} has no host '${name}'`);
    return host;
  }

  /** Adds a switch. */
  async addSwitch(name: string, options: { readonly mtu_bytes?: number } = {}): Promise<Switch> {
    const host = await this.addHost(name);
    const made = new Switch(name, host);
    addBridge(host.namespace, made.bridge, options.mtu_bytes ?? 1_500);
    this.#switches.set(name, made);
    return made;
  }

  /** The switch of that name. @throws Error if there is none */
  switch(name: string): Switch {
    const found = this.#switches.get(name);
    if (found === undefined) throw new Error(`lab ${this.name} has no switch '${name}'`);
    return found;
  }

  /**
   * Plugs a host into a switch. Frames that reach the host are as on a wire: whole checksums, no more than the MTU.
   */
  async link(host: Host, to: Switch, options: LinkOptions = {}): Promise<void> {
    const name = options.interface ?? 'eth0';
    const address = options.address?.split('/')[0];
    const mac = options.mac ?? (address === undefined ? undefined : macOf(address));
    const port = portName(host, name);
    const mtu_bytes = options.mtu_bytes ?? 1_500;
    const { namespace } = to.host;
    addVeth({ namespace: host.namespace, name, mac }, { namespace, name: port }, mtu_bytes);
    addBridgePort(namespace, to.bridge, port);
    setOffloads(namespace, port, { gro: true, txChecksum: false });
    setWire(namespace, port);
    setOffloads(host.namespace, name, { gro: true });
    if (options.address === undefined) return;
    addAddress(host.namespace, name, options.address);
    host.address ??= address;
  }

  /** Starts a shoal agent on a host and waits until it answers. */
  startAgent(host: Host, options: AgentOptions = {}): Promise<AgentHandle> {
    return startAgent(host, options);
  }

  /**
   * Leaves the lab up when this process ends.
   * @returns the command that takes it down
   */
  keep(): string {
    this.#record.kept = true;
    saveRecord(this.#record);
    openLabs.delete(this);
    return `npm run lab:clean -- ${this.run}`;
  }

  /** The ends of all logs, with headings, for the report of a failure. */
  logs(): string {
    const processes = this.hosts.flatMap((host) => host.processes);
    return processes.map((started) => `== ${started.title}\n${started.logs()}`).join('\n');
  }

  /**
   * Writes what `logs()` gives to a file named after the run in the directory that SHOAL_LAB_LOGS names, if it does:
   * the lab's own directory goes with it.
   */
  #saveLogs(): void {
    const directory = process.env.SHOAL_LAB_LOGS;
    if (directory === undefined || directory === '') return;
    try {
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, `${this.run}.log`), this.logs());
    } catch (error) {
      // Lost logs must not keep the lab from being taken down.
      console.error(`lab ${this.name}: cannot save logs: ${(error as Error).message}`);
    }
  }

  /** Takes everything down. A lab that is kept, or down already, is left as it is. */
  [Symbol.dispose](): void {
    if (this.#closed || this.#record.kept) return;
    this.#closed = true;
    openLabs.delete(this);
    this.#saveLogs();
    removeRun(this.#record);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const processes = this.#record.kept ? [] : this.hosts.flatMap((host) => host.processes);
    this[Symbol.dispose]();
    await Promise.all(processes.map((started) => started.stop()));
  }
}

/** The name of the switch's port that a host is plugged into. */
function portName(host: Host, interfaceName = 'eth0'): string {
  const suffix = interfaceName === 'eth0' ? '' : `.${interfaceName}`;
  return `${host.name.slice(0, interfaceNameLength - suffix.length)}${suffix}`;
}

/** A locally administered MAC that shows the IPv4 address: 192.0.2.1 -> 02:00:c0:00:02:01. */
function macOf(address: string): string | undefined {
  const bytes = address.split('.').map(Number);
  if (bytes.length !== 4) return undefined;
  return ['02', '00', ...bytes.map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

const endSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
let hooksInstalled = false;

function installHooks(): void {
  if (hooksInstalled) return;
  hooksInstalled = true;
  process.on('exit', closeAll);
  for (const signal of endSignals) process.on(signal, endBySignal);
}

function endBySignal(signal: NodeJS.Signals): void {
  closeAll();
  // Others who wait for this signal have had their turn or get it now; then the process ends by it, as is expected.
  for (const each of endSignals) process.removeListener(each, endBySignal);
  setImmediate(() => process.kill(process.pid, signal));
}

function closeAll(): void {
  for (const lab of openLabs) {
    try {
      lab[Symbol.dispose]();
    } catch (error) {
      console.error(`lab ${lab.name}: ${(error as Error).message}`);
    }
  }
}
