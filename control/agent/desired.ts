/** The replicated store -> what the data plane of one node is asked to do. Pure: every question of policy ends here. */
import { homeNode } from '../../dataplane/home-node.ts';
import type {
  DesiredEndpoint,
  DesiredPublish,
  DesiredService,
  DesiredState,
} from '../../dataplane/state/desired.ts';
import {
  type Endpoint,
  eligible,
  type Kind,
  type Node,
  type Objects,
  type Service,
} from '../store/objects.ts';

/** The part of the store's state that is read. */
export type StoreReader = {
  list<K extends Kind>(kind: K): readonly Objects[K][];
};

/** The desired state of the node `selfId`, or undefined while the store does not know that node. */
export function desiredState(store: StoreReader, selfId: string): DesiredState | undefined {
  const nodes = new Map(store.list('node').map((node) => [node.id, node]));
  const self = nodes.get(selfId);
  if (self === undefined) return undefined;
  const ready = [...nodes.values()].filter((node) => node.status === 'ready').map((node) => node.id);
  const endpoints = new Map<string, Endpoint[]>();
  for (const endpoint of store.list('endpoint')) {
    const list = endpoints.get(endpoint.serviceId);
    if (list === undefined) endpoints.set(endpoint.serviceId, [endpoint]);
    else list.push(endpoint);
  }
  return {
    self: self.slot,
    nodes: [...nodes.values()].map((node) => ({
      slot: node.slot,
      vtep: node.advertiseAddress,
      meshAddress: node.meshAddress,
      addresses: node.addresses,
    })),
    services: store
      .list('service')
      .map((service) => desiredService(service, endpoints.get(service.id), nodes)),
    endpoints: store.list('endpoint').flatMap((endpoint) => desiredEndpoint(endpoint, nodes, ready)),
    sharedAddresses: store.list('service').flatMap((service) => {
      const isRouted = service.publishes.some(({ protocol }) => protocol === 'http' || protocol === 'tls');
      return isRouted && service.vip !== null ? [service.vip] : [];
    }),
    attachments: store.list('attachment').flatMap((attachment) => {
      const node = nodes.get(attachment.nodeId);
      if (node === undefined) return [];
      return [{ id: attachment.id, address: attachment.address, node: node.slot, netns: attachment.netns }];
    }),
  };
}

function desiredService(
  service: Service,
  endpoints: readonly Endpoint[] = [],
  nodes: ReadonlyMap<string, Node>,
): DesiredService {
  return {
    id: service.id,
    vip: service.vip,
    publishes: service.publishes.flatMap((publish): DesiredPublish[] => {
      const { protocol } = publish;
      // The L7 front end's ports are sockets of the node: the data plane lets them pass.
      if (protocol !== 'tcp' && protocol !== 'udp') return [];
      return [
        {
          slot: publish.slot,
          address: publish.address,
          port: publish.published,
          target: publish.target,
          protocol,
        },
      ];
    }),
    owners: endpoints
      .filter((endpoint) => eligible(endpoint, (id) => nodes.get(id)))
      .map((endpoint) => endpoint.slot),
    generations: service.generations,
  };
}

/** None while no node can serve it: an endpoint of a node that left, or a plain one without any ready node. */
function desiredEndpoint(
  endpoint: Endpoint,
  nodes: ReadonlyMap<string, Node>,
  ready: readonly string[],
): DesiredEndpoint[] {
  const nodeId = endpoint.nodeId ?? homeNode(endpoint.id, ready);
  const node = nodeId === null ? undefined : nodes.get(nodeId);
  if (node === undefined) return [];
  const { slot, address, port } = endpoint;
  return [{ slot, address, port, kind: endpointKind(endpoint), node: node.slot }];
}

function endpointKind(endpoint: Endpoint): DesiredEndpoint['kind'] {
  if (endpoint.nodeId === null) return 'nat';
  return endpoint.attachmentId === null ? 'host' : 'namespace';
}
