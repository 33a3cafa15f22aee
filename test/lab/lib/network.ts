/**
 * Links, addresses and offloads of a lab's namespaces: the only file that knows which tool makes them (iproute2 and
 * ethtool). A namespace is given by its name under `/run/netns`.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { runCommand } from './command.ts';

const netnsDirectory = '/run/netns';

/** The path of a named namespace. */
export function namespacePath(namespace: string): string {
  return `${netnsDirectory}/${namespace}`;
}

/** True if a namespace of that name exists, whoever made it. */
export function namespaceExists(namespace: string): boolean {
  return existsSync(namespacePath(namespace));
}

/**
 * Makes `/run/netns` a shared mount, as `ip netns` does at its first use. It has to be one before any mount
 * namespace is split off, or a namespace removed here would live on there.
 */
export function prepareNamespaceDirectory(): void {
  mkdirSync(netnsDirectory, { recursive: true, mode: 0o755 });
  try {
    runCommand('mount', ['--make-rshared', netnsDirectory]);
  } catch {
    runCommand('mount', ['--bind', netnsDirectory, netnsDirectory]);
    runCommand('mount', ['--make-rshared', netnsDirectory]);
  }
}

/** Gives the network namespace of a process a name. @throws Error if the name is taken */
export function nameNamespace(namespace: string, pid: number): void {
  runCommand('ip', ['netns', 'attach', namespace, String(pid)]);
}

/** Removes the name; the namespace goes when the last process in it does. */
export function unnameNamespace(namespace: string): void {
  runCommand('ip', ['netns', 'delete', namespace]);
}

/** The mark that says which run a namespace belongs to (the alias of its loopback device), if it has one. */
export function readNamespaceMark(namespace: string): string | undefined {
  const output = runCommand('ip', ['-n', namespace, '-j', 'link', 'show', 'dev', 'lo']);
  const links = JSON.parse(output) as { ifalias?: string }[];
  return links[0]?.ifalias;
}

/** One end of a veth pair. */
export interface VethEnd {
  readonly namespace: string;
  readonly name: string;
  readonly mac?: string | undefined;
}

/** Makes a veth pair with each end in its namespace, both up. */
export function addVeth(a: VethEnd, b: VethEnd, mtu_bytes: number): void {
  const end = (e: VethEnd): string[] => [
    ...['name', e.name, 'mtu', String(mtu_bytes)],
    ...(e.mac === undefined ? [] : ['address', e.mac]),
    ...['netns', e.namespace],
  ];
  runCommand('ip', ['link', 'add', ...end(a), 'type', 'veth', 'peer', ...end(b)]);
  for (const { namespace, name } of [a, b]) runCommand('ip', ['-n', namespace, 'link', 'set', name, 'up']);
}

/** Makes a bridge that forwards at once: no spanning tree, no multicast snooping. */
export function addBridge(namespace: string, name: string, mtu_bytes: number): void {
  batch(namespace, [
    `link add ${name} mtu ${mtu_bytes} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    `link set ${name} up`,
  ]);
}

/** Makes a link a port of a bridge. */
export function addBridgePort(namespace: string, bridge: string, port: string): void {
  runCommand('ip', ['-n', namespace, 'link', 'set', port, 'master', bridge]);
}

/** Adds `192.0.2.1/24` to a link. */
export function addAddress(namespace: string, link: string, address: string): void {
  const noDad = address.includes(':') ? ['nodad'] : [];
  runCommand('ip', ['-n', namespace, 'address', 'add', address, 'dev', link, ...noDad]);
}

/** Adds a route; `destination` is a prefix or `default`. */
export function addRoute(namespace: string, destination: string, gateway: string): void {
  runCommand('ip', ['-n', namespace, 'route', 'add', destination, 'via', gateway]);
}

/** Sets a link up or down. */
export function setLinkState(namespace: string, link: string, state: 'up' | 'down'): void {
  runCommand('ip', ['-n', namespace, 'link', 'set', link, state]);
}

/** Offloads that a lab changes. */
export interface Offloads {
  readonly gro?: boolean;
  readonly txChecksum?: boolean;
}

/**
 * Switches offloads of a link. GRO gives a veth its NAPI, without which frames that XDP sends to its peer are
 * dropped; without transmit checksums a veth sends whole checksums and no super-frames, as a wire would.
 */
export function setOffloads(namespace: string, link: string, offloads: Offloads): void {
  const flag = (name: string, value: boolean | undefined): string[] =>
    value === undefined ? [] : [name, value ? 'on' : 'off'];
  const changes = [...flag('gro', offloads.gro), ...flag('tx', offloads.txChecksum)];
  runCommand('nsenter', [`--net=${namespacePath(namespace)}`, 'ethtool', '-K', link, ...changes]);
}

function batch(namespace: string, lines: readonly string[]): void {
  runCommand('ip', ['-n', namespace, '-batch', '-'], `${lines.join('\n')}\n`);
}
