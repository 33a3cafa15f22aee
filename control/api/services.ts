/**
 * What the API needs of the agent, as interfaces: the routes know nothing else of it, so that they can be served
 * and tested without a cluster, a kernel or a network.
 */
import type { ClusterFacade } from '../cluster/types.ts';
import type { Attachment, Kind, Objects } from '../store/objects.ts';

/** The local replica, for reading. */
export interface StateReader {
  /** Index of the entry that was applied last. */
  readonly version: number;
  get<K extends Kind>(kind: K, id: string): Objects[K] | undefined;
  byName<K extends Kind>(kind: K, name: string): Objects[K] | undefined;
  list<K extends Kind>(kind: K): readonly Objects[K][];
  endpointsOf(serviceId: string): readonly Objects['endpoint'][];
}

/** The part of the cluster facade that the API uses. */
export type ClusterServices = Pick<
  ClusterFacade,
  'membership' | 'init' | 'join' | 'leave' | 'propose' | 'leader' | 'issueJoinToken' | 'waitApplied'
> & { readonly state: StateReader };

/** Packets dropped for one reason, since the data plane was first loaded. */
export type DropCounter = { reason: string; description: string; packets: number };

/** One entry of this node's flow table. */
export type FlowRow = {
  protocol: string;
  /** ADDRESS:PORT of the client. */
  client: string;
  /** ADDRESS:PORT that the client reached. */
  frontend: string;
  /** ADDRESS:PORT that serves it. */
  endpoint: string;
  /** Name of the node that the flow came in by. */
  via: string;
  state: string;
  packets: number;
  bytes: number;
  age_ms?: number;
};

/** This node's data plane, for reading. */
export interface DataplaneServices {
  /** A few facts for `shoal status`: uplink, XDP mode, counts. Flat, JSON values. */
  summary(): Promise<object>;
  drops(): Promise<DropCounter[]>;
  /** At most `limit` flows, and how many there are. */
  flows(limit: number): Promise<{ flows: FlowRow[]; total: number; limit: number }>;
}

/** A namespace of this node to bring onto a network. */
export type AttachRequest = { netns: string; network: string; service?: string; port?: number };

/** All that the API needs of the agent it runs in. */
export interface AgentServices {
  readonly cluster: ClusterServices;
  readonly dataplane: DataplaneServices;
  /** IPv4 addresses of the uplink, which answer for ports published without an address. */
  uplinkAddresses(): string[];
  /** Puts a namespace on a network, its links and resolver included. */
  attach(request: AttachRequest): Promise<Attachment>;
  /** Undoes {@link attach}, by attachment id. */
  detach(id: string): Promise<void>;
}
