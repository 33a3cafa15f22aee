/** `shoal service`: what the mesh publishes. */
import { Command } from 'commander';
import type { EndpointView, ServiceView } from '../../api/routes/services/schemas.ts';
import { examples, quietOption } from '../options.ts';
import { shortId } from '../output.ts';
import { parseReference } from '../parse/name.ts';
import { forEach, withAgent } from '../session.ts';
import { createCommand, updateCommand } from './service-change.ts';
import { endpointTable, serviceFields, serviceTable } from './service-tables.ts';
import { inspect, referencesArgument, removeEach } from './shared.ts';

function listCommand(): Command {
  const command = new Command('ls')
    .alias('list')
    .description('List the services. ENDPOINTS is how many take connections of how many there should be.')
    .addOption(quietOption('print ids only'))
    .action((options: { quiet?: boolean }) =>
      withAgent(command, async ({ agent, output }) => {
        const services = await agent.get<ServiceView[]>('/v1/services');
        output.result(services, () =>
          options.quiet === true ? services.map(({ id }) => shortId(id)).join('\n') : serviceTable(services),
        );
      }),
    );
  return examples(command, 'shoal service ls');
}

function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('Show services as a JSON list, or with --pretty for people.')
    .addArgument(referencesArgument('services', 'names or ids', parseReference))
    .option('--pretty', 'for people')
    .action((refs: string[], options: { pretty?: boolean }) =>
      inspect<ServiceView>(
        command,
        refs,
        '/v1/services',
        options.pretty === true ? serviceFields : undefined,
      ),
    );
  return examples(command, 'shoal service inspect --pretty web');
}

function endpointsCommand(): Command {
  const command = new Command('ps')
    .description('List the endpoints of services, with their health.')
    .addArgument(referencesArgument('services', 'names or ids', parseReference))
    .addOption(quietOption('print ids only'))
    .action((refs: string[], options: { quiet?: boolean }) =>
      withAgent(command, async ({ agent, output }) => {
        const { done, throwIfAnyFailed } = await forEach(refs, command, async (ref) => {
          const endpoints = await agent.get<EndpointView[]>(
            `/v1/services/${encodeURIComponent(ref)}/endpoints`,
          );
          return endpoints.map((endpoint) => ({ ...endpoint, service: ref }));
        });
        const endpoints = done.flat();
        output.result(endpoints, () =>
          options.quiet === true || done.length === 0
            ? endpoints.map(({ id }) => shortId(id)).join('\n')
            : endpointTable(endpoints),
        );
        throwIfAnyFailed();
      }),
    );
  return examples(command, 'shoal service ps web');
}

function removeCommand(): Command {
  const command = new Command('rm')
    .alias('remove')
    .description('Remove services with their endpoints. Their connections end.')
    .addArgument(referencesArgument('services', 'names or ids', parseReference))
    .action((refs: string[]) => removeEach(command, refs, '/v1/services'));
  return examples(command, 'shoal service rm web');
}

export function serviceCommand(): Command {
  const command = new Command('service')
    .description('What the mesh publishes.')
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(inspectCommand())
    .addCommand(endpointsCommand())
    .addCommand(updateCommand())
    .addCommand(removeCommand());
  return examples(
    command,
    'shoal service create web --publish 8080:80 --endpoint 10.0.0.5:80',
    'shoal service ps web',
  );
}
