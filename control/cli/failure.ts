/** How a command that did not work says so, and with which exit code. */
import { CommanderError } from 'commander';
import { ShoalError } from '../errors.ts';
import type { Format } from './output.ts';
import { UsageError } from './usage-error.ts';

/** Exit codes: 1 when it was tried and failed, 2 when what was typed cannot be meant. */
export const exitCodes = { success: 0, failure: 1, usage: 2 } as const;

/** An error as it is shown. `code` is of the catalogue, or USAGE. */
export type Failure = { code: string; message: string; hint?: string; exitCode: number };

/** Thrown after each failure was shown by itself, as when one of several objects could not be removed. */
export class AlreadyShown extends Error {}

/** Any thrown value as a failure. Pure. */
export function toFailure(thrown: unknown): Failure {
  if (thrown instanceof UsageError) {
    return { code: 'USAGE', message: thrown.message, exitCode: exitCodes.usage };
  }
  if (thrown instanceof CommanderError) return fromCommander(thrown);
  if (thrown instanceof ShoalError) {
    const { code, message, hint } = thrown;
    return { code, message, ...(hint === undefined ? {} : { hint }), exitCode: exitCodes.failure };
  }
  const { code, message } = thrown as { code?: unknown; message?: unknown };
  return {
    code: typeof code === 'string' && /^[A-Z_]+$/.test(code) ? code : 'INTERNAL',
    message: typeof message === 'string' ? message : String(thrown),
    exitCode: exitCodes.failure,
  };
}

/** Commander's own errors: `error: unknown option '--x'`, then `(Did you mean --y?)` on a line of its own. */
function fromCommander(error: CommanderError): Failure {
  if (error.code === 'commander.help') {
    return { code: 'USAGE', message: 'a command is missing', exitCode: exitCodes.usage };
  }
  const [message = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = rest.join(' ').trim();
  const hint = /^\((.*)\)$/.exec(suggestion)?.[1] ?? suggestion;
  return { code: 'USAGE', message, ...(hint === '' ? {} : { hint }), exitCode: exitCodes.usage };
}

/** The failure as text for standard error. `command` is what its help is asked of: `shoal service create`. Pure. */
export function formatFailure(failure: Failure, format: Format, command: string): string {
  const { code, message, hint, exitCode } = failure;
  const help = `see ${command} --help`;
  if (format === 'json') {
    const shown = hint ?? (exitCode === exitCodes.usage ? help : undefined);
    return JSON.stringify({ error: { code, message, ...(shown === undefined ? {} : { hint: shown }) } });
  }
  const lines = [`shoal: ${message}`];
  if (hint !== undefined) lines.push(`  ${hint}`);
  if (exitCode === exitCodes.usage) lines.push(`  ${help}`);
  return lines.join('\n');
}
