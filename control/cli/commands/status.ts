/** `shoal status`: this node at a glance. */
import { Command } from 'commander';
import type { Status } from '../../api/routes/status/schemas.ts';
import { examples } from '../options.ts';
import { formatFields } from '../output.ts';
import { withAgent } from '../session.ts';

/** The status for people. Pure. */
export function statusText(status: Status): string {
  const { counts, leader } = status;
  const dataplane = Object.entries(status.dataplane).map(
    ([name, value]) =>
      [`Data plane ${name}`, typeof value === 'string' ? value : JSON.stringify(value)] as const,
  );
  if (status.membership === 'none') {
    return formatFields([['Cluster', 'none: shoal init makes one, shoal join enters one'], ...dataplane]);
  }
  return formatFields([
    ['Cluster', status.clusterId ?? ''],
    ['Node', `${status.nodeName ?? ''} (${status.nodeId ?? ''})`],
    ['Role', status.role ?? ''],
    ['Leader', leader === null ? 'none: changes are not possible now' : `${leader.name} (${leader.address})`],
    ['Version', String(status.version)],
    ['Nodes', `${counts.nodesReady} of ${counts.nodes} ready`],
    ['Services', `${counts.services} with ${counts.endpoints} endpoints`],
    ['Networks', `${counts.networks} with ${counts.attachments} attached namespaces`],
    ...dataplane,
  ]);
}

export function statusCommand(): Command {
  const command = new Command('status')
    .description('This node and what it knows of its cluster.')
    .action(() =>
      withAgent(command, async ({ agent, output }) => {
        const status = await agent.get<Status>('/v1/status');
        output.result(status, () => statusText(status));
      }),
    );
  return examples(command, 'shoal status');
}
