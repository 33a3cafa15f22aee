/** The agent's log: pretty on a terminal, JSON lines otherwise. */
import { type Logger, pino } from 'pino';
import pretty from 'pino-pretty';
import type { AgentConfig } from './config.ts';

/** A logger that writes to standard output as the configuration asks. */
export function makeLog(config: AgentConfig['log']): Logger {
  const isPretty = config.format === 'pretty' || (config.format === 'auto' && process.stdout.isTTY === true);
  const options = { level: config.level, base: null };
  if (!isPretty) return pino(options);
  return pino(
    options,
    pretty({ colorize: process.stdout.isTTY === true, translateTime: 'SYS:HH:MM:ss.l', sync: true }),
  );
}
