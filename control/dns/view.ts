/** From the store's objects to what the name server knows. */
import { type Endpoint, eligible, type Node, type Service } from '../store/objects.ts';
import type { DnsView, ServiceAddresses } from './answer.ts';

/** Offset of the endpoints range within the mesh pool: four times a /16 (see `Cluster` in the store's objects). */
const endpointsRangeOffset = 4 * 65_536;

/**
 * Address at which the mesh reaches one endpoint from anywhere: the endpoints range of the mesh pool plus its
 * slot. `meshPool` is in CIDR form (`10.248.0.0/13`). Throws a RangeError if it is no IPv4 prefix, or the slot is
 * not one of an endpoint.
 */
export function meshEndpointAddress(meshPool: string, slot: number): string {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/\d{1,2}$/.exec(meshPool);
  const octets = match?.slice(1).map(Number);
  if (octets === undefined || octets.some((octet) => octet > 255)) {
    throw new RangeError(`mesh pool "${meshPool}" is not an IPv4 prefix such as 10.248.0.0/13`);
  }
  if (!Number.isInteger(slot) || slot < 1 || slot >= 2 * 65_536) {
    throw new RangeError(`endpoint slot ${slot} is not within 1 to 131071`);
  }
  const base = octets.reduce((value, octet) => value * 256 + octet, 0);
  const address = base + endpointsRangeOffset + slot;
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
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

/** Builds the view: every service with its VIP and the addresses of the endpoints that take new connections. */
export function buildView(source: ViewSource): DnsView {
  const nodes = new Map([...source.nodes].map((node) => [node.id, node]));
  const addresses = new Map<string, string[]>();
  const byName = new Map<string, ServiceAddresses>();
  for (const service of source.services) {
    const endpoints: string[] = [];
    addresses.set(service.id, endpoints);
    byName.set(service.name, { vip: service.vip, endpoints });
  }
  for (const endpoint of source.endpoints) {
    if (!eligible(endpoint, (id) => nodes.get(id))) continue;
    addresses.get(endpoint.serviceId)?.push(endpointAddress(endpoint, source.meshPool));
  }
  return { lookup: (name) => byName.get(name) };
}
