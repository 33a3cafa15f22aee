/** Commands about the cluster and its nodes. */
import { shoalError } from '../../errors.ts';
import { meshPoolBase, networkSubnet, nodeMeshAddress } from '../addresses.ts';
import type { CommandOf, NewNode } from '../commands.ts';
import { limits, type Node } from '../objects.ts';
import { checkControlPort } from '../ports.ts';
import { type Context, checkNew, clusterOf } from './handler.ts';

/** Name of the overlay network that exists from the beginning. */
export const firstNetworkName = 'mesh';

/** The first entry: the cluster, its first node, and the network `mesh`. */
export function initCluster(context: Context, command: CommandOf<'cluster.init'>): { clusterId: string } {
  const { tables } = context;
  const present = tables.cluster();
  if (present !== undefined) throw shoalError('ALREADY_INITIALISED', { reason: `cluster ${present.id}` });
  meshPoolBase(command.cluster.meshPool);
  const cluster = tables.put('cluster', { ...command.cluster, version: 0 });
  addNode(context, command.node);
  tables.put('network', {
    id: `${cluster.id.slice(0, 48)}-${firstNetworkName}`,
    version: 0,
    name: firstNetworkName,
    subnet: networkSubnet(cluster.meshPool, tables.takeNetworkPosition() ?? 0),
    createdAt_ms: cluster.createdAt_ms,
  });
  return { clusterId: cluster.id };
}

/** A new join secret for one role. */
export function rotateSecret(context: Context, command: CommandOf<'cluster.rotate'>): null {
  const cluster = clusterOf(context);
  context.tables.put('cluster', {
    ...cluster,
    joinSecrets: { ...cluster.joinSecrets, [command.role]: command.secret },
  });
  return null;
}

/** A node enters, and is given slot and mesh address. */
export function joinNode(context: Context, command: CommandOf<'node.join'>): Node {
  clusterOf(context);
  return addNode(context, command.node);
}

function addNode(context: Context, node: NewNode): Node {
  const { tables } = context;
  const cluster = clusterOf(context);
  checkNew(context, 'node', node.name, node.id);
  checkRaftId(context, node);
  for (const other of tables.all('node')) {
    if (other.advertiseAddress === node.advertiseAddress && other.controlPort === node.controlPort) {
      const name = `${node.advertiseAddress}:${node.controlPort}`;
      throw shoalError('NAME_IN_USE', { kind: `node "${other.name}" at`, name });
    }
  }
  for (const address of [node.advertiseAddress, ...node.addresses]) {
    const service = tables.byVip(address);
    if (service !== undefined) {
      throw shoalError('NAME_IN_USE', { kind: `service "${service.name}" with VIP`, name: address });
    }
  }
  checkControlPort(tables, node);
  const slot = tables.takeNodeSlot();
  if (slot === null) throw shoalError('LIMIT_REACHED', { what: 'nodes', limit: limits.nodes });
  return tables.put('node', {
    ...node,
    version: 0,
    slot,
    meshAddress: nodeMeshAddress(cluster.meshPool, slot),
    status: 'ready',
  });
}

function checkRaftId(context: Context, node: { id: string; role: string; raftId: number }): void {
  if ((node.role === 'manager') !== (node.raftId !== 0)) {
    throw shoalError('BAD_REQUEST', {
      reason: `a ${node.role} cannot have Raft id ${node.raftId}: managers have one, workers have 0`,
    });
  }
  for (const other of context.tables.all('node')) {
    if (node.raftId !== 0 && other.raftId === node.raftId && other.id !== node.id) {
      throw shoalError('NAME_IN_USE', { kind: 'Raft id', name: String(node.raftId) });
    }
  }
}

/** Changes what a node said of itself, or what the leader knows of it. A patch that changes nothing is no write. */
export function updateNode(context: Context, command: CommandOf<'node.update'>): Node {
  const { tables, generations } = context;
  const node = tables.get('node', command.id);
  if (node === undefined) throw shoalError('UNKNOWN_NODE', { name: command.id });
  const next: Node = { ...node, ...command.patch };
  if (JSON.stringify(next) === JSON.stringify(node)) return node;
  checkRaftId(context, next);
  if (next.status !== node.status) watchServicesOn(context, node.id);
  const stored = tables.put('node', next);
  generations.settle();
  return stored;
}

/** A node goes: its attachments are deleted, its endpoints take no new connections. */
export function removeNode(context: Context, command: CommandOf<'node.remove'>): Node {
  const { tables, generations } = context;
  const node = tables.get('node', command.id);
  if (node === undefined) throw shoalError('UNKNOWN_NODE', { name: command.id });
  watchServicesOn(context, node.id);
  for (const endpoint of [...tables.all('endpoint')]) {
    if (endpoint.nodeId === node.id && endpoint.state === 'serving') {
      tables.put('endpoint', { ...endpoint, state: 'removed' });
    }
  }
  for (const attachment of [...tables.all('attachment')]) {
    if (attachment.nodeId === node.id) tables.delete('attachment', attachment.id);
  }
  tables.delete('node', node.id);
  generations.settle();
  return node;
}

function watchServicesOn(context: Context, nodeId: string): void {
  for (const endpoint of context.tables.all('endpoint')) {
    if (endpoint.nodeId === nodeId) context.generations.watch(endpoint.serviceId);
  }
}
