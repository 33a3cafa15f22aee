/** `/v1/status`: this node. */
import { type Api, answers } from '../../schemas.ts';
import type { AgentServices } from '../../services.ts';
import { Status } from './schemas.ts';
import { statusView } from './view.ts';

export function statusRoutes(app: Api, services: AgentServices): void {
  app.get(
    '/v1/status',
    {
      config: { access: 'node' },
      schema: {
        summary: 'This node and what it knows of its cluster',
        tags: ['cluster'],
        response: answers(Status),
      },
    },
    () => statusView(services),
  );
}
