/** Options and help in the one shape that all commands share. */
import { type Command, Option } from 'commander';

/** From a flag's text to its value. Throws UsageError that names the flag. */
type Parse<T> = (flag: string, value: string) => T;

const nameOf = (option: Option) => option.long ?? option.flags;

/** An option with one value. */
export function valueOption<T>(flags: string, description: string, parse: Parse<T>): Option {
  const option = new Option(flags, description);
  return option.argParser((value) => parse(nameOf(option), value));
}

/** An option that may be given again and again; its value is the list. */
export function listOption<T>(flags: string, description: string, parse: Parse<T>): Option {
  const option = new Option(flags, `${description} (repeatable)`);
  return option.argParser((value, previous: T[] | undefined) => [
    ...(previous ?? []),
    parse(nameOf(option), value),
  ]);
}

/** Ends the command's help with examples. */
export function examples(command: Command, ...lines: string[]): Command {
  const title = lines.length === 1 ? 'Example' : 'Examples';
  return command.addHelpText('after', `\n${title}:\n${lines.map((line) => `  $ ${line}`).join('\n')}`);
}

/** `--quiet`, as Docker's commands have it. */
export function quietOption(description: string): Option {
  return new Option('-q, --quiet', description);
}
