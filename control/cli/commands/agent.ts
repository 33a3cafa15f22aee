/** `shoal agent`: the one long-running process of a node. */
import { Command, Option } from 'commander';
import type { AgentConfig } from '../../agent/config.ts';
import { type Setting, settingKeys, settings } from '../../agent/settings.ts';
import { examples, listOption, valueOption } from '../options.ts';
import type { GlobalOptions } from '../session.ts';

/** What control/agent/agent.ts offers: it runs until the process is told to end. */
type AgentModule = { runAgent(config: AgentConfig): Promise<void> };

/** The option of a setting. Values stay text here: the configuration checks them, wherever they come from. */
function settingOption(key: string, { placeholder, description, fallback, list }: Setting): Option {
  const shown = fallback === undefined ? description : `${description} (default: ${fallback})`;
  const make = list === true ? listOption : valueOption;
  return make(`--${key} <${placeholder}>`, shown, (_flag, value: string) => value);
}

/** The name that commander stores an option's value under: `data-dir` as `dataDir`. */
function attributeName(key: string): string {
  return new Option(`--${key}`).attributeName();
}

export function agentCommand(): Command {
  const command = new Command('agent').description(
    'Run the agent of this node, in the foreground, in the network namespace it is started in.',
  );
  for (const key of settingKeys) command.addOption(settingOption(key, settings[key] as Setting));
  command
    .option('--config <FILE>', 'YAML file with the same settings, one per line; flags come before it')
    .action(async (options: Record<string, string | string[] | undefined>) => {
      const { loadAgentConfig } = await import('../../agent/config.ts');
      const flags = Object.fromEntries(settingKeys.map((key) => [key, options[attributeName(key)]]));
      // The socket counts as named by a flag only if it was: the file comes before its default.
      const fromFlag = command.parent?.getOptionValueSource('socket') === 'cli';
      const { socket } = command.optsWithGlobals<GlobalOptions>();
      const config = await loadAgentConfig({
        ...flags,
        config: options.config,
        socket: fromFlag ? socket : undefined,
      });
      const agent: AgentModule = await import(new URL('../../agent/agent.ts', import.meta.url).href);
      await agent.runAgent(config);
    });
  return examples(
    command,
    'shoal agent --data-dir /var/lib/shoal --advertise-addr 192.0.2.10 --uplink eth0',
    'shoal agent --config /etc/shoal.yaml',
  );
}
