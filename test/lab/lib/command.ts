/** Synchronous system commands, for set-up and removal. */
import { spawnSync } from 'node:child_process';

const timeout_ms = 15_000;

/**
 * Runs a command of the system and returns its standard output.
 * @throws Error that names the command and what it said, if it is missing, fails or takes over 15 s
 */
export function runCommand(command: string, args: readonly string[], input = ''): string {
  const result = spawnSync(command, args, { input, encoding: 'utf8', timeout: timeout_ms });
  const line = [command, ...args].join(' ');
  if (result.error !== undefined) {
    const missing = (result.error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new Error(missing ? `command '${command}' is not installed` : `${line}: ${result.error.message}`);
  }
  if (result.status !== 0) {
    const said = (result.stderr || result.stdout).trim();
    throw new Error(`${line}: ${said || `exit code ${result.status ?? result.signal}`}`);
  }
  return result.stdout;
}
