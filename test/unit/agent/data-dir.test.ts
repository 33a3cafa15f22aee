/** The data folder is one agent's at a time, and a dead agent's is free. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { holdDataDir } from '../../../control/agent/data-dir.ts';

const root = mkdtempSync(join(tmpdir(), 'shoal-data-'));
t.teardown(() => rmSync(root, { recursive: true, force: true }));

t.test('it is made, held, and let go', async (t) => {
  const folder = join(root, 'a', 'b');
  {
    using _held = holdDataDir(folder);
    t.match(JSON.parse(readFileSync(join(folder, 'agent.pid'), 'utf8')), { pid: process.pid });
    const refusal = `is held by another agent, process ${process.pid}: end that one, or name another folder`;
    t.throws(() => holdDataDir(folder), { message: new RegExp(refusal) });
  }
  t.same(readdirSync(folder), []);
  using _again = holdDataDir(folder);
  t.ok(existsSync(join(folder, 'agent.pid')));
});

t.test('what a dead process has left is no hindrance', async (t) => {
  const child = spawn('true');
  await once(child, 'exit');
  const leftovers = [
    { pid: child.pid, startTime: '1' },
    // The number of a process that lives, but began at another time.
    { pid: process.pid, startTime: '1' },
    { pid: 'x' },
  ].map((holder) => JSON.stringify(holder));
  for (const [index, text] of [...leftovers, '', '{'].entries()) {
    const folder = join(root, `dead-${index}`);
    mkdirSync(folder);
    writeFileSync(join(folder, 'agent.pid'), text);
    {
      using _held = holdDataDir(folder);
      t.same(readdirSync(folder), ['agent.pid'], text);
    }
    t.same(readdirSync(folder), []);
  }
});

t.test('a folder that cannot be had is named, with the reason', async (t) => {
  writeFileSync(join(root, 'file'), '');
  const message = (folder: string) => ({
    message: new RegExp(`data folder ${folder} cannot be used: \\w+.*; make it writable, or name another`),
  });
  t.throws(() => holdDataDir(join(root, 'file')), message(join(root, 'file')));
  t.throws(() => holdDataDir('/proc/1/data'), message('/proc/1/data'));
});
