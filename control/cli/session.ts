/** What every command begins with: how to print, and the agent to talk to. */
import type { Command } from 'commander';
import type { ApiClient } from '../api/client.ts';
import { AlreadyShown, formatFailure, toFailure } from './failure.ts';
import { type Format, Output } from './output.ts';

/** Options that every command takes. */
export type GlobalOptions = { socket: string; format: Format };

/** An agent's API, and where results go. */
export type Session = { agent: ApiClient; output: Output };

/** The whole name of a command, as one types it: `shoal service create`. */
export function commandPath(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  return names.join(' ');
}

/** Runs `use` with a client of the agent that `--socket` names; the client is loaded here and not before. */
export async function withAgent<T>(command: Command, use: (session: Session) => Promise<T>): Promise<T> {
  const { socket, format } = command.optsWithGlobals<GlobalOptions>();
  const { ApiClient } = await import('../api/client.ts');
  using agent = new ApiClient(socket);
  return await use({ agent, output: new Output(format) });
}

/**
 * Does the same for each of several objects, one after the other. One that fails is shown at once and does not
 * keep the others from their turn.
 *
 * @returns what `act` returned for those that worked, and a function that throws if any did not: called after the
 *   result is shown, so that the exit code says so
 */
export async function forEach<T>(
  refs: readonly string[],
  command: Command,
  act: (ref: string) => Promise<T>,
): Promise<{ done: T[]; throwIfAnyFailed: () => void }> {
  const { format } = command.optsWithGlobals<GlobalOptions>();
  const done: T[] = [];
  let failures = 0;
  for (const ref of refs) {
    try {
      done.push(await act(ref));
    } catch (thrown) {
      failures += 1;
      process.stderr.write(`${formatFailure(toFailure(thrown), format, commandPath(command))}\n`);
      // Without an agent none of the others can work either: say it once.
      if ((thrown as { name?: string }).name === 'SocketFailure') break;
    }
  }
  const throwIfAnyFailed = () => {
    if (failures > 0) throw new AlreadyShown();
  };
  return { done, throwIfAnyFailed };
}
