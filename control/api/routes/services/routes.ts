/** `/v1/services`: what the mesh publishes. */
import { shoalError } from '../../../errors.ts';
import type { Service } from '../../../store/objects.ts';
import { change, convergence, propose } from '../../changes.ts';
import { apiLimits } from '../../limits.ts';
import { find, requireMember } from '../../lookup.ts';
import { type Api, answers, RefParams, Removed } from '../../schemas.ts';
import type { AgentServices } from '../../services.ts';
import { createCommand, updateCommand } from './commands.ts';
import {
  ChangedService,
  CreateBody,
  EndpointList,
  ServiceList,
  ServiceView,
  UpdateBody,
  VersionQuery,
  WaitQuery,
} from './schemas.ts';
import { endpointViews, serviceView, serviceViews } from './views.ts';

export function serviceRoutes(app: Api, services: AgentServices): void {
  readRoutes(app, services);
  changeRoutes(app, services);
}

function readRoutes(app: Api, { cluster }: AgentServices): void {
  const tags = ['services'];
  const config = { access: 'node' as const };

  app.get(
    '/v1/services',
    { config, schema: { summary: 'All services', tags, response: answers(ServiceList) } },
    async () => {
      requireMember(cluster);
      return serviceViews(cluster.state);
    },
  );

  app.get(
    '/v1/services/:ref',
    { config, schema: { summary: 'One service', tags, params: RefParams, response: answers(ServiceView) } },
    async (request) => {
      requireMember(cluster);
      return serviceView(cluster.state, find(cluster.state, 'service', request.params.ref));
    },
  );

  app.get(
    '/v1/services/:ref/endpoints',
    {
      config,
      schema: { summary: 'Endpoints of a service', tags, params: RefParams, response: answers(EndpointList) },
    },
    async (request) => {
      requireMember(cluster);
      return endpointViews(cluster.state, find(cluster.state, 'service', request.params.ref).id);
    },
  );
}

function changeRoutes(app: Api, { cluster }: AgentServices): void {
  const tags = ['services'];
  const config = { access: 'manager' as const };

  /** The answer to a change: the service as changed and, unless nobody wants to wait, which nodes have it. */
  async function changed(
    service: Service,
    wait_ms: number = apiLimits.defaultConvergenceTime_ms,
  ): Promise<ChangedService> {
    // The health of an endpoint may have changed the service again while we waited: the counts are of now.
    const reached = wait_ms === 0 ? undefined : await convergence(cluster, wait_ms);
    const view = serviceView(cluster.state, service);
    return reached === undefined ? view : { ...view, convergence: reached };
  }

  app.post(
    '/v1/services',
    {
      config,
      schema: {
        summary: 'Publish a service',
        tags,
        body: CreateBody,
        querystring: WaitQuery,
        response: answers(ChangedService),
      },
    },
    async (request) => {
      requireMember(cluster);
      const command = createCommand(cluster.state, request.body, Date.now());
      return await changed(await change<Service>(cluster, command), request.query.wait_ms);
    },
  );

  app.patch(
    '/v1/services/:ref',
    {
      config,
      schema: {
        summary: 'Change a service',
        description: 'Everything in one body is changed at once, or nothing is.',
        tags,
        params: RefParams,
        body: UpdateBody,
        querystring: WaitQuery,
        response: answers(ChangedService),
      },
    },
    async (request) => {
      requireMember(cluster);
      const { version: _version, ...changes } = request.body;
      if (Object.keys(changes).length === 0) {
        throw shoalError('BAD_REQUEST', { reason: 'the body names nothing to change' });
      }
      const service = find(cluster.state, 'service', request.params.ref);
      const command = updateCommand(cluster.state, service, request.body, Date.now());
      return await changed(await change<Service>(cluster, command), request.query.wait_ms);
    },
  );

  app.delete(
    '/v1/services/:ref',
    {
      config,
      schema: {
        summary: 'Remove a service and its endpoints',
        tags,
        params: RefParams,
        querystring: VersionQuery,
        response: answers(Removed),
      },
    },
    async (request) => {
      requireMember(cluster);
      const { id, name } = find(cluster.state, 'service', request.params.ref);
      const { version } = request.query;
      await propose(cluster, {
        type: 'service.remove',
        ref: id,
        ...(version === undefined ? {} : { version }),
      });
      return { id, name };
    },
  );
}
