/** `shoal node`: the machines of the cluster. */
import { Command } from 'commander';
import type { NodeView } from '../../api/routes/nodes/schemas.ts';
import { examples, quietOption } from '../options.ts';
import { formatFields, formatTable, shortId } from '../output.ts';
import { parseReference } from '../parse/name.ts';
import { withAgent } from '../session.ts';
import { inspect, referencesArgument } from './shared.ts';

/** What a manager is to the others, as Docker's users know the column; empty for a worker. Pure. */
function managerStatus(node: NodeView): string {
  if (node.role === 'worker') return '';
  if (node.leader) return 'Leader';
  return node.status === 'ready' ? 'Reachable' : 'Unreachable';
}

/** The table of `shoal node ls`. Pure. */
export function nodeTable(nodes: readonly NodeView[]): string {
  return formatTable(
    ['ID', 'NAME', 'STATUS', 'MANAGER STATUS', 'ADDRESS', 'MESH ADDRESS'],
    nodes.map((node) => [
      `${shortId(node.id)}${node.self ? ' *' : ''}`,
      node.name,
      node.status === 'ready' ? 'Ready' : 'Down',
      managerStatus(node),
      node.advertiseAddress,
      node.meshAddress,
    ]),
  );
}

/** One node for people. Pure. */
export function nodeFields(node: NodeView): string {
  return formatFields([
    ['ID', node.id],
    ['Name', node.name],
    ['Role', node.role],
    ['Status', node.status],
    ['Leader', node.leader ? 'yes' : 'no'],
    ['Address', `${node.advertiseAddress}:${node.controlPort}`],
    ['Mesh address', node.meshAddress],
    ['Uplink addresses', node.addresses.join(', ')],
    ['Slot', String(node.slot)],
    ['Joined', new Date(node.createdAt_ms).toISOString()],
    ['Version', String(node.version)],
  ]);
}

function listCommand(): Command {
  const command = new Command('ls')
    .alias('list')
    .description('List the nodes; the one with * is this one.')
    .addOption(quietOption('print ids only'))
    .action((options: { quiet?: boolean }) =>
      withAgent(command, async ({ agent, output }) => {
        const nodes = await agent.get<NodeView[]>('/v1/nodes');
        output.result(nodes, () =>
          options.quiet === true ? nodes.map(({ id }) => shortId(id)).join('\n') : nodeTable(nodes),
        );
      }),
    );
  return examples(command, 'shoal node ls');
}

function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('Show nodes as a JSON list, or with --pretty for people.')
    .addArgument(referencesArgument('nodes', 'names or ids; "self" is this node', parseReference))
    .option('--pretty', 'for people')
    .action((refs: string[], options: { pretty?: boolean }) =>
      inspect<NodeView>(command, refs, '/v1/nodes', options.pretty === true ? nodeFields : undefined),
    );
  return examples(command, 'shoal node inspect self --pretty', 'shoal node inspect edge-1 edge-2');
}

export function nodeCommand(): Command {
  const command = new Command('node')
    .description('Nodes of the cluster.')
    .addCommand(listCommand())
    .addCommand(inspectCommand());
  return examples(command, 'shoal node ls');
}
