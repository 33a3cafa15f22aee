/** What `GET /v1/status` answers. */
import { type Static, Type } from 'typebox';
import { Role } from '../../../store/objects.ts';

export const Status = Type.Object(
  {
    membership: Type.Union([Type.Literal('none'), Type.Literal('member')]),
    nodeId: Type.Union([Type.String(), Type.Null()]),
    nodeName: Type.Union([Type.String(), Type.Null()]),
    role: Type.Union([Role, Type.Null()]),
    clusterId: Type.Union([Type.String(), Type.Null()]),
    leader: Type.Union([
      Type.Object({ nodeId: Type.String(), name: Type.String(), address: Type.String() }),
      Type.Null(),
    ]),
    version: Type.Integer({ description: 'index of the last change that this node has' }),
    counts: Type.Object({
      nodes: Type.Integer(),
      nodesReady: Type.Integer(),
      networks: Type.Integer(),
      services: Type.Integer(),
      endpoints: Type.Integer(),
      attachments: Type.Integer(),
    }),
    dataplane: Type.Object(
      {},
      { additionalProperties: true, description: "facts of this node's data plane" },
    ),
  },
  { description: 'This node and what it knows of its cluster' },
);
export type Status = Static<typeof Status>;
