/** What `/v1/nodes` answers. */
import { type Static, Type } from 'typebox';
import { limits, Node } from '../../../store/objects.ts';

export const NodeView = Type.Object(
  {
    ...Node.properties,
    leader: Type.Boolean({ description: 'leads the managers now, as far as this node knows' }),
    self: Type.Boolean({ description: 'the node that answers' }),
  },
  { description: 'A node' },
);
export type NodeView = Static<typeof NodeView>;

export const NodeList = Type.Array(NodeView, { maxItems: limits.nodes, description: 'All nodes, by name' });
