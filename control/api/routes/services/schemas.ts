/** Bodies, queries and answers of `/v1/services`. */
import { type Static, Type } from 'typebox';
import { Address, Endpoint, HealthCheck, limits, Name, Protocol, Service } from '../../../store/objects.ts';
import { apiLimits } from '../../limits.ts';
import { closed, Port, Ref } from '../../schemas.ts';

/** A host name, or `*.` and one, in lower case. */
const Host = Type.String({
  maxLength: 253,
  pattern: '^(\\*\\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$',
  description: 'host name, or *. and one',
});

/** A port to publish; what is left out is every node's addresses, each endpoint's own port, and tcp. */
export const PublishBody = closed({
  address: Type.Optional(Type.Union([Address, Type.Null()])),
  published: Port,
  target: Type.Optional(Type.Union([Port, Type.Null()])),
  protocol: Type.Optional(Protocol),
});
export type PublishBody = Static<typeof PublishBody>;

/** An endpoint; without `node` a plain address that is reached by NAT. */
export const EndpointBody = closed({
  address: Address,
  port: Port,
  node: Type.Optional(Type.Union([Ref, Type.Null()], { description: 'node where the address is local' })),
});
export type EndpointBody = Static<typeof EndpointBody>;

/** A health check; what is left out keeps its default, or what it was. */
export const CheckBody = closed({
  kind: Type.Optional(HealthCheck.properties.kind),
  path: Type.Optional(HealthCheck.properties.path),
  interval_ms: Type.Optional(HealthCheck.properties.interval_ms),
  timeout_ms: Type.Optional(HealthCheck.properties.timeout_ms),
  rise: Type.Optional(HealthCheck.properties.rise),
  fall: Type.Optional(HealthCheck.properties.fall),
});
export type CheckBody = Static<typeof CheckBody>;

const Publishes = Type.Array(PublishBody, { maxItems: limits.publishesPerService });
const Endpoints = Type.Array(EndpointBody, { maxItems: limits.endpointsPerService });
const Hosts = Type.Array(Host, { maxItems: limits.hostsPerService });

export const CreateBody = closed({
  name: Name,
  vip: Type.Optional(
    Type.Union([Type.Literal('auto'), Type.Null(), Address], {
      description: 'auto unless given; null for none',
    }),
  ),
  publishes: Type.Optional(Publishes),
  hosts: Type.Optional(Hosts),
  check: Type.Optional(CheckBody),
  endpoints: Type.Optional(Endpoints),
});
export type CreateBody = Static<typeof CreateBody>;

export const UpdateBody = Type.Object(
  {
    version: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'version that was read: the change is refused if it is another now',
      }),
    ),
    endpointAdd: Type.Optional(Endpoints),
    endpointRemove: Type.Optional(Endpoints),
    publishAdd: Type.Optional(Publishes),
    publishRemove: Type.Optional(Publishes),
    hostAdd: Type.Optional(Hosts),
    hostRemove: Type.Optional(Hosts),
    check: Type.Optional(CheckBody),
  },
  { additionalProperties: false, minProperties: 1 },
);
export type UpdateBody = Static<typeof UpdateBody>;

export const WaitQuery = closed({
  wait_ms: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: apiLimits.convergenceTime_ms,
      description: `how long to wait for all nodes to have it; ${apiLimits.defaultConvergenceTime_ms} unless given, 0 not at all`,
    }),
  ),
});

export const VersionQuery = closed({ version: Type.Optional(Type.Integer({ minimum: 0 })) });

export const ServiceView = Type.Object(
  {
    ...Service.properties,
    endpointCounts: Type.Object({
      eligible: Type.Integer({ description: 'take new connections now' }),
      serving: Type.Integer({ description: 'wanted, whatever their health' }),
    }),
  },
  { description: 'A service' },
);
export type ServiceView = Static<typeof ServiceView>;

export const ServiceList = Type.Array(ServiceView, { description: 'All services, by name' });

/** A service as a change left it, and which nodes have it; without the latter when nobody waited. */
export const ChangedService = Type.Object(
  {
    ...ServiceView.properties,
    convergence: Type.Optional(
      Type.Object({
        applied: Type.Array(Type.String({ description: 'name of a node whose data plane has the change' })),
        missing: Type.Array(Type.String({ description: 'name of a ready node whose data plane does not' })),
      }),
    ),
  },
  { description: 'The service as changed' },
);
export type ChangedService = Static<typeof ChangedService>;

export const EndpointView = Type.Object(
  {
    ...Endpoint.properties,
    node: Type.Union([Type.String(), Type.Null()], { description: 'name of the node where it is local' }),
    eligible: Type.Boolean({ description: 'takes new connections now' }),
  },
  { description: 'An endpoint' },
);
export type EndpointView = Static<typeof EndpointView>;

export const EndpointList = Type.Array(EndpointView, {
  description: 'Endpoints of the service, oldest first, those on their way out included',
});
