import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { mutations, open } from '../../sim/mutations/list.ts';
import { applyMutation } from '../../sim/mutations/mutation.ts';
import { main } from '../../sim/mutations/run.ts';
import { tryMutation } from '../../sim/mutations/trial.ts';
import { importedFiles, repository, Workspace } from '../../sim/mutations/workspace.ts';

const never = new AbortController().signal;

/** Runs the command, and gives what it printed. */
async function run(...args: string[]): Promise<{ code: number; text: string }> {
  const lines: string[] = [];
  const code = await main(args, never, (line) => lines.push(line));
  return { code, text: lines.join('\n') };
}

t.test(
  'every mutation applies to the sources exactly once, in a file that the simulation uses',
  async (t) => {
    const used = importedFiles('test/sim/mutations/hunt.ts');
    t.ok(mutations.length >= 18, `${mutations.length} mutations`);
    for (const mutation of [...mutations, ...open]) {
      const source = readFileSync(join(repository, mutation.file), 'utf8');
      t.ok(used.includes(mutation.file), `${mutation.file} is simulated`);
      t.not(applyMutation(mutation, source), source, mutation.name);
      t.ok(mutation.why.length > 20, `${mutation.name} says why`);
    }
    const names = [...mutations, ...open].map(({ name }) => name);
    t.equal(new Set(names).size, names.length, 'names are unique');
  },
);

t.test('a mutation whose text is missing or ambiguous is refused', async (t) => {
  const mutation = { name: 'x', why: '', file: 'f.ts', find: 'a$&', replace: '$&b' };
  t.throws(() => applyMutation(mutation, 'nothing'), /mutation x: its text is 0 times in f.ts/);
  t.throws(() => applyMutation(mutation, 'a$& a$&'), /2 times/);
  t.equal(applyMutation(mutation, '<a$&>'), '<$&b>', 'the replacement is taken literally');
  const elsewhere = { ...mutation, file: 'control/raft/driver.ts' };
  t.throws(() => new Workspace(elsewhere), /the simulation does not use control\/raft\/driver.ts/);
});

t.test('the runner catches a bug, and says by which seed and invariant', async (t) => {
  const { code, text } = await run('--only', 'vote-not-durable', '--seconds', '5');
  t.match(text, /\[1\/1\] vote-not-durable: caught by seed \d+ in [\d.]+ s: durable votes/);
  t.match(text, /1 of 1 caught/);
  t.equal(code, 0);
});

t.test('what is not caught fails', async (t) => {
  const harmless = mutations[0];
  if (harmless === undefined) throw new Error('no mutations');
  const result = await tryMutation({ ...harmless, replace: harmless.find }, { seconds: 5, seeds: 2 }, never);
  t.match(result.verdict, { kind: 'missed', seeds: 2 });
  const broken = await tryMutation({ ...harmless, replace: '    if (' }, { seconds: 5, seeds: 2 }, never);
  t.match(
    broken.verdict,
    { kind: 'broken', message: /SyntaxError/ },
    'a bug that does not run proves nothing',
  );
});

t.test('the sources as they are are clean', async (t) => {
  const { code, text } = await run('--only', 'none', '--seconds', '4', '--seeds', '20');
  t.match(text, /no mutation: \d+ seeds in [\d.]+ s, clean/);
  t.equal(code, 0);
});

t.test('arguments', async (t) => {
  t.match((await run('--help')).text, /example: npm run mutations -- --only/);
  t.match((await run('--list')).text, new RegExp(`${mutations.length} mutations; open, not counted`));
  await t.rejects(run('--only', 'nonsense'), /no mutation "nonsense"; --list shows all/);
  await t.rejects(run('--seconds', '0'), /--seconds 0 is not a positive integer/);
});

t.test('an interruption ends the hunt, and leaves nothing', async (t) => {
  const directory = t.testdir({});
  const before = process.env.TMPDIR;
  process.env.TMPDIR = directory;
  t.teardown(() => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  });
  const controller = new AbortController();
  const trial = tryMutation(null, { seconds: 30, seeds: 100_000 }, controller.signal);
  t.equal(readdirSync(directory).length, 1, 'one copy');
  setTimeout(() => controller.abort(new Error('enough')), 500);
  await t.rejects(trial, /enough/);
  t.same(readdirSync(directory), []);
});
