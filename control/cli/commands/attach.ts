/** `shoal attach` and `detach`: network namespaces of this node on overlay networks. */
import { Argument, Command } from 'commander';
import type { AttachmentView } from '../../api/routes/attachments/schemas.ts';
import { defaultNetwork } from '../defaults.ts';
import { examples, quietOption, valueOption } from '../options.ts';
import { parseReference } from '../parse/name.ts';
import { parseNetns, parsePid } from '../parse/netns.ts';
import { parsePort } from '../parse/number.ts';
import { forEach, withAgent } from '../session.ts';
import { UsageError } from '../usage-error.ts';

type AttachOptions = {
  netns?: string;
  pid?: number;
  network?: string;
  service?: string;
  port?: number;
  quiet?: boolean;
};

/** Throws {@link UsageError} for options that contradict each other or mean nothing alone. */
function checkTogether({ netns, pid, service, port }: AttachOptions): void {
  if (netns === undefined && pid === undefined) {
    throw new UsageError('attach', undefined, '--netns PATH or --pid PID', 'it is not said which namespace');
  }
  if (netns !== undefined && pid !== undefined) {
    throw new UsageError('--pid', String(pid), 'either --netns or --pid', 'both name a namespace');
  }
  if (port !== undefined && service === undefined) {
    throw new UsageError('--port', String(port), '--service NAME as well', 'a port belongs to a service');
  }
}

export function attachCommand(): Command {
  const command = new Command('attach')
    .description(
      'Bring a network namespace of this node onto a network: an interface, an address, a resolver on ' +
        '127.0.0.11 and, with --service, an endpoint.',
    )
    .addOption(valueOption('--netns <path>', 'path of the namespace, or its name in /run/netns', parseNetns))
    .addOption(valueOption('--pid <pid>', 'a process in the namespace', parsePid))
    .addOption(
      valueOption('--network <name>', `network to attach to (default: ${defaultNetwork})`, parseReference),
    )
    .addOption(valueOption('--service <name>', 'service that the namespace serves', parseReference))
    .addOption(
      valueOption(
        '--port <port>',
        "port that it serves on (default: the service's first published one)",
        parsePort,
      ),
    )
    .addOption(quietOption('print the id only'))
    .action(({ quiet, ...options }: AttachOptions) => {
      checkTogether(options);
      return withAgent(command, async ({ agent, output }) => {
        const attached = await agent.post<AttachmentView>('/v1/attachments', options);
        output.result(attached, () => {
          if (quiet === true) return attached.id;
          const serving =
            attached.service === null ? '' : `, serving ${attached.service} on port ${attached.port}`;
          return `${attached.id}\n${attached.netns} is on ${attached.network} as ${attached.address}${serving}`;
        });
      });
    });
  return examples(
    command,
    'shoal attach --netns /run/netns/app --service web --port 8080',
    'shoal attach --pid 4242 --network backend',
  );
}

export function detachCommand(): Command {
  const command = new Command('detach')
    .description('Take network namespaces of this node off their networks.')
    .addArgument(
      new Argument('<attachments...>', 'ids, or paths as they were given to attach').argParser(
        (value, previous: string[] | undefined) => [
          ...(previous ?? []),
          value.startsWith('/') ? parseNetns('attachments', value) : parseReference('attachments', value),
        ],
      ),
    )
    .action((refs: string[]) =>
      withAgent(command, async ({ agent, output }) => {
        const { done, throwIfAnyFailed } = await forEach(refs, command, async (ref) => ({
          ref,
          ...(await agent.delete<AttachmentView>(`/v1/attachments/${encodeURIComponent(ref)}`)),
        }));
        output.result({ removed: done }, () => done.map(({ ref }) => ref).join('\n'));
        throwIfAnyFailed();
      }),
    );
  return examples(command, 'shoal detach /run/netns/app');
}
