/** Who may call which route: every route says so in its config, and one hook holds all of them to it. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Peer } from '../cluster/types.ts';
import { shoalError } from '../errors.ts';

/**
 * `node`: any node of the cluster. `manager`: managers only. `local`: nobody from outside, only whoever can open
 * the Unix socket of this agent. (Whoever can open it may call everything.)
 */
export type Access = 'node' | 'manager' | 'local';

/** Where an app is served: `local` on the Unix socket, `remote` on the control port behind mutual TLS. */
export type Surface = 'local' | 'remote';

/** Reads the peer that the TLS layer has authorised from a request's socket. */
export type PeerOf = (request: FastifyRequest) => Peer | undefined;

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
  }
}

/** The peer that the control port's TLS layer puts on its sockets. */
export function peerOfSocket(request: FastifyRequest): Peer | undefined {
  const peer = (request.raw.socket as unknown as { peer?: Partial<Peer> } | null)?.peer;
  if (typeof peer?.nodeId !== 'string' || (peer.role !== 'manager' && peer.role !== 'worker'))
    return undefined;
  return { nodeId: peer.nodeId, role: peer.role };
}

/**
 * Holds every request of a remote app to its route's access. A route without one is a mistake, found when the app
 * starts.
 */
export function guardRoutes(app: FastifyInstance, surface: Surface, peerOf: PeerOf): void {
  app.addHook('onRoute', (route) => {
    if (route.config?.access === undefined)
      throw new Error(`route ${route.url} does not say who may call it`);
  });
  if (surface === 'local') return;
  app.addHook('onRequest', async (request) => {
    const peer = peerOf(request);
    if (peer === undefined) throw shoalError('UNAUTHENTICATED');
    const access = request.routeOptions.config?.access;
    if (access === 'local') {
      throw shoalError('FORBIDDEN', { reason: "only the agent's own socket serves this" });
    }
    if (access === 'manager' && peer.role !== 'manager') {
      throw shoalError('FORBIDDEN', { reason: 'only managers may do this' });
    }
  });
}
