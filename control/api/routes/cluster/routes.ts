/** `/v1/cluster`: the cluster, and this node's way in and out of it. */
import { shoalError } from '../../../errors.ts';
import { apiLimits } from '../../limits.ts';
import { requireMember } from '../../lookup.ts';
import { type Api, answers } from '../../schemas.ts';
import type { AgentServices, StateReader } from '../../services.ts';
import { Status } from '../status/schemas.ts';
import { statusView } from '../status/view.ts';
import { ClusterView, InitBody, JoinBody, LeaveBody } from './schemas.ts';

/** Throws FORBIDDEN if the cluster, with all that is in it, would end when this node leaves. */
function refuseToEnd(state: StateReader, nodeId: string): void {
  const nodes = state.list('node');
  if (nodes.some(({ id, role }) => role === 'manager' && id !== nodeId)) return;
  if (nodes.find(({ id }) => id === nodeId)?.role !== 'manager') return;
  const services = state.list('service').length;
  if (nodes.length === 1 && services === 0) return;
  const what = `${nodes.length - 1} other nodes and ${services} services`;
  throw shoalError('FORBIDDEN', {
    reason: `this node is the last manager: the cluster, with ${what}, would end; shoal leave --force does it all the same`,
  });
}

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
      const membership = requireMember(cluster);
      if (request.body.force !== true) refuseToEnd(cluster.state, membership.nodeId);
      await cluster.leave(request.body);
      return statusView(services);
    },
  );
}
