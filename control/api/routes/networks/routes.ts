/** `/v1/networks`: the overlay networks that namespaces are brought onto. */
import type { Network } from '../../../store/objects.ts';
import { change, propose } from '../../changes.ts';
import { newId } from '../../ids.ts';
import { find, requireMember } from '../../lookup.ts';
import { type Api, answers, RefParams, Removed } from '../../schemas.ts';
import type { AgentServices } from '../../services.ts';
import { byName } from '../order.ts';
import { NetworkBody, NetworkList, NetworkView } from './schemas.ts';

export function networkRoutes(app: Api, services: AgentServices): void {
  const { cluster } = services;
  const tags = ['networks'];
  const view = (network: Network): NetworkView => ({
    ...network,
    attachments: cluster.state.list('attachment').filter((one) => one.networkId === network.id).length,
  });

  app.get(
    '/v1/networks',
    {
      config: { access: 'manager' },
      schema: { summary: 'All networks', tags, response: answers(NetworkList) },
    },
    async () => {
      requireMember(cluster);
      return [...cluster.state.list('network')].sort(byName).map(view);
    },
  );

  app.get(
    '/v1/networks/:ref',
    {
      config: { access: 'manager' },
      schema: { summary: 'One network', tags, params: RefParams, response: answers(NetworkView) },
    },
    async (request) => {
      requireMember(cluster);
      return view(find(cluster.state, 'network', request.params.ref));
    },
  );

  app.post(
    '/v1/networks',
    {
      config: { access: 'manager' },
      schema: { summary: 'Make a network', tags, body: NetworkBody, response: answers(NetworkView) },
    },
    async (request) => {
      const { name } = request.body;
      const made = await change<Network>(cluster, {
        type: 'network.create',
        id: newId(),
        name,
        at_ms: Date.now(),
      });
      return view(made);
    },
  );

  app.delete(
    '/v1/networks/:ref',
    {
      config: { access: 'manager' },
      schema: {
        summary: 'Remove a network that nothing is attached to',
        tags,
        params: RefParams,
        response: answers(Removed),
      },
    },
    async (request) => {
      requireMember(cluster);
      const network = find(cluster.state, 'network', request.params.ref);
      await propose(cluster, { type: 'network.remove', ref: network.id });
      return { id: network.id, name: network.name };
    },
  );
}
