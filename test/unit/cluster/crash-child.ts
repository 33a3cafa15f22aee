/** A sole manager that creates services as fast as it can, and prints the name of each once it is acknowledged. */
import { pino } from 'pino';
import { Cluster } from '../../../control/cluster/cluster.ts';
import { createCommand } from '../store/commands.ts';

const [dataDir = '', port = ''] = process.argv.slice(2);
const cluster = await Cluster.open({
  dataDir,
  nodeName: 'crash',
  advertiseAddress: '127.0.0.20',
  controlPort: Number(port),
  log: pino({ level: 'silent' }),
  raft: { snapshotEntries: 50 },
});
await cluster.init({ addresses: [] });
for (let number = 0; number < 5_000; number += 4) {
  const names = [0, 1, 2, 3].map((more) => `s${number + more}`);
  await Promise.all(names.map((name) => cluster.propose(createCommand(name, { vip: null }))));
  process.stdout.write(`${names.join('\n')}\n`);
}
await cluster.close();
