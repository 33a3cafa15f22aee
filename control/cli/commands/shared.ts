/** What commands on several kinds of objects have in common. */
import { Argument, type Command } from 'commander';
import { forEach, withAgent } from '../session.ts';

/** One or more references. Each is parsed by `parse`, which throws UsageError. */
export function referencesArgument(
  name: string,
  description: string,
  parse: (flag: string, value: string) => string,
): Argument {
  return new Argument(`<${name}...>`, description).argParser((value, previous: string[] | undefined) => [
    ...(previous ?? []),
    parse(name, value),
  ]);
}

/**
 * Shows objects as one JSON list, as Docker's inspect does, or each as `pretty` writes it. Those that are not
 * found are errors, the others are shown all the same.
 */
export async function inspect<T>(
  command: Command,
  refs: readonly string[],
  path: string,
  pretty: ((object: T) => string) | undefined,
): Promise<void> {
  await withAgent(command, async ({ agent, output }) => {
    const get = (ref: string) => agent.get<T>(`${path}/${encodeURIComponent(ref)}`);
    const { done, throwIfAnyFailed } = await forEach(refs, command, get);
    output.result(done, () =>
      pretty === undefined ? JSON.stringify(done, null, 2) : done.map(pretty).join('\n\n'),
    );
    throwIfAnyFailed();
  });
}

/** Removes objects and prints the name of each, as it was given. In JSON: `{ "removed": [...] }`. */
export async function removeEach(command: Command, refs: readonly string[], path: string): Promise<void> {
  await withAgent(command, async ({ agent, output }) => {
    const { done, throwIfAnyFailed } = await forEach(refs, command, async (ref) => ({
      ref,
      ...(await agent.delete<object>(`${path}/${encodeURIComponent(ref)}`)),
    }));
    output.result({ removed: done }, () => done.map(({ ref }) => ref).join('\n'));
    throwIfAnyFailed();
  });
}
