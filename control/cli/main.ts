/** From the words of the command line to an exit code. */
import type { Command } from 'commander';
import { CommanderError } from 'commander';
import { AlreadyShown, exitCodes, formatFailure, toFailure } from './failure.ts';
import { buildProgram, firstWord, requestedFormat } from './program.ts';
import { commandPath } from './session.ts';

/** The deepest command that the words lead to, for a pointer to its help. Pure. */
function commandOf(program: Command, words: readonly string[]): Command {
  let command = program;
  for (const word of words) {
    const child = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (child !== undefined) command = child;
  }
  return command;
}

/** `shoal help service create` asks for the same as `shoal service create --help`. Pure. */
function withoutHelpWord(words: readonly string[]): string[] {
  return words[0] === 'help' ? [...words.slice(1), '--help'] : [...words];
}

/**
 * Runs one command line, without the program's own name.
 *
 * @returns the exit code: 0 done, 1 failed, 2 what was typed cannot be meant
 */
export async function run(typed: readonly string[]): Promise<number> {
  const words = withoutHelpWord(typed);
  const format = requestedFormat(words);
  const program = await buildProgram(firstWord(words), format);
  if (words.length === 0) {
    program.outputHelp();
    return exitCodes.success;
  }
  try {
    await program.parseAsync(words, { from: 'user' });
    return exitCodes.success;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return exitCodes.success;
    if (thrown instanceof AlreadyShown) return exitCodes.failure;
    const failure = toFailure(thrown);
    const path = commandPath(commandOf(program, words));
    process.stderr.write(`${formatFailure(failure, format, path)}\n`);
    return failure.exitCode;
  }
}
