/** Every command explains itself, and ends with an example that it would itself accept. */
import type { Command } from 'commander';
import t from 'tap';
import { buildProgram, commandNames } from '../../../control/cli/program.ts';
import { commandPath } from '../../../control/cli/session.ts';

/** The help of a command as it is printed. */
function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (piece) => {
      text += piece;
    },
  });
  command.outputHelp();
  return text;
}

/** A command with all below it. */
function branch(command: Command): Command[] {
  return [command, ...command.commands.flatMap(branch)];
}

/** Keeps a command from being carried out, so that parsing alone is left. */
function disarm(command: Command): void {
  for (const one of branch(command)) if (one.commands.length === 0) one.action(() => undefined);
}

for (const name of [undefined, ...commandNames]) {
  t.test(`shoal ${name ?? ''}`, async (t) => {
    const program = await buildProgram(name);
    const top = name === undefined ? program : program.commands.find((one) => one.name() === name);
    if (top === undefined) throw new Error(`there is no command ${name}`);
    for (const command of name === undefined ? [program] : branch(top)) {
      const path = commandPath(command);
      const help = helpOf(command);
      const [, shown = ''] = /\nExamples?:\n((?: {2}\$ .*\n)+)$/.exec(help) ?? [];
      t.not(shown, '', `${path} ends with examples`);
      t.ok(help.includes('--format') && help.includes('--socket'), `${path} names the common options`);
      t.ok(command.description(), `${path} has a description`);
      for (const line of shown.trimEnd().split('\n')) {
        const example = line.replace('  $ ', '');
        t.ok(example.startsWith(name === undefined ? 'shoal ' : path), `${example} is of ${path}`);
        if (example.includes('…')) continue;
        const words = example.split(' ').slice(1);
        const fresh = await buildProgram(words[0]);
        disarm(fresh);
        await t.resolves(fresh.parseAsync(words, { from: 'user' }), `${example} is accepted`);
      }
    }
  });
}
