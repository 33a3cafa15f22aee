/** Three managers and a worker on loopback addresses: changes survive the loss of any one of them. */
import t from 'tap';
import { createCommand } from '../store/commands.ts';
import { Machines, nodeId, until } from './machines.ts';

t.test('three managers: create on a follower, kill the leader, create again, see it catch up', async (t) => {
  const machines = new Machines(t, { snapshotEntries: 30 });
  const clusters = await machines.managers(3);
  await until('all know the leader', () => clusters.every((cluster) => cluster.leader() !== null));
  const leader = clusters.find((cluster) => cluster.isLeader) ?? t.fail('no leader');
  const followers = clusters.filter((cluster) => cluster !== leader);
  const [one, two] = followers;
  if (!one || !two || typeof leader === 'boolean') return;

  const created = await one.propose(createCommand('before'));
  t.match(
    one.state.byName('service', 'before'),
    created as object,
    'it is there at once where it was asked for',
  );
  await t.rejects(two.propose(createCommand('before', { id: 'service-other' })), { code: 'NAME_IN_USE' });
  await until('everyone has it', () =>
    clusters.every((cluster) => cluster.state.byName('service', 'before')),
  );

  const number = clusters.indexOf(leader) + 1;
  const lost = nodeId(leader);
  await machines.stop(leader);
  await one.propose(createCommand('during'), { timeout_ms: 15_000 });
  t.ok(one.state.byName('service', 'during'));
  await until('the lost one is down', () => two.state.get('node', lost)?.status === 'down');
  for (let n = 0; n < 40; n += 1)
    await two.propose(createCommand(`more-${n}`, { vip: null }), { timeout_ms: 15_000 });

  const back = await machines.start(number);
  t.equal(nodeId(back), lost, 'it resumes by itself');
  await until('it has caught up', () => back.state.version >= one.state.version);
  await until('it is ready again', () => one.state.get('node', lost)?.status === 'ready');
  t.equal(back.state.list('service').length, 42);
  await back.propose(createCommand('after'), { timeout_ms: 15_000 });
  await until('all agree', () =>
    [one, two, back].every((cluster) => cluster.state.version === one.state.version),
  );
  const [a, b, c] = [one, two, back].map((cluster) => Buffer.from(cluster.state.snapshot()).toString());
  t.ok(a === b && b === c, 'same bytes everywhere');
});

t.test('without a majority nothing is changed, and that is said', async (t) => {
  const machines = new Machines(t);
  const [one, two] = await machines.managers(2);
  if (!one || !two) return;
  await machines.stop(two);
  await until('the one left gives up leading', () => !one.isLeader);
  const refused = await one.propose(createCommand('alone'), { timeout_ms: 500 }).catch((error) => error);
  t.match(refused, { code: 'NO_LEADER' });
  t.equal(one.state.byName('service', 'alone'), undefined);
  await machines.start(2);
  await one.propose(createCommand('together'), { timeout_ms: 15_000 });
});

t.test('managers leave in any order, the leader too, down to none', async (t) => {
  const machines = new Machines(t);
  const [one, two, three] = await machines.managers(3);
  if (!one || !two || !three) return;
  await until('one leads', () => [one, two, three].some((cluster) => cluster.isLeader));
  const leader = [one, two, three].find((cluster) => cluster.isLeader) ?? one;
  const [left, right] = [one, two, three].filter((cluster) => cluster !== leader);
  if (!left || !right) return;
  const gone = nodeId(leader);
  await leader.leave();
  t.strictSame(leader.membership, { state: 'none' });
  await until('it is out of the store', () => left.state.get('node', gone) === undefined);
  await right.propose(createCommand('two-left'), { timeout_ms: 15_000 });
  await right.leave();
  await left.propose(createCommand('one-left'), { timeout_ms: 15_000 });
  t.equal(left.raftStatus().voters?.length, 1);
  await left.leave();
  t.strictSame(left.membership, { state: 'none' });
});
