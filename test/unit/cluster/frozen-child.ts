/** The first manager of a cluster, in a process of its own so that it can be frozen. Prints the join token. */
import { pino } from 'pino';
import { Cluster } from '../../../control/cluster/cluster.ts';

const [dataDir = '', address = '', port = '', raft = '{}'] = process.argv.slice(2);
const cluster = await Cluster.open({
  dataDir,
  nodeName: 'frozen',
  advertiseAddress: address,
  controlPort: Number(port),
  log: pino({ level: 'silent' }),
  raft: JSON.parse(raft),
});
await cluster.init({ addresses: [] });
process.stdout.write(`${cluster.issueJoinToken('manager')}\n`);
