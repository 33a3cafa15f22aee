/** `/v1/join-tokens`: what lets a node in. */
import { shoalError } from '../../../errors.ts';
import { createSecret } from '../../../pki/token.ts';
import type { Role } from '../../../store/objects.ts';
import { propose } from '../../changes.ts';
import { requireMember } from '../../lookup.ts';
import { type Api, answers } from '../../schemas.ts';
import type { AgentServices } from '../../services.ts';
import { JoinToken, RoleParams } from './schemas.ts';

/** The token of a role and the command that uses it. Throws FORBIDDEN on a worker, which does not have it. */
function joinToken(services: AgentServices, role: Role): JoinToken {
  const { nodeId } = requireManager(services);
  const token = services.cluster.issueJoinToken(role);
  const self = services.cluster.state.get('node', nodeId);
  const address = self === undefined ? 'HOST:PORT' : `${self.advertiseAddress}:${self.controlPort}`;
  return { token, command: `shoal join --token ${token} ${address}` };
}

/** Membership of a manager. Throws FORBIDDEN on a worker, NOT_INITIALISED outside of a cluster. */
function requireManager(services: AgentServices) {
  const member = requireMember(services.cluster);
  if (member.role !== 'manager') {
    throw shoalError('FORBIDDEN', {
      reason: 'this node is a worker, and only managers have the join tokens',
    });
  }
  return member;
}

export function joinTokenRoutes(app: Api, services: AgentServices): void {
  const tags = ['cluster'];
  app.get(
    '/v1/join-tokens/:role',
    {
      config: { access: 'manager' },
      schema: {
        summary: 'The token with which a node enters as manager or worker',
        tags,
        params: RoleParams,
        response: answers(JoinToken),
      },
    },
    async (request) => joinToken(services, request.params.role),
  );

  app.post(
    '/v1/join-tokens/:role/rotate',
    {
      config: { access: 'manager' },
      schema: {
        summary: 'Make a new token for a role; the former one stops working',
        tags,
        params: RoleParams,
        response: answers(JoinToken),
      },
    },
    async (request) => {
      requireManager(services);
      const { role } = request.params;
      await propose(services.cluster, { type: 'cluster.rotate', role, secret: createSecret() });
      return joinToken(services, role);
    },
  );
}
