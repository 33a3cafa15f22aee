/**
 * What the data plane of one node is asked to do: the cluster's state, reduced to what packets need, with every
 * question of policy (who is eligible, which node is home) already answered. Slots are the store's.
 */

/** A node of the mesh. */
export type DesiredNode = {
  readonly slot: number;
  /** Its end of the tunnel. */
  readonly vtep: string;
  readonly meshAddress: string;
  /** Addresses of its uplink that answer for ports published without an address. */
  readonly addresses: readonly string[];
};

/** One published TCP or UDP port. */
export type DesiredPublish = {
  readonly slot: number;
  /** null: every address of every node. */
  readonly address: string | null;
  readonly port: number;
  /** Port of the endpoints; null: each one's own. */
  readonly target: number | null;
  readonly protocol: 'tcp' | 'udp';
};

export type DesiredService = {
  readonly id: string;
  readonly vip: string | null;
  readonly publishes: readonly DesiredPublish[];
  /** Slots of the endpoints that may be given new connections. */
  readonly owners: readonly number[];
  /** Former sets of owners, newest first. */
  readonly generations: readonly (readonly number[])[];
};

export type DesiredEndpoint = {
  readonly slot: number;
  readonly address: string;
  readonly port: number;
  readonly kind: 'host' | 'namespace' | 'nat';
  /** Slot of the node that serves it; for `nat` its home node. */
  readonly node: number;
};

/** An attached namespace's address. */
export type DesiredAttachment = {
  readonly id: string;
  readonly address: string;
  readonly node: number;
  /** Path that opens the namespace on its node. */
  readonly netns: string;
};

export type DesiredState = {
  /** Slot of this node. */
  readonly self: number;
  readonly nodes: readonly DesiredNode[];
  readonly services: readonly DesiredService[];
  readonly endpoints: readonly DesiredEndpoint[];
  readonly attachments: readonly DesiredAttachment[];
  /** Addresses that every node's own sockets answer on: VIPs of services behind the L7 front end. */
  readonly sharedAddresses: readonly string[];
};

/** What only this node knows: the devices that its maps name. */
export type LocalFacts = {
  readonly uplinkIfindex: number;
  /** By the attachment's address: the host's end of its veth and the Ethernet address of the inner end. */
  readonly veths: ReadonlyMap<string, { readonly ifindex: number; readonly mac: Uint8Array }>;
};
