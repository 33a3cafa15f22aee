/** What links are made from, changed by and shown as. */
import type { InterfaceRef } from './request.ts';

/** RFC 2863 states in the order of the kernel's numbers. */
export const OPERATIONAL_STATES = [
  'unknown',
  'not-present',
  'down',
  'lower-layer-down',
  'testing',
  'dormant',
  'up',
] as const;

/** The operational state of an interface (RFC 2863). */
export type OperationalState = (typeof OPERATIONAL_STATES)[number];

/** Where a link goes: an open namespace (a NetnsHandle fits) or the namespace of a process. */
export type NetnsTarget = { readonly fd: number } | { readonly pid: number };

/** What every kind of link can be created with. */
export interface LinkCommon {
  readonly name: string;
  readonly up?: boolean;
  readonly mtu_bytes?: number;
  readonly mac?: string;
  /** The bridge (or other master) that the link becomes a port of. */
  readonly master?: InterfaceRef;
  /** The namespace to create it in. */
  readonly netns?: NetnsTarget;
  readonly noArp?: boolean;
  readonly alias?: string;
  readonly txQueues?: number;
  readonly rxQueues?: number;
}

/** A pair of virtual Ethernet interfaces. */
export interface VethSpec extends LinkCommon {
  readonly kind: 'veth';
  /** The other end. The kernel creates it down: it can only come up once both ends exist. */
  readonly peer: Omit<LinkCommon, 'master' | 'alias' | 'up'>;
}

/** A learning bridge. */
export interface BridgeSpec extends LinkCommon {
  readonly kind: 'bridge';
  readonly stp?: boolean;
  readonly vlanFiltering?: boolean;
  readonly ageing_s?: number;
}

/** A VXLAN tunnel (RFC 7348). */
export interface VxlanSpec extends LinkCommon {
  readonly kind: 'vxlan';
  /** The VNI; left out for an external (metadata) device. */
  readonly id?: number;
  readonly local?: string;
  /** The peer or multicast group that unknown destinations go to. */
  readonly remote?: string;
  /** UDP port; 4789 if left out. */
  readonly port?: number;
  /** The interface below. */
  readonly link?: InterfaceRef;
  /** Whether remote addresses are learned from traffic; not, if left out. */
  readonly learning?: boolean;
  /** Tunnel metadata per packet instead of one VNI per device. */
  readonly external?: boolean;
  readonly udpChecksum?: boolean;
  readonly udp6ZeroChecksumTx?: boolean;
  readonly udp6ZeroChecksumRx?: boolean;
  readonly ttl?: number;
  readonly ageing_s?: number;
}

/** An interface that drops all it is given. */
export interface DummySpec extends LinkCommon {
  readonly kind: 'dummy';
}

/** An 802.1Q VLAN on another interface. */
export interface VlanSpec extends LinkCommon {
  readonly kind: 'vlan';
  readonly link: InterfaceRef;
  readonly id: number;
}

/** What can be created. */
export type LinkSpec = VethSpec | BridgeSpec | VxlanSpec | DummySpec | VlanSpec;

/** What can be changed; fields left out stay as they are. */
export interface LinkChanges {
  readonly up?: boolean;
  readonly mtu_bytes?: number;
  readonly mac?: string;
  /** null takes the link out of its master. */
  readonly master?: InterfaceRef | null;
  readonly netns?: NetnsTarget;
  readonly name?: string;
  readonly alias?: string;
  readonly noArp?: boolean;
  readonly promiscuous?: boolean;
  readonly txQueueLength?: number;
}

/** Settings of a bridge port to change; those left out stay as they are. */
export type BridgePortChanges = Partial<BridgePort>;

/** Counters of a link since it was created. */
export interface LinkStatistics {
  readonly rxPackets: bigint;
  readonly txPackets: bigint;
  readonly rx_bytes: bigint;
  readonly tx_bytes: bigint;
  readonly rxErrors: bigint;
  readonly txErrors: bigint;
  readonly rxDropped: bigint;
  readonly txDropped: bigint;
}

/** How a link behaves as a port of a bridge. */
export interface BridgePort {
  readonly learning: boolean;
  readonly unicastFlood: boolean;
  readonly hairpin: boolean;
  readonly isolated: boolean;
  readonly neighbourSuppress: boolean;
}

/** What distinguishes a VXLAN link. */
export interface VxlanInfo {
  readonly id?: number;
  readonly local?: string;
  readonly remote?: string;
  readonly port: number;
  readonly linkIndex?: number;
  readonly learning: boolean;
  readonly external: boolean;
}

/** A link as the kernel reports it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Such as `veth`; physical interfaces have none. */
  readonly kind?: string;
  readonly up: boolean;
  readonly running: boolean;
  readonly loopback: boolean;
  readonly noArp: boolean;
  readonly promiscuous: boolean;
  /** All IFF_* flags. */
  readonly flags: number;
  /** ARPHRD_* number: 1 is Ethernet. */
  readonly hardwareType: number;
  readonly mtu_bytes: number;
  readonly mac?: string;
  readonly masterIndex?: number;
  /** The interface below, or a veth's other end. */
  readonly parentIndex?: number;
  /** The namespace id that `parentIndex` belongs to, if it is another one. */
  readonly parentNetnsId?: number;
  readonly alias?: string;
  readonly operationalState: OperationalState;
  readonly carrier: boolean;
  readonly txQueueLength: number;
  readonly txQueues: number;
  readonly rxQueues: number;
  readonly statistics?: LinkStatistics;
  readonly vxlan?: VxlanInfo;
  /** For a port of a bridge. */
  readonly bridgePort?: BridgePort;
}
