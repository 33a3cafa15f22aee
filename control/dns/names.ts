/**
 * What a name stands for: a pure function from a name in lower case to its records.
 *
 * | name | records |
 * |---|---|
 * | `web`, `web.shoal` | A: the VIP (without one, its endpoints); SRV: every published port |
 * | `tasks.web`, `tasks.web.shoal` | A and SRV: every endpoint that takes new connections |
 * | `7.tasks.web.shoal` | A and SRV: the endpoint with slot 7, whatever its health |
 * | `_8080._tcp.web`, `_8080._tcp.web.shoal` | SRV: that published port (RFC 2782) |
 * | `_web._tcp.shoal` | SRV: every published TCP port of the service |
 * | `n1.node.shoal` | A: the node's mesh address |
 * | `4.3.248.10.in-addr.arpa` | PTR: whatever has that address of the mesh pool |
 */
import { parseReverse } from './reverse.ts';

/** Domain that belongs to shoal alone. */
export const domain = 'shoal';

/** Transport protocols that SRV names know. */
export type Transport = 'tcp' | 'udp';

/** A published port. `target` is where endpoints listen for it; null means each endpoint's own port. */
export type PublishedPort = { published: number; target: number | null; transport: Transport };

/** One endpoint. `eligible` ones take new connections. */
export type TaskAddress = { slot: number; address: string; port: number; eligible: boolean };

/** What is known about one service, by its name in lower case. */
export type ServiceAddresses = {
  vip: string | null;
  /** Addresses of the endpoints that take new connections. */
  endpoints: readonly string[];
  ports?: readonly PublishedPort[];
  /** All endpoints, by slot. */
  tasks?: ReadonlyMap<number, TaskAddress>;
};

/** What the name server knows. Names are in lower case, IPv4 addresses are numbers. */
export type DnsView = {
  lookup(name: string): ServiceAddresses | undefined;
  /** Mesh address of a node. */
  lookupNode(name: string): string | undefined;
  /** Names that an address of the mesh pool has; empty if none. */
  lookupAddress(address: number): readonly string[];
  /** The mesh pool, whose reverse names are never asked elsewhere; undefined while there is no cluster. */
  meshPool: { base: number; prefixLength: number } | undefined;
};

/** Knows nothing. */
export const emptyView: DnsView = {
  lookup: () => undefined,
  lookupNode: () => undefined,
  lookupAddress: () => [],
  meshPool: undefined,
};

/** Data of an SRV record and the addresses its target has. */
export type SrvTarget = { port: number; target: string; addresses: readonly string[] };

/** The records of a name, by type. */
export type Records = {
  a: readonly string[];
  ptr: readonly string[];
  srv: readonly SrvTarget[];
};

/** `zoneLabels` is how many labels at the end make the zone's name, for the SOA of a negative answer. */
export type Resolution =
  | { kind: 'exists'; records: Records; zoneLabels: number }
  | { kind: 'missing'; zoneLabels: number }
  | { kind: 'elsewhere' };

const none: Records = { a: [], ptr: [], srv: [] };
/** Names like these exist because others lie beneath them; NXDOMAIN would deny those too (RFC 8020). */
const emptyNonTerminal = none;

function isTransport(label: string | undefined): label is '_tcp' | '_udp' {
  return label === '_tcp' || label === '_udp';
}

/** SRV of endpoints: each at its own name, since each may listen elsewhere. */
function tasksSrv(name: string, service: ServiceAddresses, target: number | null): SrvTarget[] {
  const result: SrvTarget[] = [];
  for (const task of service.tasks?.values() ?? []) {
    if (task.eligible) result.push(taskSrv(name, task, target));
  }
  return result;
}

function taskSrv(name: string, task: TaskAddress, target: number | null): SrvTarget {
  const { slot, address, port } = task;
  return { port: target ?? port, target: taskName(name, slot), addresses: [address] };
}

/** Name of one endpoint. */
export function taskName(service: string, slot: number): string {
  return `${slot}.tasks.${service}.${domain}`;
}

/** Name of one node. */
export function nodeName(node: string): string {
  return `${node}.node.${domain}`;
}

/** SRV of published ports: at the VIP, or at the endpoints of a service that has none. */
function portsSrv(name: string, service: ServiceAddresses, ports: readonly PublishedPort[]): SrvTarget[] {
  const { vip } = service;
  if (vip === null) return ports.flatMap((port) => tasksSrv(name, service, port.target));
  const numbers = new Set(ports.map((port) => port.published));
  return [...numbers].map((port) => ({ port, target: `${name}.${domain}`, addresses: [vip] }));
}

function serviceRecords(name: string, service: ServiceAddresses): Records {
  const a = service.vip === null ? service.endpoints : [service.vip];
  return {
    a,
    ptr: [],
    get srv() {
      return portsSrv(name, service, service.ports ?? []);
    },
  };
}

function tasksRecords(name: string, service: ServiceAddresses): Records {
  return {
    a: service.endpoints,
    ptr: [],
    get srv() {
      return tasksSrv(name, service, null);
    },
  };
}

