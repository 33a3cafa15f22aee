/**
 * From the replicated desired state to one node's `L7Config`: a pure function. The input types are the few fields
 * of the store's objects that matter here; `control/store/objects.ts` objects fit them as they are.
 */
import type { L7Config, L7Endpoint, L7Listener, L7Protocol, L7Route } from './config.ts';
import { isHostPattern } from './grammar.ts';

export type PlanPublish = {
  address: string | null;
  published: number;
  target: number | null;
  protocol: string;
};
export type PlanService = {
  id: string;
  name: string;
  publishes: readonly PlanPublish[];
  hosts: readonly string[];
};
export type PlanEndpoint = { id: string; serviceId: string; address: string; port: number };
export type PlanNode = { id: string; advertiseAddress: string; addresses: readonly string[] };

/** What a plan is made of. `E` and `N` are the caller's own endpoint and node types. */
export type PlanView<E extends PlanEndpoint, N extends PlanNode> = {
  services: readonly PlanService[];
  endpoints: readonly E[];
  nodes: readonly N[];
  selfNodeId: string;
  /** The store's own rule for which endpoints may get new connections. */
  eligible: (endpoint: E, nodeById: (id: string) => N | undefined) => boolean;
  /** Where this node reaches an endpoint (its `port` is the one wanted); null if it cannot. */
  connectAddress: (endpoint: E) => { address: string; port: number } | null;
};

/**
 * The configuration for node `selfNodeId`. Listeners, routes and endpoints come in a fixed order, so that equal
 * states give equal plans. A publish with an address of another node is left to that node; one with an address
 * that no node claims (a floating one) is listened on by all.
 */
export function planL7<E extends PlanEndpoint, N extends PlanNode>(view: PlanView<E, N>): L7Config {
  const nodes = new Map(view.nodes.map((node) => [node.id, node]));
  const endpointsOf = eligibleByService(view, (id) => nodes.get(id));
  const elsewhere = addressesOfOthers(view);
  const config: L7Config = { listeners: [], routes: [], services: {} };
  const listeners = new Map<string, L7Listener>();

  for (const service of [...view.services].sort(byId)) {
    const hosts = [...service.hosts].filter((host) => isHostPattern(host.toLowerCase())).sort();
    for (const publish of service.publishes) {
      const protocol = l7Protocol(publish.protocol);
      if (protocol === null) continue;
      if (publish.address !== null && elsewhere.has(publish.address)) continue;
      // Endpoints' ports depend on the publish, so each target port is a service of its own here.
      const key = publish.target === null ? service.id : `${service.id}:${publish.target}`;
      config.services[key] ??= {
        name: service.name,
        endpoints: reachable(endpointsOf.get(service.id) ?? [], publish.target, view.connectAddress),
      };
      addListener(listeners, { port: publish.published, protocol, address: publish.address });
      for (const host of hosts) config.routes.push(route(publish, protocol, host, key));
    }
  }
  config.listeners = [...listeners.values()]
    // The socket for all addresses of a port answers for the single ones too, and both cannot be bound.
    .filter(({ address, port }) => address === null || !listeners.has(listenerKey(null, port)))
    .sort((a, b) => a.port - b.port || (a.address ?? '').localeCompare(b.address ?? ''));
  return config;
}

function route(publish: PlanPublish, protocol: L7Protocol, host: string, service: string): L7Route {
  const any = { port: publish.published, protocol, host, service };
  return publish.address === null ? any : { ...any, address: publish.address };
}

function l7Protocol(protocol: string): L7Protocol | null {
  return protocol === 'http' || protocol === 'tls' ? protocol : null;
}

function listenerKey(address: string | null, port: number): string {
  return `${address ?? '*'}:${port}`;
}

function addListener(listeners: Map<string, L7Listener>, listener: L7Listener): void {
  const key = listenerKey(listener.address, listener.port);
  if (!listeners.has(key)) listeners.set(key, listener);
}

function eligibleByService<E extends PlanEndpoint, N extends PlanNode>(
  view: PlanView<E, N>,
  nodeById: (id: string) => N | undefined,
): Map<string, E[]> {
  const byService = new Map<string, E[]>();
  for (const endpoint of [...view.endpoints].sort(byId)) {
    if (!view.eligible(endpoint, nodeById)) continue;
    const list = byService.get(endpoint.serviceId);
    if (list === undefined) byService.set(endpoint.serviceId, [endpoint]);
    else list.push(endpoint);
  }
  return byService;
}

/** Addresses that belong to another node and not to this one. */
function addressesOfOthers<N extends PlanNode>(view: {
  nodes: readonly N[];
  selfNodeId: string;
}): Set<string> {
  const addresses = new Set<string>();
  for (const node of view.nodes) {
    if (node.id === view.selfNodeId) continue;
    for (const address of [node.advertiseAddress, ...node.addresses]) addresses.add(address);
  }
  const self = view.nodes.find((node) => node.id === view.selfNodeId);
  for (const address of self === undefined ? [] : [self.advertiseAddress, ...self.addresses]) {
    addresses.delete(address);
  }
  return addresses;
}

function reachable<E extends PlanEndpoint>(
  endpoints: readonly E[],
  target: number | null,
  connectAddress: (endpoint: E) => { address: string; port: number } | null,
): L7Endpoint[] {
  const reached: L7Endpoint[] = [];
  for (const endpoint of endpoints) {
    const at = connectAddress(target === null ? endpoint : { ...endpoint, port: target });
    if (at !== null) reached.push({ id: endpoint.id, address: at.address, port: at.port });
  }
  return reached;
}

function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
