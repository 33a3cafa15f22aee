/** From the store's objects to what the name server knows. */
import { formatIpv4, meshRanges } from '../../dataplane/addresses.ts';
import { type Endpoint, eligible, limits, type Node, type Service } from '../store/objects.ts';
import {
  type DnsView,
  domain,
  nodeName,
  type PublishedPort,
  type ServiceAddresses,
  type TaskAddress,
  taskName,
} from './names.ts';
import { parseAddress, parsePrefix } from './reverse.ts';

/** Names that one address may have: clients take few, and an answer has to fit a datagram. */
const maxNamesOfAddress = 8;

/**
 * Address at which the mesh reaches one endpoint from anywhere: the endpoints range of the mesh pool plus its
 * slot. `meshPool` is in CIDR form (`10.248.0.0/13`). Throws a RangeError if it is no IPv4 prefix, or the slot is
 * not one of an endpoint.
 */
export function meshEndpointAddress(meshPool: string, slot: number): string {
  if (!Number.isInteger(slot) || slot < 1 || slot > limits.endpoints) {
    throw new RangeError(`endpoint slot ${slot} is not within 1 to ${limits.endpoints}`);
  }
  return formatIpv4(meshRanges(meshPool).endpoints.base + slot);
}

/** Address that `tasks.NAME` shows: an attached endpoint has one of its own on the overlay, any other the mesh's. */
export function endpointAddress(endpoint: Endpoint, meshPool: string): string {
  return endpoint.attachmentId === null ? meshEndpointAddress(meshPool, endpoint.slot) : endpoint.address;
}

/** Objects of the store that names are made of. */
export type ViewSource = {
  meshPool: string;
  nodes: Iterable<Node>;
  services: Iterable<Service>;
  endpoints: Iterable<Endpoint>;
};

/** Http and tls ports are TCP ports to a client. */
function publishedPorts(service: Service): PublishedPort[] {
  return service.publishes.map(({ published, target, protocol }) => ({
    published,
    target,
    transport: protocol === 'udp' ? 'udp' : 'tcp',
  }));
}

type ServiceEntry = ServiceAddresses & { endpoints: string[]; tasks: Map<number, TaskAddress> };

/**
 * Builds the view: every service with its VIP and the addresses of the endpoints that take new connections, and
 * every node. A mesh pool that is no IPv4 prefix ("" before there is a cluster) makes no reverse name ours.
 */
export function buildView(source: ViewSource): DnsView {
  const { meshPool } = source;
  const nodes = new Map([...source.nodes].map((node) => [node.id, node]));
  const nodeAddresses = new Map([...nodes.values()].map((node) => [node.name, node.meshAddress]));
  const byId = new Map<string, { service: Service; entry: ServiceEntry }>();
  const byName = new Map<string, ServiceAddresses>();
  for (const service of source.services) {
    const entry = { vip: service.vip, endpoints: [], ports: publishedPorts(service), tasks: new Map() };
    byId.set(service.id, { service, entry });
    byName.set(service.name, entry);
  }
  const known: { endpoint: Endpoint; serviceName: string }[] = [];
  for (const endpoint of source.endpoints) {
    const { service, entry } = byId.get(endpoint.serviceId) ?? {};
    if (service === undefined || entry === undefined) continue;
    const { slot, port } = endpoint;
    const address = endpointAddress(endpoint, meshPool);
    const takesConnections = eligible(endpoint, (id) => nodes.get(id));
    known.push({ endpoint, serviceName: service.name });
    entry.tasks.set(slot, { slot, address, port, eligible: takesConnections });
    if (takesConnections) entry.endpoints.push(address);
  }
  let reverse: ReverseNames | undefined;
  return {
    lookup: (name) => byName.get(name),
    lookupNode: (name) => nodeAddresses.get(name),
    lookupAddress: (address) => {
      // Made when first asked for: there are many views and few reverse questions.
      reverse ??= reverseNames(meshPool, nodes.values(), byName, known);
      return reverse.get(address) ?? [];
    },
    meshPool: parsePrefix(meshPool),
  };
}

type ReverseNames = ReadonlyMap<number, readonly string[]>;

/** Names by address. An attached endpoint has two addresses; an attached address may serve many services. */
function reverseNames(
  meshPool: string,
  nodes: Iterable<Node>,
  services: ReadonlyMap<string, ServiceAddresses>,
  endpoints: readonly { endpoint: Endpoint; serviceName: string }[],
): ReverseNames {
  const names = new Map<number, string[]>();
  const add = (address: string | null, name: string): void => {
    const number = address === null ? undefined : parseAddress(address);
    if (number === undefined) return;
    const known = names.get(number);
    if (known === undefined) names.set(number, [name]);
    else if (!known.includes(name) && known.length < maxNamesOfAddress) known.push(name);
  };
  for (const node of nodes) add(node.meshAddress, nodeName(node.name));
  for (const [name, { vip }] of services) add(vip, `${name}.${domain}`);
  for (const { endpoint, serviceName } of endpoints) {
    const name = taskName(serviceName, endpoint.slot);
    add(meshEndpointAddress(meshPool, endpoint.slot), name);
    if (endpoint.attachmentId !== null) add(endpoint.address, name);
  }
  return names;
}
