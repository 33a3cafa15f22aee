/** `/v1/cluster`: the cluster, and this node's way in and out of it. */
import { shoalError } from '../../../errors.ts';
import { apiLimits } from '../../limits.ts';
import { requireMember } from '../../lookup.ts';
import { type Api, answers } from '../../schemas.ts';
import type { AgentServices } from '../../services.ts';
import { Status } from '../status/schemas.ts';
import { statusView } from '../status/view.ts';
import { ClusterView, InitBody, JoinBody, LeaveBody } from './schemas.ts';

export function clusterRoutes(app: Api, services: AgentServices): void {
  const { cluster } = services;
  const tags = ['cluster'];
  const local = { config: { access: 'local' as const }, handlerTimeout: apiLimits.membershipTime_ms };

  app.get(
    '/v1/cluster',
    {
      config: { access: 'manager' },
      schema: { summary: 'The cluster', tags, response: answers(ClusterView) },
    },
    async () => {
      requireMember(cluster);
      const [object] = cluster.state.list('cluster');
      if (object === undefined) throw shoalError('NOT_FOUND', { kind: 'cluster' });
      const { caKey: _caKey, joinSecrets: _joinSecrets, ...shown } = object;
      return shown;
    },
  );

  app.post(
    '/v1/cluster/init',
    {
      ...local,
      schema: { summary: 'Make a cluster of this node', tags, body: InitBody, response: answers(Status) },
    },
    async (request) => {
      await cluster.init({ ...request.body, addresses: services.uplinkAddresses() });
      return statusView(services);
    },
  );

  app.post(
    '/v1/cluster/join',
    { ...local, schema: { summary: 'Enter a cluster', tags, body: JoinBody, response: answers(Status) } },
    async (request) => {
      await cluster.join({ ...request.body, addresses: services.uplinkAddresses() });
      return statusView(services);
    },
  );

  app.post(
    '/v1/cluster/leave',
    {
      ...local,
      schema: {
        summary: 'Take this node out of its cluster',
        tags,
        body: LeaveBody,
        response: answers(Status),
      },
    },
    async (request) => {
      requireMember(cluster);
      await cluster.leave(request.body);
      return statusView(services);
    },
  );
}
