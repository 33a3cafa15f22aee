/** Bodies and answers of `/v1/cluster`. */
import { type Static, Type } from 'typebox';
import { closed } from '../../schemas.ts';

/** The cluster without its keys and secrets. */
export const ClusterView = Type.Object(
  {
    id: Type.String(),
    version: Type.Integer(),
    createdAt_ms: Type.Number(),
    meshPool: Type.String(),
    tunnelPort: Type.Integer(),
    tunnelVni: Type.Integer(),
    caCertificate: Type.String({ description: 'root certificate, PEM' }),
  },
  { description: 'The cluster; its keys and secrets are never shown' },
);
export type ClusterView = Static<typeof ClusterView>;

export const InitBody = closed({
  meshPool: Type.Optional(
    Type.String({
      pattern: '^\\d{1,3}(\\.\\d{1,3}){3}/13$',
      description: 'the /13 that VIPs, networks and nodes get their addresses from',
    }),
  ),
});
export type InitBody = Static<typeof InitBody>;

export const JoinBody = closed({
  token: Type.String({ minLength: 1, maxLength: 256 }),
  address: Type.String({
    maxLength: 260,
    pattern: '^[A-Za-z0-9.-]{1,253}:[1-9][0-9]{0,4}$',
    description: 'HOST:PORT of a manager',
  }),
});
export type JoinBody = Static<typeof JoinBody>;

export const LeaveBody = closed({
  force: Type.Optional(
    Type.Boolean({ description: 'leave even if the cluster cannot be told, or loses its majority' }),
  ),
});
export type LeaveBody = Static<typeof LeaveBody>;
