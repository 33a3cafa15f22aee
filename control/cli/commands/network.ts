/** `shoal network`: the overlay networks that namespaces are brought onto. */
import { Argument, Command } from 'commander';
import type { NetworkView } from '../../api/routes/networks/schemas.ts';
import { examples, quietOption } from '../options.ts';
import { formatTable, shortId } from '../output.ts';
import { parseName, parseReference } from '../parse/name.ts';
import { withAgent } from '../session.ts';
import { referencesArgument, removeEach } from './shared.ts';

/** The table of `shoal network ls`. Pure. */
export function networkTable(networks: readonly NetworkView[]): string {
  return formatTable(
    ['ID', 'NAME', 'SUBNET', 'ATTACHED'],
    networks.map((network) => [
      shortId(network.id),
      network.name,
      network.subnet,
      String(network.attachments),
    ]),
  );
}

function listCommand(): Command {
  const command = new Command('ls')
    .alias('list')
    .description('List the networks.')
    .addOption(quietOption('print ids only'))
    .action((options: { quiet?: boolean }) =>
      withAgent(command, async ({ agent, output }) => {
        const networks = await agent.get<NetworkView[]>('/v1/networks');
        output.result(networks, () =>
          options.quiet === true ? networks.map(({ id }) => shortId(id)).join('\n') : networkTable(networks),
        );
      }),
    );
  return examples(command, 'shoal network ls');
}

function createCommand(): Command {
  const command = new Command('create')
    .description("Make a network; its addresses come from the cluster's pool.")
    .addArgument(new Argument('<name>', 'its name').argParser((value) => parseName('name', value)))
    .action((name: string) =>
      withAgent(command, async ({ agent, output }) => {
        const network = await agent.post<NetworkView>('/v1/networks', { name });
        output.result(network, () => network.id);
      }),
    );
  return examples(command, 'shoal network create backend');
}

function removeCommand(): Command {
  const command = new Command('rm')
    .alias('remove')
    .description('Remove networks that nothing is attached to.')
    .addArgument(referencesArgument('networks', 'names or ids', parseReference))
    .action((refs: string[]) => removeEach(command, refs, '/v1/networks'));
  return examples(command, 'shoal network rm backend');
}

export function networkCommand(): Command {
  const command = new Command('network')
    .description('Overlay networks.')
    .addCommand(listCommand())
    .addCommand(createCommand())
    .addCommand(removeCommand());
  return examples(command, 'shoal network create backend');
}
