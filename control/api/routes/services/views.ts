/** Services and endpoints as they are shown: the objects with what a reader would have to look up. Pure. */
import { type Endpoint, eligible, type Service } from '../../../store/objects.ts';
import type { StateReader } from '../../services.ts';
import { byAge, byName } from '../order.ts';
import type { EndpointView, ServiceView } from './schemas.ts';

const isEligible = (state: StateReader, endpoint: Endpoint) =>
  eligible(endpoint, (id) => state.get('node', id));

/** One service. */
export function serviceView(state: StateReader, service: Service): ServiceView {
  const wanted = state.endpointsOf(service.id).filter((endpoint) => endpoint.state === 'serving');
  const serving = wanted.filter((endpoint) => isEligible(state, endpoint));
  return { ...service, endpointCounts: { eligible: serving.length, serving: wanted.length } };
}

/** All services, by name. */
export function serviceViews(state: StateReader): ServiceView[] {
  return [...state.list('service')].sort(byName).map((service) => serviceView(state, service));
}

/** The endpoints of one service, oldest first. */
export function endpointViews(state: StateReader, serviceId: string): EndpointView[] {
  return [...state.endpointsOf(serviceId)].sort(byAge).map((endpoint) => ({
    ...endpoint,
    node: endpoint.nodeId === null ? null : (state.get('node', endpoint.nodeId)?.name ?? endpoint.nodeId),
    eligible: isEligible(state, endpoint),
  }));
}
