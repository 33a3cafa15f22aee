/** Commands about overlay networks and the namespaces on them. */
import { shoalError } from '../../errors.ts';
import { networkSubnet, numberToIpv4, subnetBase } from '../addresses.ts';
import type { CommandOf } from '../commands.ts';
import { type Attachment, limits, type Network, type Service } from '../objects.ts';
import { type Context, checkNew, clusterOf } from './handler.ts';
import { firstNetworkName } from './nodes.ts';
import { addEndpoint, resolveService } from './services.ts';

/** A new overlay network, with the next free subnet. */
export function createNetwork(context: Context, command: CommandOf<'network.create'>): Network {
  const { meshPool } = clusterOf(context);
  checkNew(context, 'network', command.name, command.id);
  const position = context.tables.takeNetworkPosition();
  if (position === null) throw shoalError('LIMIT_REACHED', { what: 'networks', limit: limits.networks });
  return context.tables.put('network', {
    id: command.id,
    version: 0,
    name: command.name,
    subnet: networkSubnet(meshPool, position),
    createdAt_ms: command.at_ms,
  });
}

/** A network goes, once no namespace is on it. */
export function removeNetwork(context: Context, command: CommandOf<'network.remove'>): Network {
  const network = resolveNetwork(context, command.ref);
  if (network.name === firstNetworkName) {
    throw shoalError('BAD_REQUEST', {
      reason: `network "${firstNetworkName}" belongs to the cluster and stays`,
    });
  }
  for (const attachment of context.tables.all('attachment')) {
    if (attachment.networkId === network.id) {
      throw shoalError('BAD_REQUEST', {
        reason: `network "${network.name}" is used by ${attachment.netns}; detach it first`,
      });
    }
  }
  context.tables.delete('network', network.id);
  return network;
}

/** A namespace is put on a network and, if asked, becomes an endpoint of a service in the same step. */
export function createAttachment(context: Context, command: CommandOf<'attachment.create'>): Attachment {
  const { tables } = context;
  const network = resolveNetwork(context, command.network);
  if (tables.get('node', command.nodeId) === undefined)
    throw shoalError('UNKNOWN_NODE', { name: command.nodeId });
  for (const other of tables.all('attachment')) {
    const same = other.nodeId === command.nodeId && other.netns === command.netns;
    if (other.id === command.id || (same && other.networkId === network.id)) {
      throw shoalError('NAME_IN_USE', { kind: `attachment to "${network.name}" of`, name: command.netns });
    }
  }
  const offset = tables.takeAttachmentOffset(network.id);
  if (offset === null) throw shoalError('POOL_EXHAUSTED', { what: 'address', pool: network.subnet });
  const attachment = tables.put('attachment', {
    id: command.id,
    version: 0,
    nodeId: command.nodeId,
    networkId: network.id,
    address: numberToIpv4(subnetBase(network.subnet) + offset),
    netns: command.netns,
    createdAt_ms: command.at_ms,
  });
  if (command.service !== undefined)
    serve(context, command, attachment, resolveService(context, command.service));
  return attachment;
}

function serve(
  context: Context,
  command: CommandOf<'attachment.create'>,
  attachment: Attachment,
  service: Service,
): void {
  const first = service.publishes[0];
  const port = command.port ?? first?.target ?? first?.published;
  if (port === undefined) {
    throw shoalError('BAD_REQUEST', {
      reason: `service "${service.name}" publishes no port, so the endpoint's own port must be given`,
    });
  }
  const { id: attachmentId, address, nodeId } = attachment;
  addEndpoint(
    context,
    service,
    { id: command.endpointId, address, port, nodeId },
    attachmentId,
    command.at_ms,
  );
  context.generations.settle();
}

/** A namespace goes from its network; endpoints in it take no new connections. */
export function removeAttachment(context: Context, command: CommandOf<'attachment.remove'>): Attachment {
  const { tables, generations } = context;
  const attachment = tables.get('attachment', command.id);
  if (attachment === undefined) throw shoalError('NOT_FOUND', { kind: 'attachment', name: command.id });
  for (const endpoint of [...tables.all('endpoint')]) {
    if (endpoint.attachmentId !== attachment.id || endpoint.state !== 'serving') continue;
    generations.watch(endpoint.serviceId);
    tables.put('endpoint', { ...endpoint, state: 'removed' });
  }
  tables.delete('attachment', attachment.id);
  generations.settle();
  return attachment;
}

function resolveNetwork(context: Context, reference: string): Network {
  const network = context.tables.resolve('network', reference);
  if (network === undefined) throw shoalError('NOT_FOUND', { kind: 'network', name: reference });
  return network;
}
