/**
 * Links, addresses and offloads of a lab's namespaces: the only file that knows what makes them (netlink-ts, and
 * iproute2 for the names of namespaces and for loading an XDP program). A namespace is given by its name under
 * `/run/netns`. All of it is synchronous, so that it also works in the last moment of a process.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  addresses,
  ethtool,
  links,
  type NetlinkRequest,
  NetlinkSocket,
  netns,
  type Offloads,
  routes,
} from 'netlink-ts';
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
  return ask(namespace, links.get('lo')).alias;
}

/** One end of a veth pair. */
export interface VethEnd {
  readonly namespace: string;
  readonly name: string;
  readonly mac?: string | undefined;
}

/** Makes a veth pair with each end in its namespace, both up. */
export function addVeth(a: VethEnd, b: VethEnd, mtu_bytes: number): void {
  using far = netns.open(b.namespace);
  const end = ({ name, mac }: VethEnd) => ({ name, mtu_bytes, ...(mac === undefined ? {} : { mac }) });
  ask(a.namespace, links.create({ kind: 'veth', ...end(a), peer: { ...end(b), netns: far } }));
  // Only now: a veth cannot come up before it has its peer.
  for (const { namespace, name } of [a, b]) setLinkState(namespace, name, 'up');
}

/** Makes a bridge that forwards at once: no spanning tree. */
export function addBridge(namespace: string, name: string, mtu_bytes: number): void {
  ask(namespace, links.create({ kind: 'bridge', name, mtu_bytes, stp: false, up: true }));
}

/** Makes a link a port of a bridge. */
export function addBridgePort(namespace: string, bridge: string, port: string): void {
  ask(namespace, links.set(port, { master: bridge }));
}

/** Adds `192.0.2.1/24` to a link. */
export function addAddress(namespace: string, link: string, address: string): void {
  ask(namespace, addresses.add({ link, address, noDad: address.includes(':') }));
}

/** Adds a route; `destination` is a prefix or `default`. */
export function addRoute(namespace: string, destination: string, gateway: string): void {
  ask(namespace, routes.add({ destination, gateway }));
}

/** Sets a link up or down. */
export function setLinkState(namespace: string, link: string, state: 'up' | 'down'): void {
  ask(namespace, links.set(link, { up: state === 'up' }));
}

/**
 * Switches offloads of a link. GRO gives a veth its NAPI, without which frames that XDP sends to its peer are
 * dropped; without transmit checksums a veth sends whole checksums and no super-frames, as a wire would.
 */
export function setOffloads(namespace: string, link: string, offloads: Partial<Offloads>): void {
  ethtool.setOffloads(link, offloads, { netns: namespace });
}

/** The program of wire.bpf.c, as `make -C bpf` builds it. */
const wireObject = fileURLToPath(new URL('../../../build/bpf/wire.bpf.o', import.meta.url));

/**
 * Makes a veth take in what its peer sends by XDP_TX, as a wire would.
 * @throws Error if the program has not been built
 */
export function setWire(namespace: string, link: string): void {
  if (!existsSync(wireObject)) throw new Error(`${wireObject} is missing: run 'npm run build'`);
  runCommand('ip', ['-n', namespace, 'link', 'set', link, 'xdpdrv', 'object', wireObject, 'section', 'xdp']);
}

function ask<T>(namespace: string, request: NetlinkRequest<T>): T {
  using socket = NetlinkSocket.open({ netns: namespace });
  return socket.requestSync(request);
}