/** Names beneath a service: `tasks`, `_8080._tcp`, `7.tasks`. Undefined if there is none such. */
function beneathService(
  labels: readonly string[],
  name: string,
  service: ServiceAddresses,
): Records | undefined {
  const [first = '', second] = labels;
  if (labels.length === 1) {
    if (first === 'tasks') return tasksRecords(name, service);
    return isTransport(first) ? emptyNonTerminal : undefined;
  }
  if (labels.length !== 2) return undefined;
  if (second === 'tasks') {
    const task = /^[1-9]\d{0,5}$/.test(first) ? service.tasks?.get(Number(first)) : undefined;
    return task && { a: [task.address], ptr: [], srv: [taskSrv(name, task, null)] };
  }
  if (!isTransport(second) || !/^_[1-9]\d{0,4}$/.test(first)) return undefined;
  const ports = (service.ports ?? []).filter(
    ({ published, transport }) => `_${transport}` === second && `_${published}` === first,
  );
  return ports.length === 0 ? undefined : { a: [], ptr: [], srv: portsSrv(name, service, ports) };
}

/** Names that only the domain has: nodes, and services in the form of RFC 2782. */
function domainOnly(labels: readonly string[], view: DnsView): Records | undefined {
  const [first = '', second] = labels;
  if (labels.length === 1) return first === 'node' || isTransport(first) ? emptyNonTerminal : undefined;
  if (labels.length !== 2) return undefined;
  if (second === 'node') {
    const address = view.lookupNode(first);
    return address === undefined ? undefined : { a: [address], ptr: [], srv: [] };
  }
  if (!isTransport(second) || !first.startsWith('_')) return undefined;
  const name = first.slice(1);
  const service = view.lookup(name);
  const ports = service?.ports?.filter(({ transport }) => `_${transport}` === second) ?? [];
  if (service === undefined || ports.length === 0) return undefined;
  return { a: [], ptr: [], srv: portsSrv(name, service, ports) };
}

/** The name of a service, or one beneath it. */
function resolveService(labels: readonly string[], view: DnsView): Records | undefined {
  const name = labels.at(-1) ?? '';
  const service = view.lookup(name);
  if (service === undefined) return undefined;
  return labels.length === 1
    ? serviceRecords(name, service)
    : beneathService(labels.slice(0, -1), name, service);
}

function resolveReverse(name: string, view: DnsView): Resolution | undefined {
  if (view.meshPool === undefined) return undefined;
  const found = parseReverse(name, view.meshPool);
  if (found === undefined) return undefined;
  const { zoneLabels } = found;
  if (found.kind === 'invalid') return { kind: 'missing', zoneLabels };
  if (found.kind === 'partial') return { kind: 'exists', records: emptyNonTerminal, zoneLabels };
  const ptr = view.lookupAddress(found.address);
  return ptr.length === 0
    ? { kind: 'missing', zoneLabels }
    : { kind: 'exists', records: { a: [], ptr, srv: [] }, zoneLabels };
}

/**
 * Finds the records of a name in lower case and presentation format. The `.shoal` form goes first: it is the
 * unambiguous one. `elsewhere` means that somebody else may know it.
 */
export function resolveName(name: string, view: DnsView): Resolution {
  // The most frequent question of all, and the only one that needs no labels.
  if (!name.includes('.')) {
    const service = view.lookup(name);
    if (service !== undefined) {
      return { kind: 'exists', records: serviceRecords(name, service), zoneLabels: 1 };
    }
    return name === domain
      ? { kind: 'exists', records: emptyNonTerminal, zoneLabels: 1 }
      : { kind: 'elsewhere' };
  }
  if (name.endsWith('.in-addr.arpa')) return resolveReverse(name, view) ?? { kind: 'elsewhere' };
  const labels = name.split('.');
  const qualified = labels.at(-1) === domain;
  const local = qualified ? labels.slice(0, -1) : [];
  const records =
    (qualified ? (resolveService(local, view) ?? domainOnly(local, view)) : undefined) ??
    resolveUnqualified(labels, view);
  if (records !== undefined) return { kind: 'exists', records, zoneLabels: 1 };
  return qualified || beneathKnownPorts(labels, view)
    ? { kind: 'missing', zoneLabels: 1 }
    : { kind: 'elsewhere' };
}

/** Without the domain, only `tasks.web` and `_8080._tcp.web` mean anything: the rest may be others' names. */
function resolveUnqualified(labels: readonly string[], view: DnsView): Records | undefined {
  const beneath = labels.at(-2);
  const known = (labels.length === 2 && beneath === 'tasks') || isTransport(beneath);
  return known ? resolveService(labels, view) : undefined;
}

/** `_8081._tcp.web`: the service is ours, so a port that it does not publish does not exist anywhere. */
function beneathKnownPorts(labels: readonly string[], view: DnsView): boolean {
  return isTransport(labels.at(-2)) && view.lookup(labels.at(-1) ?? '') !== undefined;
}
