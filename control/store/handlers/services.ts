/** Commands about services and their endpoints. */
import { shoalError } from '../../errors.ts';
import { inMeshPool, vipAddress, vipOffset } from '../addresses.ts';
import type { CommandOf, EndpointReference, NewEndpoint, NewPublish, PublishReference } from '../commands.ts';
import { sameSet } from '../generations.ts';
import { type Endpoint, limits, type Publish, type Service } from '../objects.ts';
import { checkPorts, isRouted } from '../ports.ts';
import { type Context, checkNew, checkVersion, clusterOf } from './handler.ts';

/** A new service with its ports and endpoints. */
export function createService(context: Context, command: CommandOf<'service.create'>): Service {
  checkNew(context, 'service', command.name, command.id);
  const service: Service = {
    id: command.id,
    version: 0,
    name: command.name,
    vip: takeVip(context, command.vip),
    publishes: command.publishes.map((publish) => withSlot(context, publish)),
    hosts: [...new Set(command.hosts)],
    check: command.check,
    generations: [],
    createdAt_ms: command.at_ms,
  };
  checkPorts(context.tables, service);
  context.tables.put('service', service);
  for (const endpoint of command.endpoints) addEndpoint(context, service, endpoint, null, command.at_ms);
  context.generations.settle();
  return mustGet(context, service.id);
}

/** Changes of a service, all or none. */
export function updateService(context: Context, command: CommandOf<'service.update'>): Service {
  const { tables, generations } = context;
  const service = resolveService(context, command.ref);
  checkVersion(service, command.version, { kind: 'service', name: service.name });
  const next: Service = {
    ...service,
    publishes: changedPublishes(context, service, command.publishAdd ?? [], command.publishRemove ?? []),
    hosts: changedHosts(service, command.hostAdd ?? [], command.hostRemove ?? []),
    check: command.check ?? service.check,
  };
  checkPorts(tables, next);
  if (JSON.stringify(next) !== JSON.stringify(service)) tables.put('service', next);
  generations.watch(service.id);
  for (const reference of command.endpointRemove ?? []) removeEndpoint(context, service, reference);
  for (const endpoint of command.endpointAdd ?? [])
    addEndpoint(context, service, endpoint, null, command.at_ms);
  generations.settle();
  return mustGet(context, service.id);
}

/** A service goes, with its endpoints, at once. */
export function removeService(context: Context, command: CommandOf<'service.remove'>): Service {
  const service = resolveService(context, command.ref);
  checkVersion(service, command.version, { kind: 'service', name: service.name });
  for (const endpoint of context.tables.endpointsOf(service.id))
    context.tables.delete('endpoint', endpoint.id);
  context.tables.delete('service', service.id);
  return service;
}

/** Former endpoint sets that no flow needs any more; those that are not remembered are passed over. */
export function forgetGenerations(context: Context, command: CommandOf<'service.forget'>): Service {
  const service = context.tables.get('service', command.id);
  if (service === undefined) throw shoalError('UNKNOWN_SERVICE', { name: command.id });
  const generations = service.generations.filter(
    (remembered) => !command.generations.some((forgotten) => sameSet(forgotten, remembered)),
  );
  if (generations.length === service.generations.length) return service;
  const stored = context.tables.put('service', { ...service, generations });
  context.generations.watch(service.id);
  context.generations.settle();
  return stored;
}

/** What the agents found out. Reports of endpoints that are gone, or that say nothing new, are passed over. */
export function reportHealth(context: Context, command: CommandOf<'endpoint.health'>): { changed: number } {
  const { tables, generations } = context;
  let changed = 0;
  for (const { id, health, reason } of command.reports) {
    const endpoint = tables.get('endpoint', id);
    if (endpoint === undefined || (endpoint.health === health && endpoint.healthReason === reason)) continue;
    generations.watch(endpoint.serviceId);
    tables.put('endpoint', { ...endpoint, health, healthReason: reason });
    changed += 1;
  }
  generations.settle();
  return { changed };
}

/** A service by name or id. Throws UNKNOWN_SERVICE. */
export function resolveService(context: Context, reference: string): Service {
  const service = context.tables.resolve('service', reference);
  if (service === undefined) throw shoalError('UNKNOWN_SERVICE', { name: reference });
  return service;
}

/** Adds an endpoint. One that was removed serves again, in its old slot; one that serves already stays as it is. */
export function addEndpoint(
  context: Context,
  service: Service,
  added: NewEndpoint,
  attachmentId: string | null,
  at_ms: number,
): Endpoint {
  const { tables, generations } = context;
  if (added.nodeId !== null && tables.get('node', added.nodeId) === undefined) {
    throw shoalError('UNKNOWN_NODE', { name: added.nodeId });
  }
  generations.watch(service.id);
  const endpoints = tables.endpointsOf(service.id);
  const present = endpoints.find(
    (endpoint) =>
      endpoint.address === added.address && endpoint.port === added.port && endpoint.nodeId === added.nodeId,
  );
  if (present?.state === 'serving') return present;
  if (endpoints.filter((endpoint) => endpoint.state === 'serving').length >= limits.endpointsPerService) {
    throw shoalError('LIMIT_REACHED', {
      what: `endpoints of service "${service.name}"`,
      limit: limits.endpointsPerService,
    });
  }
  if (present !== undefined) {
    return tables.put('endpoint', {
      ...present,
      attachmentId,
      state: 'serving',
      health: 'unknown',
      healthReason: '',
    });
  }
  return tables.put('endpoint', newEndpoint(context, service, added, attachmentId, at_ms));
}

