/**
 * The typed objects of the replicated store: what an operator wants, and what the agents report of it.
 *
 * Every object has an `id` that never changes and a `version`, the Raft index of the entry that last changed it;
 * a writer that sends the version it read back gets compare-and-swap. Objects that packets refer to (nodes,
 * frontends, endpoints) also have a `slot`: a small number that the state machine hands out, the same on every
 * node, which indexes the BPF maps and travels in the inner Ethernet addresses of the tunnel. Slots start at 1;
 * 0 means none. Names of quantities end in their unit.
 */
import { type Static, Type } from 'typebox';

/** Largest counts that the data plane's maps and the tunnel's address fields can hold. */
export const limits = {
  nodes: 1_023,
  frontends: 65_535,
  endpoints: 131_071,
  endpointsPerService: 1_000,
  publishesPerService: 64,
  hostsPerService: 256,
  /** Former endpoint sets a service remembers, so that flows that began under them keep their endpoint. */
  generationsPerService: 8,
  networks: 63,
  nameLength: 63,
} as const;

const Slot = Type.Integer({ minimum: 0 });
const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
const Version = Type.Integer({ minimum: 0 });
/** A DNS label, as service, node and network names must be usable in DNS. */
export const Name = Type.String({
  pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
  maxLength: limits.nameLength,
});
/** An IPv4 address in dotted form. (IPv6 joins it with the data plane's own support.) */
export const Address = Type.String({ format: 'ipv4' });

export const Role = Type.Union([Type.Literal('manager'), Type.Literal('worker')]);
export type Role = Static<typeof Role>;

/** How a published port is served: in the data plane (tcp, udp) or by the L7 front end (http, tls by SNI). */
export const Protocol = Type.Union([
  Type.Literal('tcp'),
  Type.Literal('udp'),
  Type.Literal('http'),
  Type.Literal('tls'),
]);
export type Protocol = Static<typeof Protocol>;

/**
 * The address ranges that shoal gives out, cut from one /13 (`meshPool`, default 10.248.0.0/13) in this order:
 * service VIPs (/16), overlay networks (/16, one /22 each), nodes (/16, base + node slot) and, for the L7 front
 * end to reach one endpoint through the mesh, endpoints (/15 at +4/16, base + endpoint slot).
 */
export const Cluster = Type.Object({
  id: Type.String(),
  version: Version,
  createdAt_ms: Type.Number(),
  meshPool: Type.String(),
  /** UDP port and VNI of the tunnel between nodes (RFC 7348). */
  tunnelPort: Port,
  tunnelVni: Type.Integer({ minimum: 1, maximum: 0xffffff }),
  /** Root certificate, PEM. */
  caCertificate: Type.String(),
  /** Root key, PKCS#8 PEM; managers only, sealed at rest, never sent to a worker or shown. */
  caKey: Type.String(),
  /** SHA-256 of each role's join secret is not enough to print the token again, so the secrets themselves. */
  joinSecrets: Type.Object({ manager: Type.String(), worker: Type.String() }),
});
export type Cluster = Static<typeof Cluster>;

export const Node = Type.Object({
  id: Type.String(),
  version: Version,
  name: Name,
  role: Role,
  slot: Slot,
  /** Raft id of a manager; 0 for a worker. */
  raftId: Type.Integer({ minimum: 0 }),
  /** Address that other nodes reach this one at: control traffic and tunnel end (VTEP). */
  advertiseAddress: Address,
  /** TCP port of the agent's API and Raft transport. */
  controlPort: Port,
  /** Address of the node itself in the mesh: nodes range + slot. */
  meshAddress: Address,
  /** Addresses of its uplink: each answers for every port published without an address. */
  addresses: Type.Array(Address, { maxItems: 32 }),
  /** `down` once the leader has not heard from its agent; its endpoints then leave all tables. */
  status: Type.Union([Type.Literal('ready'), Type.Literal('down')]),
  createdAt_ms: Type.Number(),
});
export type Node = Static<typeof Node>;

export const Network = Type.Object({
  id: Type.String(),
  version: Version,
  name: Name,
  subnet: Type.String(),
  createdAt_ms: Type.Number(),
});
export type Network = Static<typeof Network>;

/** One published port. `target: null` means each endpoint's own port; `address: null` every node's addresses. */
export const Publish = Type.Object({
  /** Frontend slot; 0 for http and tls, which the data plane passes to the L7 front end. */
  slot: Slot,
  address: Type.Union([Address, Type.Null()]),
  published: Port,
  target: Type.Union([Port, Type.Null()]),
  protocol: Protocol,
});
export type Publish = Static<typeof Publish>;

