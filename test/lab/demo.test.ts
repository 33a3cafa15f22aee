/** The demo as a command: what it refuses, and that what it leaves up goes by the command that it prints. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';

type Ended = { code: number; stdout: string; stderr: string };

const repository = new URL('../../', import.meta.url);

async function run(command: string, args: readonly string[]): Promise<Ended> {
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args, {
      cwd: repository,
      timeout: 100_000,
    });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as Ended;
    return { code, stdout, stderr };
  }
}

const demo = (...args: string[]): Promise<Ended> => run(process.execPath, ['test/lab/demo.ts', ...args]);

t.setTimeout(180_000);

t.test('a wrong flag is one line, and wrong usage', async (t) => {
  const { code, stderr } = await demo('--kepp');
  t.equal(code, 2);
  t.match(stderr.trim(), /^demo: .*--kepp.*$/);
});

t.test('every answer is right, and --keep prints the command that takes the lab down', async (t) => {
  const { code, stdout } = await demo('--keep');
  t.equal(code, 0, stdout);
  const line = /take it down with: npm run lab:clean -- (\S+)/.exec(stdout);
  const name = line?.[1] ?? '';
  t.match(name, /^demo-\d+$/);
  const namespaces = async (): Promise<string> => (await run('ip', ['netns', 'list'])).stdout;
  t.match(await namespaces(), /shoal-demo-node1/);
  t.equal((await run(process.execPath, ['test/lab/lib/cleanup.ts', name])).code, 0);
  t.notMatch(await namespaces(), /shoal-demo-node1/);
});
