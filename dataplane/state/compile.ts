/**
 * Desired state -> map contents. A pure function: the same state, facts and former allocation give the same maps,
 * and two nodes that hold the same state agree on every bucket.
 */
import { parseIpv4 } from '../addresses.ts';
import { type Allocation, allocate } from './allocate.ts';
import type {
  DesiredEndpoint,
  DesiredNode,
  DesiredPublish,
  DesiredService,
  DesiredState,
  LocalFacts,
} from './desired.ts';
import {
  type EndpointEntry,
  emptyContents,
  type MapContents,
  type MeshAddressEntry,
  noMac,
} from './map-contents.ts';
import { ownersPerBucket, ownersTable } from './owners.ts';

const protocolNumber = { tcp: 6, udp: 17 } as const;
const kindNumber = { host: 1, namespace: 2, nat: 3 } as const;

/** What `compile` needs besides the state itself. */
export type CompileContext = {
  readonly facts: LocalFacts;
  /** Regions of the last compilation, or those found in the maps that were adopted. */
  readonly allocation: Allocation;
  /** Entries of the buckets map. */
  readonly bucketCapacity: number;
};

/** Contents of every map for this node. Throws `BucketsExhausted` if the tables do not fit. */
export function compile(
  state: DesiredState,
  context: CompileContext,
): { contents: MapContents; allocation: Allocation } {
  const contents = emptyContents();
  const nodes = new Map(state.nodes.map((node) => [node.slot, node]));
  const self = nodes.get(state.self);
  const endpoints = new Map(state.endpoints.map((endpoint) => [endpoint.slot, endpoint]));
  const present = (slot: number): boolean => {
    const endpoint = endpoints.get(slot);
    return endpoint !== undefined && nodes.has(endpoint.node);
  };

  for (const node of state.nodes) addNode(contents, node);
  for (const endpoint of state.endpoints) {
    contents.endpoints.set(endpoint.slot, endpointEntry(endpoint, state.self, context.facts));
  }
  for (const attachment of state.attachments) {
    const entry = attachmentEntry(attachment.address, attachment.node, state.self, context.facts);
    if (entry !== undefined) contents.meshAddresses.set(parseIpv4(attachment.address), entry);
  }

  for (const address of state.sharedAddresses) {
    contents.meshAddresses.set(parseIpv4(address), ownAddress(state.self));
  }

  const tables = new Map<string, Uint32Array>();
  for (const service of state.services) {
    if (service.publishes.length === 0) continue;
    tables.set(service.id, ownersTable(service.owners, service.generations, present));
  }
  const sizes = new Map([...tables].map(([id, table]) => [id, table.length / ownersPerBucket]));
  const allocation = allocate(context.allocation, sizes, context.bucketCapacity);
  for (const service of state.services) {
    const region = allocation.get(service.id);
    const table = tables.get(service.id);
    if (region === undefined || table === undefined) continue;
    contents.tables.set(region.base, table);
    for (const publish of service.publishes) {
      addFrontend(contents, service, publish, self);
      contents.frontends.set(publish.slot, {
        bucket_base: region.base,
        bucket_mask: region.size - 1,
        target_port: publish.target ?? 0,
        refuse: service.owners.length === 0 ? 1 : 0,
        reserved: 0,
      });
    }
  }
  return { contents, allocation };
}

function addNode(contents: MapContents, node: DesiredNode): void {
  contents.nodes.set(node.slot, { vtep: parseIpv4(node.vtep) });
  contents.meshAddresses.set(parseIpv4(node.meshAddress), ownAddress(node.slot));
}

/** An address of the node itself, not of a namespace. */
function ownAddress(node: number): MeshAddressEntry {
  return { node, ifindex: 0, mac: noMac, reserved: new Uint8Array(2) };
}

/** Only what its own node needs is filled in elsewhere too: other nodes read nothing but the endpoint's node. */
function endpointEntry(endpoint: DesiredEndpoint, self: number, facts: LocalFacts): EndpointEntry {
  const veth =
    endpoint.kind === 'namespace' && endpoint.node === self ? facts.veths.get(endpoint.address) : undefined;
  const natIfindex = endpoint.kind === 'nat' && endpoint.node === self ? facts.uplinkIfindex : 0;
  return {
    node: endpoint.node,
    address: parseIpv4(endpoint.address),
    port: endpoint.port,
    kind: kindNumber[endpoint.kind],
    reserved: 0,
    ifindex: veth?.ifindex ?? natIfindex,
    mac: veth?.mac ?? noMac,
    reserved_tail: new Uint8Array(2),
  };
}

/** An attachment of this node whose veth does not exist yet is left out, so that nothing is sent nowhere. */
function attachmentEntry(
  address: string,
  node: number,
  self: number,
  facts: LocalFacts,
): MeshAddressEntry | undefined {
  if (node !== self) return ownAddress(node);
  const veth = facts.veths.get(address);
  return veth && { ...ownAddress(node), ifindex: veth.ifindex, mac: veth.mac };
}

/** The keys that lead to a publish on this node: the VIP, and the address asked for or all of the uplink's. */
function addFrontend(
  contents: MapContents,
  service: DesiredService,
  publish: DesiredPublish,
  self: DesiredNode | undefined,
): void {
  const addresses = publish.address === null ? [...(self?.addresses ?? [])] : [publish.address];
  if (service.vip !== null) addresses.push(service.vip);
  for (const address of addresses) {
    contents.frontendSlots.set(`${address}:${publish.port}/${publish.protocol}`, {
      key: {
        address: parseIpv4(address),
        port: publish.port,
        protocol: protocolNumber[publish.protocol],
        reserved: 0,
      },
      slot: publish.slot,
    });
  }
}
