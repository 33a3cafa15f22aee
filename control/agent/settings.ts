/**
 * Every setting of the agent, once: its flag is `--KEY`, its environment variable `SHOAL_KEY` in capitals with
 * underscores, its line in the YAML file `KEY: value`.
 */
import {
  type Parse,
  parseAddress,
  parseChoice,
  parseDuration,
  parseInterface,
  parseName,
  parsePath,
  parsePort,
  parseText,
  parseTicks,
} from './setting-values.ts';

/** One setting. `T` is the type of its value, of one item's for a list. */
export type Setting<T = unknown> = {
  /** What stands for the value in the help. */
  placeholder: string;
  description: string;
  parse: Parse<T>;
  /** Value, as text, where nobody names one; absent for what stays undefined or is found out from the machine. */
  fallback?: string;
  /** May be given more than once; in the environment and the file as a list. */
  list?: boolean;
};

/** Makes a setting, for its type. */
const setting = <T>(description: Setting<T>): Setting<T> => description;

export const settings = {
  'data-dir': setting({
    placeholder: 'DIR',
    description: 'folder of identity, keys and store',
    parse: parsePath,
    fallback: '/var/lib/shoal',
  }),
  'advertise-addr': setting({
    placeholder: 'ADDR',
    description:
      'IPv4 address that other nodes reach this one at (default: that of the uplink, if it has one only)',
    parse: parseAddress,
  }),
  uplink: setting({
    placeholder: 'IFACE',
    description:
      'interface that faces clients and other nodes (default: the one with the advertised address)',
    parse: parseInterface,
  }),
  'node-name': setting({
    placeholder: 'NAME',
    description: 'name of the node in the cluster (default: the host name)',
    parse: parseName,
  }),
  'control-port': setting({
    placeholder: 'PORT',
    description: 'TCP port for everything between nodes',
    parse: parsePort,
    fallback: '2377',
  }),
  'socket-group': setting({
    placeholder: 'GROUP',
    description: 'group that may open the socket besides the user that the agent runs as',
    parse: parseText,
  }),
  'bpf-dir': setting({
    placeholder: 'DIR',
    description: 'folder of the bpf file system where programs and maps are pinned; one per agent',
    parse: parsePath,
    fallback: '/sys/fs/bpf/shoal',
  }),
  'xdp-mode': setting({
    placeholder: 'MODE',
    description: 'auto, native or generic; auto falls back to generic with a warning',
    parse: parseChoice('auto', 'native', 'generic'),
    fallback: 'auto',
  }),
  'dns-addr': setting({
    placeholder: 'ADDR',
    description: 'address that names are answered on',
    parse: parseAddress,
    fallback: '127.0.0.11',
  }),
  'dns-upstream': setting({
    placeholder: 'ADDR',
    description: 'resolver for all other names (default: those of /etc/resolv.conf)',
    parse: parseAddress,
    list: true,
  }),
  'log-level': setting({
    placeholder: 'LEVEL',
    description: 'trace, debug, info, warn, error, fatal or silent',
    parse: parseChoice('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    fallback: 'info',
  }),
  'log-format': setting({
    placeholder: 'FORMAT',
    description: 'auto, pretty or json; auto is pretty on a terminal',
    parse: parseChoice('auto', 'pretty', 'json'),
    fallback: 'auto',
  }),
  'raft-tick': setting({
    placeholder: 'TIME',
    description: 'length of a Raft tick (default: 10ms)',
    parse: parseDuration(1, 1_000),
  }),
  'raft-election-ticks': setting({
    placeholder: 'N',
    description: 'ticks without a leader after which managers elect one (default: 15)',
    parse: parseTicks,
  }),
  'agent-heartbeat': setting({
    placeholder: 'TIME',
    description: 'time between heartbeats to the leader (default: 200ms)',
    parse: parseDuration(10, 60_000),
  }),
  'agent-down': setting({
    placeholder: 'TIME',
    description: 'silence after which the leader takes an agent for down (default: 1s)',
    parse: parseDuration(50, 600_000),
  }),
};

/** The name of a setting. */
export type SettingKey = keyof typeof settings;
export const settingKeys = Object.keys(settings) as SettingKey[];

/** The environment variable of a setting: `SHOAL_DATA_DIR`. */
export function environmentName(key: SettingKey): string {
  return `SHOAL_${key.toUpperCase().replaceAll('-', '_')}`;
}
