/** This node in a few lines. */
import type { Kind } from '../../../store/objects.ts';
import type { AgentServices } from '../../services.ts';
import type { Status } from './schemas.ts';

/** The answer of `GET /v1/status`; a node that is in no cluster has one, too. */
export async function statusView(services: AgentServices): Promise<Status> {
  const { cluster } = services;
  const { membership, state } = cluster;
  const member = membership.state === 'member' ? membership : undefined;
  const leader = member === undefined ? null : cluster.leader();
  const nodes = state.list('node');
  const count = (kind: Kind) => state.list(kind).length;
  return {
    membership: membership.state,
    nodeId: member?.nodeId ?? null,
    nodeName: member === undefined ? null : (state.get('node', member.nodeId)?.name ?? null),
    role: member?.role ?? null,
    clusterId: member?.clusterId ?? null,
    leader:
      leader === null
        ? null
        : {
            nodeId: leader.nodeId,
            name: state.get('node', leader.nodeId)?.name ?? leader.nodeId,
            address: `${leader.address}:${leader.controlPort}`,
          },
    version: state.version,
    counts: {
      nodes: nodes.length,
      nodesReady: nodes.filter((node) => node.status === 'ready').length,
      networks: count('network'),
      services: count('service'),
      endpoints: state.list('endpoint').filter((endpoint) => endpoint.state !== 'removed').length,
      attachments: count('attachment'),
    },
    dataplane: await services.dataplane.summary(),
  };
}
