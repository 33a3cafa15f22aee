/** Services and endpoints as tables and text. Pure. */
import type { EndpointView, ServiceView } from '../../api/routes/services/schemas.ts';
import { formatFields, formatTable, shortId } from '../output.ts';
import { formatDuration } from '../parse/duration.ts';

type Publish = ServiceView['publishes'][number];

/** A published port as Docker's users read it: `*:8080->80/tcp`; without a target `*:8080/tcp`. */
export function publishText({ address, published, target, protocol }: Publish): string {
  const behind = target === null ? '' : `->${target}`;
  return `${address ?? '*'}:${published}${behind}/${protocol}`;
}

/** The table of `shoal service ls`. */
export function serviceTable(services: readonly ServiceView[]): string {
  return formatTable(
    ['ID', 'NAME', 'VIP', 'ENDPOINTS', 'PORTS', 'HOSTS'],
    services.map((service) => [
      shortId(service.id),
      service.name,
      service.vip ?? '-',
      `${service.endpointCounts.eligible}/${service.endpointCounts.serving}`,
      service.publishes.map(publishText).join(', '),
      service.hosts.join(', '),
    ]),
  );
}

/** A check in the words of its flags: `http:/healthz every 200ms, timeout 200ms, rise 1, fall 2`. */
function checkText({ kind, path, interval_ms, timeout_ms, rise, fall }: ServiceView['check']): string {
  if (kind === 'none') return 'none';
  const what = kind === 'http' ? `http:${path}` : kind;
  const every = `every ${formatDuration(interval_ms)}, timeout ${formatDuration(timeout_ms)}`;
  return `${what} ${every}, rise ${rise}, fall ${fall}`;
}

/** One service for people. */
export function serviceFields(service: ServiceView): string {
  return formatFields([
    ['ID', service.id],
    ['Name', service.name],
    ['VIP', service.vip ?? 'none'],
    ['Ports', service.publishes.map(publishText).join(', ')],
    ['Hosts', service.hosts.join(', ')],
    ['Check', checkText(service.check)],
    ['Endpoints', `${service.endpointCounts.eligible} of ${service.endpointCounts.serving} take connections`],
    ['Created', new Date(service.createdAt_ms).toISOString()],
    ['Version', String(service.version)],
  ]);
}

/** What an endpoint does now, in one word. */
function endpointState({ state, eligible }: EndpointView): string {
  if (state === 'removed') return 'Leaving';
  return eligible ? 'Serving' : 'Out';
}

/** An endpoint of a service that has a name. */
export type NamedEndpoint = EndpointView & { service: string };

/** The table of `shoal service ps`. */
export function endpointTable(endpoints: readonly NamedEndpoint[]): string {
  return formatTable(
    ['ID', 'SERVICE', 'ENDPOINT', 'NODE', 'STATE', 'HEALTH', 'REASON'],
    endpoints.map((endpoint) => [
      shortId(endpoint.id),
      endpoint.service,
      `${endpoint.address}:${endpoint.port}`,
      endpoint.node ?? '-',
      endpointState(endpoint),
      endpoint.health,
      endpoint.healthReason,
    ]),
  );
}
