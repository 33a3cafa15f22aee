/** `/v1/drops` and `/v1/flows`: what this node's data plane has counted. */
import { apiLimits } from '../../limits.ts';
import { type Api, answers } from '../../schemas.ts';
import type { AgentServices } from '../../services.ts';
import { DropList, FlowList, FlowQuery } from './schemas.ts';

export function dataplaneRoutes(app: Api, services: AgentServices): void {
  const tags = ['data plane'];
  app.get(
    '/v1/drops',
    {
      config: { access: 'manager' },
      schema: { summary: 'Packets that this node dropped, by reason', tags, response: answers(DropList) },
    },
    () => services.dataplane.drops(),
  );

  app.get(
    '/v1/flows',
    {
      config: { access: 'manager' },
      schema: {
        summary: 'The flow table of this node',
        tags,
        querystring: FlowQuery,
        response: answers(FlowList),
      },
    },
    (request) => services.dataplane.flows(request.query.limit ?? apiLimits.defaultFlows),
  );
}
