/** A manager that is killed in the midst of writing has, when it starts again, all that it had acknowledged. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import t from 'tap';
import { Cluster } from '../../../control/cluster/cluster.ts';
import { createCommand } from '../store/commands.ts';

t.test('killed while writing', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'shoal-crash-'));
  const port = 30_000 + (process.pid % 2_000);
  const child = spawn(
    process.execPath,
    [fileURLToPath(import.meta.resolve('./crash-child.ts')), dataDir, `${port}`],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  t.teardown(() => {
    child.kill('SIGKILL');
    rmSync(dataDir, { recursive: true });
  });
  const exited = once(child, 'exit');
  let printed = '';
  child.stdout.on('data', (chunk) => {
    printed += chunk;
    if (printed.split('\n').length > 150) child.kill('SIGKILL');
  });
  const [, signal] = await exited;
  t.equal(signal, 'SIGKILL');
  const acknowledged = printed.slice(0, printed.lastIndexOf('\n')).split('\n');
  t.ok(acknowledged.length >= 150);

  const cluster = await Cluster.open({
    dataDir,
    nodeName: 'crash',
    advertiseAddress: '127.0.0.20',
    controlPort: port,
    log: pino({ level: 'silent' }),
  });
  t.teardown(() => cluster.close());
  await cluster.propose(createCommand('after-the-crash'), { timeout_ms: 15_000 });
  const lost = acknowledged.filter((name) => cluster.state.byName('service', name) === undefined);
  t.strictSame(lost, []);
  t.ok(
    cluster.state.list('service').length <= acknowledged.length + 9,
    'and little that was not acknowledged',
  );
});
