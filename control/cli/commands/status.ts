/** `shoal status`: this node at a glance. */
import { Command } from 'commander';
import type { Status } from '../../api/routes/status/schemas.ts';
import { examples } from '../options.ts';
import { formatFields } from '../output.ts';
import { withAgent } from '../session.ts';

/** A name of the API in words: `xdpMode` and `xdp_mode` as `xdp mode`. Pure. */
function inWords(name: string): string {
  return name
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase();
}

/** Names with a number other than 0, the way one says them: `4 requests, 1 idle timeouts`. Pure. */
function countsText(counts: object): string {
  const met = Object.entries(counts).filter(([, count]) => typeof count !== 'number' || count > 0);
  return met.length === 0
    ? 'nothing yet'
    : met.map(([name, count]) => `${count} ${inWords(name)}`).join(', ');
}

type Field = readonly [string, string];

/** What a node's data plane says of itself, a line for each fact; groups of counters are lines of their own. Pure. */
function dataplaneFields(dataplane: object): Field[] {
  const {
    state,
    problems,
    counters,
    attachmentFailures: _shownAsProblems,
    ...facts
  } = dataplane as Record<string, unknown>;
  const problemList = Array.isArray(problems) ? problems.map(String) : [];
  return [
    ['Data plane', String(state)],
    ...problemList.map((text): Field => ['Problem', text]),
    ...Object.entries(facts).map(([name, value]): Field => {
      const title = name === 'packets' ? 'Packets' : `  ${inWords(name)}`;
      return [title, typeof value === 'object' && value !== null ? countsText(value) : String(value)];
    }),
    ...Object.entries((counters ?? {}) as Record<string, object>).map(
      ([name, counts]): Field => [`Counted by ${name}`, countsText(counts)],
    ),
  ];
}

/** The status for people. Pure. */
export function statusText(status: Status): string {
  const { counts, leader } = status;
  const dataplane = dataplaneFields(status.dataplane);
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
