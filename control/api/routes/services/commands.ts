/** From the body of a request to the command that it means. Pure, but for the ids of what is new. */

import { shoalError } from '../../../errors.ts';
import type { CommandOf } from '../../../store/commands.ts';
import { defaultHealthCheck, type HealthCheck, type Service } from '../../../store/objects.ts';
import { newId } from '../../ids.ts';
import { find } from '../../lookup.ts';
import type { StateReader } from '../../services.ts';
import { whyNotPublished } from './reserved-ports.ts';
import type { CheckBody, CreateBody, EndpointBody, PublishBody, UpdateBody } from './schemas.ts';

/** Drops fields that are there but undefined, so that a spread does not overwrite with them. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as never;
}

/** `check` with what the body names; an `http` check without a path asks for `/`. */
function withCheck(check: HealthCheck, body: CheckBody): HealthCheck {
  return { ...check, ...defined(body) } as HealthCheck;
}

const publishOf = (body: PublishBody) => ({
  address: body.address ?? null,
  published: body.published,
  target: body.target ?? null,
  protocol: body.protocol ?? ('tcp' as const),
});

/** Throws BAD_REQUEST for a port that would cut the nodes off from each other, or that nobody could reach. */
function newPublish(state: StateReader, body: PublishBody) {
  const publish = publishOf(body);
  const reason = whyNotPublished(state, publish);
  if (reason !== undefined) throw shoalError('BAD_REQUEST', { reason });
  return publish;
}

/** Throws UNKNOWN_NODE for an endpoint on a node that there is not. */
function newEndpoint(state: StateReader, body: EndpointBody) {
  const nodeId = body.node == null ? null : find(state, 'node', body.node).id;
  return { id: newId(), address: body.address, port: body.port, nodeId };
}

/** Throws UNKNOWN_NODE. Without a node the endpoint is meant on whichever node it is. */
function endpointReference(state: StateReader, body: EndpointBody) {
  const { address, port, node } = body;
  if (node === undefined) return { address, port };
  return { address, port, nodeId: node === null ? null : find(state, 'node', node).id };
}

/** The command that creates a service. Throws UNKNOWN_NODE, BAD_REQUEST for a port of shoal's own. */
export function createCommand(
  state: StateReader,
  body: CreateBody,
  now_ms: number,
): CommandOf<'service.create'> {
  return {
    type: 'service.create',
    id: newId(),
    name: body.name,
    vip: body.vip === undefined ? 'auto' : body.vip,
    publishes: (body.publishes ?? []).map((publish) => newPublish(state, publish)),
    hosts: [...new Set(body.hosts ?? [])],
    check: withCheck(defaultHealthCheck, body.check ?? {}),
    endpoints: (body.endpoints ?? []).map((endpoint) => newEndpoint(state, endpoint)),
    at_ms: now_ms,
  };
}

/**
 * The command that changes a service. A check that is named in part keeps the rest of what this node's replica
 * has, and holds only if that is still the newest (compare and swap). Throws UNKNOWN_NODE,
 * BAD_REQUEST for a port of shoal's own.
 */
export function updateCommand(
  state: StateReader,
  service: Service,
  body: UpdateBody,
  now_ms: number,
): CommandOf<'service.update'> {
  const version = body.version ?? (body.check === undefined ? undefined : service.version);
  return defined({
    type: 'service.update' as const,
    ref: service.id,
    version,
    endpointAdd: body.endpointAdd?.map((endpoint) => newEndpoint(state, endpoint)),
    endpointRemove: body.endpointRemove?.map((endpoint) => endpointReference(state, endpoint)),
    publishAdd: body.publishAdd?.map((publish) => newPublish(state, publish)),
    publishRemove: body.publishRemove?.map((publish) => {
      const { address, published, protocol } = publishOf(publish);
      return { address, published, protocol };
    }),
    hostAdd: body.hostAdd,
    hostRemove: body.hostRemove,
    check: body.check === undefined ? undefined : withCheck(service.check, body.check),
    at_ms: now_ms,
  }) as CommandOf<'service.update'>;
}
