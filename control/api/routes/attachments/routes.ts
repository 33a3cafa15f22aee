/** `/v1/attachments`: namespaces of this node on overlay networks. */
import { shoalError } from '../../../errors.ts';
import type { Attachment, Endpoint } from '../../../store/objects.ts';
import { find, findAttachment, requireMember } from '../../lookup.ts';
import { type Api, answers } from '../../schemas.ts';
import type { AgentServices, AttachRequest, StateReader } from '../../services.ts';
import { byAge } from '../order.ts';
import {
  type AttachmentBody,
  AttachmentList,
  AttachmentParams,
  AttachmentView,
  AttachmentBody as Body,
} from './schemas.ts';

/** The network that every cluster has, and that a namespace is put on unless another is named. */
const defaultNetwork = 'mesh';

/** An attachment with the names of what it belongs to. */
function view(state: StateReader, attachment: Attachment, endpoint: Endpoint | undefined): AttachmentView {
  return {
    ...attachment,
    node: state.get('node', attachment.nodeId)?.name ?? attachment.nodeId,
    network: state.get('network', attachment.networkId)?.name ?? attachment.networkId,
    service: endpoint === undefined ? null : (state.get('service', endpoint.serviceId)?.name ?? null),
    port: endpoint?.port ?? null,
  };
}

/** Endpoints that live in attached namespaces, by attachment id. */
function endpointsByAttachment(state: StateReader): Map<string, Endpoint> {
  const found = new Map<string, Endpoint>();
  for (const endpoint of state.list('endpoint')) {
    if (endpoint.attachmentId !== null) found.set(endpoint.attachmentId, endpoint);
  }
  return found;
}

/** The request with defaults filled in. Throws BAD_REQUEST for what contradicts itself, or names nothing that exists. */
function attachRequest(state: StateReader, body: AttachmentBody): AttachRequest {
  const { netns, pid, service, port } = body;
  if ((netns === undefined) === (pid === undefined)) {
    throw shoalError('BAD_REQUEST', { reason: 'the body must name either netns or pid' });
  }
  if (port !== undefined && service === undefined) {
    throw shoalError('BAD_REQUEST', { field: 'port', reason: 'port needs a service' });
  }
  const request: AttachRequest = {
    netns: netns ?? `/proc/${pid}/ns/net`,
    network: find(state, 'network', body.network ?? defaultNetwork).name,
  };
  if (service !== undefined) request.service = find(state, 'service', service).name;
  if (port !== undefined) request.port = port;
  return request;
}

export function attachmentRoutes(app: Api, services: AgentServices): void {
  const { cluster } = services;
  const tags = ['attachments'];

  app.get(
    '/v1/attachments',
    {
      config: { access: 'manager' },
      schema: { summary: 'All attached namespaces', tags, response: answers(AttachmentList) },
    },
    async () => {
      requireMember(cluster);
      const endpoints = endpointsByAttachment(cluster.state);
      return [...cluster.state.list('attachment')]
        .sort(byAge)
        .map((attachment) => view(cluster.state, attachment, endpoints.get(attachment.id)));
    },
  );

  app.post(
    '/v1/attachments',
    {
      config: { access: 'manager' },
      schema: {
        summary: 'Bring a namespace of this node onto a network',
        tags,
        body: Body,
        response: answers(AttachmentView),
      },
    },
    async (request) => {
      requireMember(cluster);
      const attachment = await services.attach(attachRequest(cluster.state, request.body));
      return view(cluster.state, attachment, endpointsByAttachment(cluster.state).get(attachment.id));
    },
  );

  app.delete(
    '/v1/attachments/:ref',
    {
      config: { access: 'manager' },
      schema: {
        summary: 'Take a namespace of this node off its network, by id or path',
        tags,
        params: AttachmentParams,
        response: answers(AttachmentView),
      },
    },
    async (request) => {
      const { nodeId } = requireMember(cluster);
      const attachment = findAttachment(cluster.state, request.params.ref, nodeId);
      const shown = view(cluster.state, attachment, endpointsByAttachment(cluster.state).get(attachment.id));
      if (attachment.nodeId !== nodeId) {
        throw shoalError('BAD_REQUEST', {
          reason: `attachment "${request.params.ref}" is on node "${shown.node}": detach it there`,
        });
      }
      await services.detach(attachment.id);
      return shown;
    },
  );
}
