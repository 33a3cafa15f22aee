/** Leaders that freeze, and leaders that come and go: what was acknowledged stays, and nothing is done twice. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Cluster } from '../../../control/cluster/cluster.ts';
import { createCommand, endpoint } from '../store/commands.ts';
import { Machines, timing, until } from './machines.ts';

t.test('a leader that freezes holds nothing up, and follows when it thaws', async (t) => {
  const machines = new Machines(t);
  const script = fileURLToPath(import.meta.resolve('./frozen-child.ts'));
  const args = [script, machines.dataDir(1), machines.address(1), `${machines.port}`, JSON.stringify(timing)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(async () => {
    const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
    child.kill('SIGKILL');
    await exited;
  });
  const [token] = await once(child.stdout, 'data');
  const join = async (number: number) => {
    const cluster = await machines.start(number);
    await cluster.join({ token: `${token}`.trim(), address: machines.target(1), addresses: [] });
    return cluster;
  };
  const [one, two] = [await join(2), await join(3)];
  await until('three voters', () => [one, two].every((c) => c.raftStatus().voters?.length === 3));
  t.equal(one.state.get('node', one.leader()?.nodeId ?? '')?.name, 'frozen');

  child.kill('SIGSTOP');
  await one.propose(createCommand('while-frozen'), { timeout_ms: 15_000 });
  t.ok(one.isLeader || two.isLeader, 'another leads');
  await until('the frozen one is down', () => two.state.byName('node', 'frozen')?.status === 'down');
  child.kill('SIGCONT');
  await until('it is heard again', () => two.state.byName('node', 'frozen')?.status === 'ready');
  const caughtUp = () => {
    const leader = one.isLeader ? one : two;
    const { progress, lastIndex } = leader.raftStatus();
    return Object.values(progress ?? {}).filter(({ match }) => match === lastIndex).length === 3;
  };
  await until('it has all entries', caughtUp);
});

t.test('while leaders come and go, acknowledged changes stay and repeats are not done twice', async (t) => {
  const machines = new Machines(t, { snapshotEntries: 25 });
  const clusters: (Cluster | null)[] = await machines.managers(3);
  const [seed] = clusters;
  await seed?.propose(createCommand('counted', { vip: null }));
  const acknowledged = new Set<number>();
  let done = false;
  let serial = 0;
  const work = async () => {
    while (!done && serial < 900) {
      serial += 1;
      const number = serial;
      const through = clusters[number % 3];
      if (!through) continue;
      const address = `198.51.${Math.floor(number / 250)}.${(number % 250) + 1}`;
      const command = {
        type: 'service.update' as const,
        ref: 'counted',
        endpointAdd: [{ ...endpoint(0), id: `endpoint-${number}`, address }],
        at_ms: number,
      };
      await through.propose(command, { timeout_ms: 8_000 }).then(
        () => acknowledged.add(number),
        (error) => t.match(error.code, /^(TIMEOUT|NO_LEADER|NOT_INITIALISED)$/),
      );
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const workers = [work(), work(), work(), work()];
  for (let round = 0; round < 3; round += 1) {
    await until('there is a leader', () => clusters.some((cluster) => cluster?.isLeader));
    const position = clusters.findIndex((cluster) => cluster?.isLeader);
    const leader = clusters[position];
    if (!leader) continue;
    const target = acknowledged.size + 20;
    clusters[position] = null;
    await machines.stop(leader);
    await until('work goes on', () => acknowledged.size >= target);
    clusters[position] = await machines.start(position + 1);
  }
  done = true;
  await Promise.all(workers);
  const all = clusters.filter((cluster) => cluster !== null);
  await all[0]?.propose(createCommand('last', { vip: null }), { timeout_ms: 15_000 });
  await until('all agree', () => all.every((cluster) => cluster.state.byName('service', 'last')));
  for (const cluster of all) {
    const missing = [...acknowledged].filter(
      (number) => !cluster.state.get('endpoint', `endpoint-${number}`),
    );
    t.strictSame(missing, [], 'nothing that was acknowledged is lost');
  }
  t.ok(acknowledged.size > 60, `${acknowledged.size} of ${serial} were acknowledged`);
  const bytes = all.map((cluster) => Buffer.from(cluster.state.snapshot()).toString());
  t.ok(
    bytes.every((one) => one === bytes[0]),
    'same bytes everywhere',
  );
});
