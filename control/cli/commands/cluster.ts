/** `shoal init`, `join`, `join-token` and `leave`: a node's way in and out of a cluster. */
import { Argument, Command } from 'commander';
import type { JoinToken } from '../../api/routes/join-tokens/schemas.ts';
import type { Status } from '../../api/routes/status/schemas.ts';
import { examples, quietOption, valueOption } from '../options.ts';
import { type HostPort, parseCidr, parseHostPort } from '../parse/address.ts';
import { parseRole, parseToken } from '../parse/name.ts';
import { withAgent } from '../session.ts';

/** Length of the range that a cluster cuts its addresses from. */
const meshPoolLength = 13;

export function initCommand(): Command {
  const command = new Command('init')
    .description('Make a cluster with this node as its first manager.')
    .addOption(
      valueOption(
        '--mesh-pool <range>',
        'the /13 that VIPs, networks and nodes get addresses from',
        (flag, value) => parseCidr(flag, value, meshPoolLength),
      ),
    )
    .action((options: { meshPool?: string }) =>
      withAgent(command, async ({ agent, output }) => {
        const status = await agent.post<Status>('/v1/cluster/init', options);
        const worker = await agent.get<JoinToken>('/v1/join-tokens/worker');
        output.result({ ...status, joinCommand: worker.command }, () =>
          [
            `This node is now the first manager of cluster ${status.clusterId}.`,
            '',
            'To add a worker, run this on it:',
            '',
            `    ${worker.command}`,
            '',
            'To add a manager, run `shoal join-token manager` here and follow what it prints.',
          ].join('\n'),
        );
      }),
    );
  return examples(command, 'shoal init', 'shoal init --mesh-pool 10.64.0.0/13');
}

export function joinCommand(): Command {
  const command = new Command('join')
    .description('Enter a cluster through any of its managers.')
    .addArgument(
      new Argument('<HOST:PORT>', 'address of a manager; the port is 2377 unless named').argParser((value) =>
        parseHostPort('HOST:PORT', value),
      ),
    )
    .addOption(
      valueOption(
        '--token <token>',
        'what `shoal join-token` printed on a manager',
        parseToken,
      ).makeOptionMandatory(),
    )
    .action(({ host, port }: HostPort, { token }: { token: string }) =>
      withAgent(command, async ({ agent, output }) => {
        const status = await agent.post<Status>('/v1/cluster/join', { token, address: `${host}:${port}` });
        output.result(status, () => `This node is now a ${status.role} of cluster ${status.clusterId}.`);
      }),
    );
  return examples(command, 'shoal join --token SHTKN-1-5x…-8k… 192.0.2.10:2377');
}

export function joinTokenCommand(): Command {
  const command = new Command('join-token')
    .description('Print the token with which a node enters, and the command that uses it. Managers only.')
    .addArgument(new Argument('<role>', 'manager or worker').argParser((value) => parseRole('role', value)))
    .option('--rotate', 'make a new token; the former one stops working, nodes that are in stay in')
    .addOption(quietOption('print the token only'))
    .action((role: string, options: { rotate?: boolean; quiet?: boolean }) =>
      withAgent(command, async ({ agent, output }) => {
        const path = `/v1/join-tokens/${role}`;
        const token =
          options.rotate === true
            ? await agent.post<JoinToken>(`${path}/rotate`, {})
            : await agent.get<JoinToken>(path);
        output.result(token, () =>
          options.quiet === true
            ? token.token
            : `To add a ${role} to this cluster, run this on it:\n\n    ${token.command}`,
        );
      }),
    );
  return examples(command, 'shoal join-token worker', 'shoal join-token --rotate -q manager');
}

export function leaveCommand(): Command {
  const command = new Command('leave')
    .description('Take this node out of its cluster and wipe its keys and store.')
    .option('-f, --force', 'leave even if no leader can be told of it')
    .action((options: { force?: boolean }) =>
      withAgent(command, async ({ agent, output }) => {
        const status = await agent.post<Status>('/v1/cluster/leave', options);
        output.result(status, () => 'This node has left its cluster.');
      }),
    );
  return examples(command, 'shoal leave');
}
