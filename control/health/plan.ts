/** Which endpoints the agent of one node checks, and how: a pure function of the store's objects. */
import { isDeepStrictEqual } from 'node:util';
import { homeNode } from '../../dataplane/home-node.ts';
import {
  defaultHealthCheck,
  type Endpoint,
  type HealthCheck,
  type Node,
  type Service,
} from '../store/objects.ts';

/** One endpoint to check, at its own address and port. */
export type CheckTarget = {
  endpointId: string;
  address: string;
  port: number;
  check: HealthCheck & { kind: 'tcp' | 'http' };
  /** Value of the Host field of an HTTP check. */
  host: string;
  /** What the store says of it now. */
  health: Endpoint['health'];
};

/** What an agent reports of an endpoint; the reason is empty unless it is unhealthy. */
export type HealthReport = { id: string; health: Endpoint['health']; reason: string };

/** `resets` are endpoints whose service is checked no more and whose last verdict must not outlive that. */
export type Plan = { targets: CheckTarget[]; resets: HealthReport[] };

export type PlanSource = {
  /** Node whose agent asks. */
  nodeId: string;
  nodes: Iterable<Node>;
  services: Iterable<Service>;
  endpoints: Iterable<Endpoint>;
};

/**
 * The check that applies to a service. One that publishes UDP alone has, as a rule, nothing that accepts TCP, so
 * that the default check is no check for it; any other check was asked for and is kept.
 */
export function effectiveCheck(service: Pick<Service, 'publishes' | 'check'>): HealthCheck {
  const udpOnly =
    service.publishes.length > 0 && service.publishes.every((publish) => publish.protocol === 'udp');
  const isDefault = isDeepStrictEqual(service.check, defaultHealthCheck);
  return udpOnly && isDefault ? { ...service.check, kind: 'none' } : service.check;
}

/** First exact host name of the service, as a name-based server may know no other; else the address itself. */
function hostField(service: Service, endpoint: Endpoint): string {
  const name = service.hosts.find((host) => /^[a-z0-9.-]+$/i.test(host));
  return name ?? `${endpoint.address}:${endpoint.port}`;
}

/**
 * Chooses the endpoints to check on `nodeId`: those that live there, attached ones included, and plain ones that
 * this node is the home of. Endpoints that take no new connections are not checked.
 */
export function planChecks(source: PlanSource): Plan {
  const readyNodes = [...source.nodes].filter((node) => node.status === 'ready').map((node) => node.id);
  const services = new Map([...source.services].map((service) => [service.id, service]));
  const plan: Plan = { targets: [], resets: [] };
  for (const endpoint of source.endpoints) {
    const service = services.get(endpoint.serviceId);
    if (service === undefined || endpoint.state !== 'serving') continue;
    if ((endpoint.nodeId ?? homeNode(endpoint.id, readyNodes)) !== source.nodeId) continue;
    const check = effectiveCheck(service);
    if (check.kind === 'none') {
      if (endpoint.health !== 'unknown') plan.resets.push({ id: endpoint.id, health: 'unknown', reason: '' });
      continue;
    }
    plan.targets.push({
      endpointId: endpoint.id,
      address: endpoint.address,
      port: endpoint.port,
      check: { ...check, kind: check.kind },
      host: hostField(service, endpoint),
      health: endpoint.health,
    });
  }
  return plan;
}