function newEndpoint(
  context: Context,
  service: Service,
  added: NewEndpoint,
  attachmentId: string | null,
  at_ms: number,
): Endpoint {
  if (context.tables.get('endpoint', added.id) !== undefined) {
    throw shoalError('NAME_IN_USE', { kind: 'endpoint id', name: added.id });
  }
  const slot = context.tables.takeEndpointSlot();
  if (slot === null) throw shoalError('LIMIT_REACHED', { what: 'endpoints', limit: limits.endpoints });
  return {
    ...added,
    version: 0,
    serviceId: service.id,
    slot,
    attachmentId,
    health: 'unknown',
    healthReason: '',
    state: 'serving',
    createdAt_ms: at_ms,
  };
}

function removeEndpoint(context: Context, service: Service, reference: EndpointReference): void {
  const matching = context.tables
    .endpointsOf(service.id)
    .filter(
      (endpoint) =>
        endpoint.state === 'serving' &&
        endpoint.address === reference.address &&
        endpoint.port === reference.port &&
        (reference.nodeId === undefined || endpoint.nodeId === reference.nodeId),
    );
  if (matching.length === 0) {
    const name = `${reference.address}:${reference.port}`;
    throw shoalError('NOT_FOUND', { kind: `endpoint of service "${service.name}"`, name });
  }
  for (const endpoint of matching) context.tables.put('endpoint', { ...endpoint, state: 'removed' });
}

function changedPublishes(
  context: Context,
  service: Service,
  added: NewPublish[],
  removed: PublishReference[],
): Publish[] {
  let publishes = service.publishes;
  for (const reference of removed) {
    const kept = publishes.filter(
      (publish) =>
        publish.address !== reference.address ||
        publish.published !== reference.published ||
        publish.protocol !== reference.protocol,
    );
    if (kept.length === publishes.length) {
      const name = `${reference.address === null ? '' : `${reference.address}:`}${reference.published}/${reference.protocol}`;
      throw shoalError('NOT_FOUND', { kind: `published port of service "${service.name}"`, name });
    }
    publishes = kept;
  }
  if (publishes.length + added.length > limits.publishesPerService) {
    throw shoalError('LIMIT_REACHED', {
      what: `published ports of service "${service.name}"`,
      limit: limits.publishesPerService,
    });
  }
  return [...publishes, ...added.map((publish) => withSlot(context, publish))];
}

function changedHosts(service: Service, added: string[], removed: string[]): string[] {
  for (const host of removed) {
    if (!service.hosts.includes(host)) {
      throw shoalError('NOT_FOUND', { kind: `host of service "${service.name}"`, name: host });
    }
  }
  const hosts = [...new Set([...service.hosts.filter((host) => !removed.includes(host)), ...added])];
  if (hosts.length > limits.hostsPerService) {
    throw shoalError('LIMIT_REACHED', {
      what: `hosts of service "${service.name}"`,
      limit: limits.hostsPerService,
    });
  }
  return hosts;
}

function withSlot(context: Context, publish: NewPublish): Publish {
  if (isRouted(publish.protocol)) return { ...publish, slot: 0 };
  const slot = context.tables.takeFrontendSlot();
  if (slot === null) throw shoalError('LIMIT_REACHED', { what: 'published ports', limit: limits.frontends });
  return { ...publish, slot };
}

function takeVip(context: Context, wanted: 'auto' | null | string): string | null {
  const { meshPool } = clusterOf(context);
  if (wanted === null) return null;
  if (wanted === 'auto') {
    const offset = context.tables.takeVipOffset();
    if (offset === null) throw shoalError('POOL_EXHAUSTED', { what: 'VIP', pool: meshPool });
    return vipAddress(meshPool, offset);
  }
  const holder = context.tables.byVip(wanted);
  if (holder !== undefined) {
    throw shoalError('NAME_IN_USE', { kind: `service "${holder.name}" with VIP`, name: wanted });
  }
  if (inMeshPool(meshPool, wanted) && vipOffset(meshPool, wanted) < 0) {
    throw shoalError('BAD_REQUEST', {
      reason: `VIP ${wanted} lies in a part of ${meshPool} that shoal gives to networks, nodes or endpoints`,
    });
  }
  for (const node of context.tables.all('node')) {
    if (node.advertiseAddress === wanted || node.addresses.includes(wanted)) {
      throw shoalError('BAD_REQUEST', {
        reason: `VIP ${wanted} is an address of node "${node.name}"; publish ports on that address instead`,
      });
    }
  }
  return wanted;
}

function mustGet(context: Context, id: string): Service {
  const service = context.tables.get('service', id);
  if (service === undefined)
    throw shoalError('INTERNAL', { reason: `service ${id} vanished while it was written` });
  return service;
}
