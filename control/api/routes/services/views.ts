/** Services and endpoints as they are shown: the objects with what a reader would have to look up. Pure. */
import { type Endpoint, eligible, type Service } from '../../../store/objects.ts';
import type { StateReader } from '../../services.ts';
import { byAge, byName } from '../order.ts';
import type { EndpointView, ServiceView } from './schemas.ts';

type Counts = ServiceView['endpointCounts'];

/** Counts of one pass over all endpoints, by service id. */
function countEndpoints(state: StateReader, only?: string): Map<string, Counts> {
  const counts = new Map<string, Counts>();
  for (const endpoint of state.list('endpoint')) {
    if (only !== undefined && endpoint.serviceId !== only) continue;
    const count = counts.get(endpoint.serviceId) ?? { eligible: 0, serving: 0 };
    if (endpoint.state === 'serving') count.serving += 1;
    if (isEligible(state, endpoint)) count.eligible += 1;
    counts.set(endpoint.serviceId, count);
  }
  return counts;
}

const isEligible = (state: StateReader, endpoint: Endpoint) =>
  eligible(endpoint, (id) => state.get('node', id));

/** One service. */
export function serviceView(state: StateReader, service: Service): ServiceView {
  const endpointCounts = countEndpoints(state, service.id).get(service.id) ?? { eligible: 0, serving: 0 };
  return { ...service, endpointCounts };
}

/** All services, by name. */
export function serviceViews(state: StateReader): ServiceView[] {
  const counts = countEndpoints(state);
  return [...state.list('service')].sort(byName).map((service) => ({
    ...service,
    endpointCounts: counts.get(service.id) ?? { eligible: 0, serving: 0 },
  }));
}

/** The endpoints of one service, oldest first. */
export function endpointViews(state: StateReader, serviceId: string): EndpointView[] {
  return [...state.list('endpoint')]
    .filter((endpoint) => endpoint.serviceId === serviceId)
    .sort(byAge)
    .map((endpoint) => ({
      ...endpoint,
      node: endpoint.nodeId === null ? null : (state.get('node', endpoint.nodeId)?.name ?? endpoint.nodeId),
      eligible: isEligible(state, endpoint),
    }));
}
