/** The L7 front end of this node, fed from the store. */
import type { Logger } from 'pino';
import { planL7 } from '../../dataplane/l7/plan.ts';
import { L7Server } from '../../dataplane/l7/server.ts';
import { endpointMeshAddress } from '../store/addresses.ts';
import { type Cluster, type Endpoint, eligible } from '../store/objects.ts';
import type { StoreReader } from './desired.ts';

/** How long open requests may go on when the front end closes. */
const drain_ms = 1_000;

/**
 * Where this node reaches an endpoint: one of its own, or a plain one, at its address; an attached one at its
 * address in the mesh; a process of another node through the mesh, at the endpoint's mesh address.
 */
export function connectAddress(
  endpoint: Endpoint,
  selfId: string,
  cluster: Cluster,
): { address: string; port: number } {
  const { address, port, slot } = endpoint;
  const direct = endpoint.nodeId === null || endpoint.nodeId === selfId || endpoint.attachmentId !== null;
  if (direct) return { address, port };
  return { address: endpointMeshAddress(cluster.meshPool, slot), port };
}

/** Serves the ports that are published as http or tls. */
export class FrontEnd {
  readonly #server: L7Server;
  readonly #log: Logger;
  /** Problems that were there at the last change, so that each is logged once. */
  #logged: string[] = [];

  constructor(nodeName: string, log: Logger) {
    this.#log = log;
    this.#server = new L7Server({
      via: nodeName,
      onAccess: (event) => log.debug(event, 'request'),
    });
  }

  /** Counters of connections, requests and refusals. */
  counters(): Record<string, number> {
    return this.#server.counters();
  }

  /** Takes over what the store says now. */
  async update(store: StoreReader, selfId: string, cluster: Cluster): Promise<void> {
    const config = planL7({
      services: store.list('service'),
      endpoints: store.list('endpoint'),
      nodes: store.list('node'),
      selfNodeId: selfId,
      eligible,
      connectAddress: (endpoint) => connectAddress(endpoint, selfId, cluster),
    });
    await this.#server.apply(config);
    const { problems } = this;
    for (const problem of problems) if (!this.#logged.includes(problem)) this.#log.error(problem);
    this.#logged = problems;
  }

  /** Published ports that cannot be opened now, for people. The server goes on trying. */
  get problems(): string[] {
    return this.#server.failed.map(({ listener: { address, port }, error }) => {
      const inUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      const reason = inUse ? 'another program listens there (ss -lntp shows it)' : error.message;
      return `published port ${address ?? '*'}:${port} cannot be opened: ${reason}`;
    });
  }

  async close(): Promise<void> {
    await this.#server.close(drain_ms);
  }
}
