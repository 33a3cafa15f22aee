/**
 * The cluster that the golden packets belong to, seen from node 1: one service for each way that a packet can go.
 * Most have one endpoint, so that the bucket does not matter.
 */
import type { DesiredEndpoint, DesiredService, DesiredState } from '../../dataplane/state/desired.ts';
import { hosts } from './fixture.ts';

type ServiceSpec = {
  /** Of the published TCP and UDP port; their frontend slots are this number's last three digits, and 500 more. */
  readonly port: number;
  readonly target?: number;
  readonly owners: readonly number[];
  readonly generations?: readonly (readonly number[])[];
};

/** Published ports by what is special about them. */
export const ports = {
  host: 8101,
  remote: 8102,
  unresolved: 8103,
  namespace: 8104,
  nat: 8105,
  empty: 8106,
  nodeGone: 8107,
  /** Endpoint here, before that on node 2. */
  movedHere: 8108,
  /** Endpoint here, before that another here, before that on node 2. */
  movedTwice: 8109,
  /** Endpoint on node 2, before that here. */
  movedAway: 8110,
  target: 8111,
  /** No endpoint that takes new connections; before that one here, or one on node 2. */
  drainingHere: 8112,
  drainingThere: 8113,
  /** Endpoint here, before that on node 2, before that another here. */
  backAndForth: 8114,
  /** Endpoint on a node with a longer way: behind the gateway. */
  far: 8115,
} as const;

/** Endpoint slots by what is special about them. */
export const endpoints = {
  host: 11,
  remote: 12,
  unresolved: 13,
  namespace: 14,
  nat: 15,
  nodeGone: 17,
  formerHere: 18,
  formerThere: 19,
  far: 20,
  /** In the namespace that is not `namespace`. */
  otherNamespace: 21,
} as const;

/** Services that have an address of their own on the mesh. */
export const vip = '10.248.0.7';

/** Nodes by slot. Node 4 is behind the gateway; slot 5 is free. */
const nodes = [
  { slot: 1, vtep: hosts.self, meshAddress: hosts.selfMesh },
  { slot: 2, vtep: hosts.node2, meshAddress: hosts.node2Mesh },
  { slot: 3, vtep: hosts.unresolved, meshAddress: '10.250.0.3' },
  { slot: 4, vtep: '198.51.100.4', meshAddress: '10.250.0.4' },
].map((node) => ({ ...node, addresses: [node.vtep] }));

const services: readonly ServiceSpec[] = [
  { port: ports.host, owners: [endpoints.host] },
  { port: ports.remote, owners: [endpoints.remote] },
  { port: ports.unresolved, owners: [endpoints.unresolved] },
  { port: ports.namespace, owners: [endpoints.namespace] },
  { port: ports.nat, owners: [endpoints.nat] },
  { port: ports.empty, owners: [] },
  { port: ports.nodeGone, owners: [endpoints.nodeGone] },
  { port: ports.movedHere, owners: [endpoints.host], generations: [[endpoints.formerThere]] },
  {
    port: ports.movedTwice,
    owners: [endpoints.host],
    generations: [[endpoints.formerHere], [endpoints.formerThere]],
  },
  { port: ports.movedAway, owners: [endpoints.remote], generations: [[endpoints.formerHere]] },
  { port: ports.target, target: 9911, owners: [endpoints.host] },
  { port: ports.drainingHere, owners: [], generations: [[endpoints.formerHere]] },
  { port: ports.drainingThere, owners: [], generations: [[endpoints.formerThere]] },
  {
    port: ports.backAndForth,
    owners: [endpoints.host],
    generations: [[endpoints.formerThere], [endpoints.formerHere]],
  },
  { port: ports.far, owners: [endpoints.far] },
];

/** Frontend slot of a published port. */
export function frontendSlot(port: number, protocol: 'tcp' | 'udp'): number {
  return (port % 1000) + (protocol === 'tcp' ? 0 : 50);
}

function service({ port, target, owners, generations = [] }: ServiceSpec): DesiredService {
  return {
    id: `service-${port}`,
    vip: port === ports.host || port === ports.remote ? (port === ports.host ? vip : '10.248.0.8') : null,
    publishes: (['tcp', 'udp'] as const).map((protocol) => ({
      slot: frontendSlot(port, protocol),
      address: null,
      port,
      target: target ?? null,
      protocol,
    })),
    owners,
    generations,
  };
}

const endpointList: readonly DesiredEndpoint[] = [
  { slot: endpoints.host, address: '127.0.0.1', port: 9001, kind: 'host', node: 1 },
  { slot: endpoints.remote, address: '127.0.0.1', port: 9002, kind: 'host', node: 2 },
  { slot: endpoints.unresolved, address: '127.0.0.1', port: 9003, kind: 'host', node: 3 },
  { slot: endpoints.namespace, address: hosts.namespace, port: 9004, kind: 'namespace', node: 1 },
  { slot: endpoints.nat, address: hosts.plain, port: 9005, kind: 'nat', node: 1 },
  { slot: endpoints.nodeGone, address: '127.0.0.1', port: 9007, kind: 'host', node: 5 },
  { slot: endpoints.formerHere, address: '127.0.0.1', port: 9018, kind: 'host', node: 1 },
  { slot: endpoints.formerThere, address: '127.0.0.1', port: 9019, kind: 'host', node: 2 },
  { slot: endpoints.far, address: '127.0.0.1', port: 9020, kind: 'host', node: 4 },
  { slot: endpoints.otherNamespace, address: hosts.otherNamespace, port: 9021, kind: 'namespace', node: 1 },
];

/** The state; `without` leaves endpoints out, as if they had been removed, and gives their place to `instead`. */
export function clusterState(without: readonly number[] = [], instead: readonly number[] = []): DesiredState {
  const gone = (slot: number): boolean => without.includes(slot);
  return {
    self: 1,
    nodes,
    services: services.map(service).map((entry) => ({
      ...entry,
      owners: entry.owners.flatMap((slot) => (gone(slot) ? instead : [slot])),
    })),
    endpoints: endpointList.filter(({ slot }) => !gone(slot)),
    sharedAddresses: [],
    attachments: [
      { id: 'att-namespace', address: hosts.namespace, node: 1, netns: '/run/netns/unused' },
      { id: 'att-other', address: hosts.otherNamespace, node: 1, netns: '/run/netns/unused' },
      { id: 'att-remote', address: hosts.remoteNamespace, node: 2, netns: '/run/netns/unused' },
    ],
  };
}