/** How the agent nearest to an endpoint decides that it serves. */
export const HealthCheck = Type.Object({
  kind: Type.Union([Type.Literal('tcp'), Type.Literal('http'), Type.Literal('none')]),
  /** Path of an HTTP check; a status from 200 to 399 is healthy. */
  path: Type.String({ pattern: '^/', maxLength: 1_024 }),
  interval_ms: Type.Integer({ minimum: 50, maximum: 3_600_000 }),
  timeout_ms: Type.Integer({ minimum: 10, maximum: 60_000 }),
  /** Successes in a row that make an unhealthy endpoint healthy. */
  rise: Type.Integer({ minimum: 1, maximum: 100 }),
  /** Failures in a row that make a healthy endpoint unhealthy. */
  fall: Type.Integer({ minimum: 1, maximum: 100 }),
});
export type HealthCheck = Static<typeof HealthCheck>;

/** TCP every 200 ms, out after two failures: a dead endpoint is gone from all tables within a second. */
export const defaultHealthCheck: HealthCheck = {
  kind: 'tcp',
  path: '/',
  interval_ms: 200,
  timeout_ms: 200,
  rise: 1,
  fall: 2,
};

export const Service = Type.Object({
  id: Type.String(),
  version: Version,
  name: Name,
  /** Virtual IP that answers on every published port, on every node, and the answer to the DNS name. */
  vip: Type.Union([Address, Type.Null()]),
  publishes: Type.Array(Publish, { maxItems: limits.publishesPerService }),
  /** Host names (exact, or `*.example.com`) that http and tls ports route to this service. */
  hosts: Type.Array(Type.String({ maxLength: 253 }), { maxItems: limits.hostsPerService }),
  check: HealthCheck,
  /**
   * Former sets of eligible endpoint slots, newest first. The current set is not in it. Every node computes the
   * same Maglev table for each, so that every bucket names the same earlier owners on all nodes (second hop).
   */
  generations: Type.Array(Type.Array(Slot), { maxItems: limits.generationsPerService }),
  createdAt_ms: Type.Number(),
});
export type Service = Static<typeof Service>;

export const Endpoint = Type.Object({
  id: Type.String(),
  version: Version,
  serviceId: Type.String(),
  slot: Slot,
  address: Address,
  port: Port,
  /** Node on which the address is local; null for a plain address that is reached by NAT from a home node. */
  nodeId: Type.Union([Type.String(), Type.Null()]),
  /** Set when the endpoint lives in an attached namespace. */
  attachmentId: Type.Union([Type.String(), Type.Null()]),
  health: Type.Union([Type.Literal('unknown'), Type.Literal('healthy'), Type.Literal('unhealthy')]),
  /** Why it is unhealthy, as the checking agent said; empty otherwise. */
  healthReason: Type.String({ maxLength: 256 }),
  /**
   * `serving` takes new connections. A `removed` one takes none, but stays in the tables for as long as one of
   * the service's generations names it, so that its open connections live on.
   */
  state: Type.Union([Type.Literal('serving'), Type.Literal('removed')]),
  createdAt_ms: Type.Number(),
});
export type Endpoint = Static<typeof Endpoint>;

/** A network namespace of one node that shoal has put on an overlay network. */
export const Attachment = Type.Object({
  id: Type.String(),
  version: Version,
  nodeId: Type.String(),
  networkId: Type.String(),
  address: Address,
  /** Path that opens the namespace on its node (`/run/netns/x`, `/proc/PID/ns/net`). */
  netns: Type.String({ maxLength: 1_024 }),
  createdAt_ms: Type.Number(),
});
export type Attachment = Static<typeof Attachment>;

/** One kind of object per table. */
export type Objects = {
  cluster: Cluster;
  node: Node;
  network: Network;
  service: Service;
  endpoint: Endpoint;
  attachment: Attachment;
};
export type Kind = keyof Objects;
export const kinds: readonly Kind[] = ['cluster', 'node', 'network', 'service', 'endpoint', 'attachment'];

/** An endpoint that may be given new connections: serving, not known to be unhealthy, its node not down. */
export function eligible(endpoint: Endpoint, nodeById: (id: string) => Node | undefined): boolean {
  if (endpoint.state !== 'serving' || endpoint.health === 'unhealthy') return false;
  if (endpoint.nodeId === null) return true;
  return nodeById(endpoint.nodeId)?.status === 'ready';
}
