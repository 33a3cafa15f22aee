/** What `/v1/drops` and `/v1/flows` answer. */
import { type Static, Type } from 'typebox';
import { apiLimits } from '../../limits.ts';
import { closed } from '../../schemas.ts';

export const DropList = Type.Array(
  Type.Object({
    reason: Type.String(),
    description: Type.String(),
    packets: Type.Integer({ description: 'since the data plane was first loaded' }),
  }),
  { description: 'Every reason for which this node drops packets' },
);
export type DropList = Static<typeof DropList>;

export const FlowQuery = closed({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: apiLimits.flows })),
});

export const FlowList = Type.Object(
  {
    flows: Type.Array(
      Type.Object({
        protocol: Type.String(),
        client: Type.String(),
        frontend: Type.String(),
        endpoint: Type.String(),
        via: Type.String({ description: 'name of the node that it came in by' }),
        state: Type.String(),
        packets: Type.Integer(),
        bytes: Type.Integer(),
        age_ms: Type.Optional(Type.Number()),
      }),
    ),
    total: Type.Integer({ description: 'flows in the table' }),
    limit: Type.Integer(),
  },
  { description: 'Flows whose endpoints are on this node' },
);
export type FlowList = Static<typeof FlowList>;
