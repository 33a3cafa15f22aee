/** The tree of commands. Only the branch that was typed is loaded: the rest are names with a line each. */
import { Command, Option } from 'commander';
import { defaultSocketPath } from './defaults.ts';
import { examples, valueOption } from './options.ts';
import type { Format } from './output.ts';
import { UsageError } from './usage-error.ts';

/** Makes one command with all below it. */
export type CommandFactory = () => Command;

type Entry = { summary: string; load: () => Promise<CommandFactory> };

/** First words of the command line, in the order of the help. */
const entries: Record<string, Entry> = {
  agent: {
    summary: 'run the agent of this node, in the foreground',
    load: async () => (await import('./commands/agent.ts')).agentCommand,
  },
  init: {
    summary: 'make a cluster of this node',
    load: async () => (await import('./commands/cluster.ts')).initCommand,
  },
  join: {
    summary: 'enter a cluster',
    load: async () => (await import('./commands/cluster.ts')).joinCommand,
  },
  'join-token': {
    summary: 'print the token with which a node enters',
    load: async () => (await import('./commands/cluster.ts')).joinTokenCommand,
  },
  leave: {
    summary: 'take this node out of its cluster',
    load: async () => (await import('./commands/cluster.ts')).leaveCommand,
  },
  node: {
    summary: 'nodes of the cluster',
    load: async () => (await import('./commands/node.ts')).nodeCommand,
  },
  network: {
    summary: 'overlay networks',
    load: async () => (await import('./commands/network.ts')).networkCommand,
  },
  service: {
    summary: 'what the mesh publishes',
    load: async () => (await import('./commands/service.ts')).serviceCommand,
  },
  attach: {
    summary: 'bring a network namespace of this node onto a network',
    load: async () => (await import('./commands/attach.ts')).attachCommand,
  },
  detach: {
    summary: 'take a network namespace off its network',
    load: async () => (await import('./commands/attach.ts')).detachCommand,
  },
  drops: {
    summary: 'packets that this node dropped, by reason',
    load: async () => (await import('./commands/counters.ts')).dropsCommand,
  },
  flows: {
    summary: 'flow table of this node',
    load: async () => (await import('./commands/counters.ts')).flowsCommand,
  },
  status: {
    summary: 'this node and what it knows of its cluster',
    load: async () => (await import('./commands/status.ts')).statusCommand,
  },
};

/** Every first word, for tests and suggestions. */
export const commandNames = Object.keys(entries);

/** Options of the program that take a value: what follows them is no command. */
const valueFlags = ['--socket', '--format'];

/** The first word that is no option; undefined if there is none. Pure. */
export function firstWord(words: readonly string[]): string | undefined {
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? '';
    if (valueFlags.includes(word)) index += 1;
    else if (!word.startsWith('-')) return word;
  }
  return undefined;
}

/** The format that was asked for, read without regard to errors, so that errors are shown in it. Pure. */
export function requestedFormat(words: readonly string[]): Format {
  const at = words.findLastIndex((word) => word === '--format' || word.startsWith('--format='));
  if (at < 0) return 'table';
  const value = words[at]?.startsWith('--format=') ? words[at].slice('--format='.length) : words[at + 1];
  return value === 'json' ? 'json' : 'table';
}

function parseFormat(flag: string, value: string): Format {
  if (value !== 'table' && value !== 'json') throw new UsageError(flag, value, 'table or json');
  return value;
}

/** How help looks, and that nothing ends the process or writes errors by itself: commander passes both on. */
function inherit(command: Command, program: Command): void {
  command.copyInheritedSettings(program).helpCommand(false);
  for (const child of command.commands) inherit(child, command);
}

/** The program, with the branch of `word` loaded and all others as names; `format` is how errors are shown. */
export async function buildProgram(word: string | undefined, format: Format = 'table'): Promise<Command> {
  const program = new Command('shoal')
    .description('A routing mesh for bare-metal edge nodes.')
    .usage('[options] COMMAND')
    .exitOverride()
    .configureOutput({
      outputError: () => undefined,
      // Help that stands in for a missing command would spoil the one document that a program reads.
      ...(format === 'json' ? { writeErr: () => undefined } : {}),
    })
    .configureHelp({ showGlobalOptions: true, visibleOptions })
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .addOption(
      new Option('--socket <path>', 'Unix socket of the agent')
        .env('SHOAL_SOCKET')
        .default(defaultSocketPath),
    )
    .addOption(
      valueOption('--format <format>', 'table or json (one document; errors, too)', parseFormat).default(
        'table',
      ),
    );
  for (const [name, { summary, load }] of Object.entries(entries)) {
    if (name !== word) {
      program.command(name).description(summary);
      continue;
    }
    const command = (await load())();
    inherit(command, program);
    program.addCommand(command);
  }
  return examples(program, 'shoal init', 'shoal service create web --publish 80 --endpoint 10.0.0.5:8080');
}

/** Options without the one for help, which the first line of every help names already. */
function visibleOptions(command: Command): Option[] {
  return command.options.filter((option) => !option.hidden);
}
