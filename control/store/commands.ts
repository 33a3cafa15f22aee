/**
 * The commands that change the replicated store: one Raft entry carries one command.
 *
 * A command is complete in itself: ids and times are chosen by whoever proposes it, so that applying the same log
 * gives the same store on every manager. What must be agreed on (slots, addresses from pools, versions) is left
 * out of the command and given by the state machine.
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { shoalError } from '../errors.ts';
import { Address, HealthCheck, limits, Name, Protocol, Role } from './objects.ts';

const closed = { additionalProperties: false } as const;
/** Unique id of an object: chosen by the proposer, 8 to 64 letters, digits or dashes. */
export const Id = Type.String({ pattern: '^[A-Za-z0-9-]{8,64}$' });
/** Id or name of an object. */
const Reference = Type.String({ minLength: 1, maxLength: 64 });
const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
const Time = Type.Number({ minimum: 0 });
const ExpectedVersion = Type.Integer({ minimum: 0 });
const Host = Type.String({
  maxLength: 253,
  pattern: '^(\\*\\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$',
});
const Addresses = Type.Array(Address, { maxItems: 32 });
/** Objects that one command may carry in a list; larger changes are cut into several commands. */
export const listLimit = 1_000;

/** A node as it enters: the state machine adds slot, mesh address, status and version. */
export const NewNode = Type.Object(
  {
    id: Id,
    name: Name,
    role: Role,
    raftId: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    advertiseAddress: Address,
    controlPort: Port,
    addresses: Addresses,
    createdAt_ms: Time,
  },
  closed,
);
export type NewNode = Static<typeof NewNode>;

/** The cluster as `shoal init` makes it. */
export const NewCluster = Type.Object(
  {
    id: Id,
    createdAt_ms: Time,
    meshPool: Type.String({ maxLength: 18 }),
    tunnelPort: Port,
    tunnelVni: Type.Integer({ minimum: 1, maximum: 0xffffff }),
    caCertificate: Type.String({ maxLength: 16_384 }),
    caKey: Type.String({ maxLength: 16_384 }),
    joinSecrets: Type.Object(
      { manager: Type.String({ maxLength: 64 }), worker: Type.String({ maxLength: 64 }) },
      closed,
    ),
  },
  closed,
);
export type NewCluster = Static<typeof NewCluster>;

/** A port to publish: the state machine adds the frontend slot. */
export const NewPublish = Type.Object(
  {
    address: Type.Union([Address, Type.Null()]),
    published: Port,
    target: Type.Union([Port, Type.Null()]),
    protocol: Protocol,
  },
  closed,
);
export type NewPublish = Static<typeof NewPublish>;

/** What identifies a published port of a service when it is taken away. */
export const PublishReference = Type.Object(
  { address: Type.Union([Address, Type.Null()]), published: Port, protocol: Protocol },
  closed,
);
export type PublishReference = Static<typeof PublishReference>;

/** An endpoint to add; `nodeId: null` is a plain address that is reached by NAT. */
export const NewEndpoint = Type.Object(
  { id: Id, address: Address, port: Port, nodeId: Type.Union([Id, Type.Null()]) },
  closed,
);
export type NewEndpoint = Static<typeof NewEndpoint>;

/** What identifies endpoints when they are taken away; without `nodeId` on whichever node they are. */
export const EndpointReference = Type.Object(
  { address: Address, port: Port, nodeId: Type.Optional(Type.Union([Id, Type.Null()])) },
  closed,
);
export type EndpointReference = Static<typeof EndpointReference>;

const Publishes = Type.Array(NewPublish, { maxItems: limits.publishesPerService });
const Hosts = Type.Array(Host, { maxItems: limits.hostsPerService });
const Endpoints = Type.Array(NewEndpoint, { maxItems: limits.endpointsPerService });

export const ClusterInit = Type.Object(
  { type: Type.Literal('cluster.init'), cluster: NewCluster, node: NewNode },
  closed,
);
/** Join token secrets made anew; the old tokens stop working. */
export const ClusterRotate = Type.Object(
  { type: Type.Literal('cluster.rotate'), role: Role, secret: Type.String({ pattern: '^[a-z0-9]{25}$' }) },
  closed,
);
export const NodeJoin = Type.Object({ type: Type.Literal('node.join'), node: NewNode }, closed);
export const NodeUpdate = Type.Object(
  {
    type: Type.Literal('node.update'),
    id: Id,
    patch: Type.Object(
      {
        addresses: Type.Optional(Addresses),
        status: Type.Optional(Type.Union([Type.Literal('ready'), Type.Literal('down')])),
        role: Type.Optional(Role),
        raftId: Type.Optional(Type.Integer({ minimum: 0 })),
        advertiseAddress: Type.Optional(Address),
        controlPort: Type.Optional(Port),
      },
      closed,
    ),
  },
  closed,
);
export const NodeRemove = Type.Object({ type: Type.Literal('node.remove'), id: Id }, closed);

