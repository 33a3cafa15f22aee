/** `/v1/nodes`: the machines of the cluster. */
import type { Node } from '../../../store/objects.ts';
import { find, requireMember } from '../../lookup.ts';
import { type Api, answers, RefParams } from '../../schemas.ts';
import type { AgentServices } from '../../services.ts';
import { byName } from '../order.ts';
import { NodeList, NodeView } from './schemas.ts';

export function nodeRoutes(app: Api, services: AgentServices): void {
  const { cluster } = services;
  const tags = ['nodes'];
  const view = (node: Node, selfId: string): NodeView => ({
    ...node,
    leader: cluster.leader()?.nodeId === node.id,
    self: node.id === selfId,
  });

  app.get(
    '/v1/nodes',
    { config: { access: 'node' }, schema: { summary: 'All nodes', tags, response: answers(NodeList) } },
    async () => {
      const { nodeId } = requireMember(cluster);
      return [...cluster.state.list('node')].sort(byName).map((node) => view(node, nodeId));
    },
  );

  app.get(
    '/v1/nodes/:ref',
    {
      config: { access: 'node' },
      schema: {
        summary: 'One node, by name or id; "self" is the one that answers',
        tags,
        params: RefParams,
        response: answers(NodeView),
      },
    },
    async (request) => {
      const { nodeId } = requireMember(cluster);
      const { ref } = request.params;
      return view(find(cluster.state, 'node', ref === 'self' ? nodeId : ref), nodeId);
    },
  );
}