export const ServiceCreate = Type.Object(
  {
    type: Type.Literal('service.create'),
    id: Id,
    name: Name,
    /** `auto` takes one from the pool; an address is used as it is; null for none. */
    vip: Type.Union([Type.Literal('auto'), Type.Null(), Address]),
    publishes: Publishes,
    hosts: Hosts,
    check: HealthCheck,
    endpoints: Endpoints,
    at_ms: Time,
  },
  closed,
);
export const ServiceUpdate = Type.Object(
  {
    type: Type.Literal('service.update'),
    ref: Reference,
    version: Type.Optional(ExpectedVersion),
    endpointAdd: Type.Optional(Endpoints),
    endpointRemove: Type.Optional(Type.Array(EndpointReference, { maxItems: limits.endpointsPerService })),
    publishAdd: Type.Optional(Publishes),
    publishRemove: Type.Optional(Type.Array(PublishReference, { maxItems: limits.publishesPerService })),
    hostAdd: Type.Optional(Hosts),
    hostRemove: Type.Optional(Hosts),
    check: Type.Optional(HealthCheck),
    at_ms: Time,
  },
  closed,
);
export const ServiceRemove = Type.Object(
  { type: Type.Literal('service.remove'), ref: Reference, version: Type.Optional(ExpectedVersion) },
  closed,
);
/** Forget former endpoint sets (by content), once no flow that began under them is left on any node. */
export const ServiceForget = Type.Object(
  {
    type: Type.Literal('service.forget'),
    id: Id,
    generations: Type.Array(
      Type.Array(Type.Integer({ minimum: 1 }), { maxItems: limits.endpointsPerService }),
      {
        maxItems: limits.generationsPerService,
      },
    ),
  },
  closed,
);

/** What one agent found out about one endpoint. */
export const HealthReport = Type.Object(
  {
    id: Id,
    health: Type.Union([Type.Literal('unknown'), Type.Literal('healthy'), Type.Literal('unhealthy')]),
    reason: Type.String({ maxLength: 256 }),
  },
  closed,
);
export type HealthReport = Static<typeof HealthReport>;
export const EndpointHealth = Type.Object(
  { type: Type.Literal('endpoint.health'), reports: Type.Array(HealthReport, { maxItems: listLimit }) },
  closed,
);

export const NetworkCreate = Type.Object(
  { type: Type.Literal('network.create'), id: Id, name: Name, at_ms: Time },
  closed,
);
export const NetworkRemove = Type.Object({ type: Type.Literal('network.remove'), ref: Reference }, closed);

/** Puts a namespace on a network and, where `service` is given, makes it an endpoint of that service at once. */
export const AttachmentCreate = Type.Object(
  {
    type: Type.Literal('attachment.create'),
    id: Id,
    nodeId: Id,
    /** Name or id of the network. */
    network: Reference,
    netns: Type.String({ minLength: 1, maxLength: 1_024 }),
    /** Name or id of the service. */
    service: Type.Optional(Reference),
    /** Port the endpoint serves on; without it, that of the service's first published port. */
    port: Type.Optional(Port),
    /** Id for the endpoint, used only with `service`. */
    endpointId: Id,
    at_ms: Time,
  },
  closed,
);
export const AttachmentRemove = Type.Object({ type: Type.Literal('attachment.remove'), id: Id }, closed);

/** Every change that the store knows. */
export const Command = Type.Union([
  ClusterInit,
  ClusterRotate,
  NodeJoin,
  NodeUpdate,
  NodeRemove,
  ServiceCreate,
  ServiceUpdate,
  ServiceRemove,
  ServiceForget,
  EndpointHealth,
  NetworkCreate,
  NetworkRemove,
  AttachmentCreate,
  AttachmentRemove,
]);
export type Command = Static<typeof Command>;
export type CommandType = Command['type'];
/** The command of one type: `CommandOf<'service.create'>`. */
export type CommandOf<T extends CommandType> = Extract<Command, { type: T }>;

const schemas = new Map(
  Command.anyOf.map((schema) => [schema.properties.type.const as string, Compile(schema)]),
);

/** Checks a value from outside. Throws BAD_REQUEST that names the field and what is wrong with it. */
export function parseCommand(value: unknown): Command {
  const type = (value as { type?: unknown } | null)?.type;
  const validator = typeof type === 'string' ? schemas.get(type) : undefined;
  if (validator === undefined) {
    throw shoalError('BAD_REQUEST', { reason: `"${String(type)}" is not a command of the store` });
  }
  if (!validator.Check(value)) {
    const [first] = validator.Errors(value);
    const where = first?.instancePath ? `${first.instancePath.slice(1).replaceAll('/', '.')} ` : '';
    throw shoalError('BAD_REQUEST', {
      reason: `${String(type)}: ${where}${first?.message ?? 'does not fit'}`,
    });
  }
  return value as Command;
}
