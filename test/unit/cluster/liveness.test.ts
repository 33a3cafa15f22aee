/** Who is up, by a clock that the test moves. */
import { pino } from 'pino';
import t from 'tap';
import { Liveness } from '../../../control/cluster/liveness.ts';
import type { Command } from '../../../control/store/commands.ts';
import { State } from '../../../control/store/state.ts';
import { initCommand, newNode } from '../store/commands.ts';

function leader() {
  const state = new State();
  state.apply(1, initCommand());
  state.apply(2, { type: 'node.join', node: newNode(4) });
  const clock = { now_ms: 10_000, isLeader: true };
  const liveness = new Liveness({
    state,
    log: pino({ level: 'silent' }),
    down_ms: 1_000,
    isLeader: () => clock.isLeader,
    propose: async (command: Command) => state.apply(state.version + 1, command),
    now_ms: () => clock.now_ms,
  });
  liveness.leadershipChanged();
  /** Lets time pass as the timer would, with heartbeats of these nodes. */
  const pass = async (time_ms: number, heard: string[]) => {
    for (const end_ms = clock.now_ms + time_ms; clock.now_ms < end_ms; ) {
      clock.now_ms += 100;
      for (const id of heard) liveness.record(id, state.version);
      liveness.check();
      await Promise.resolve();
    }
    await new Promise((resolve) => setImmediate(resolve));
  };
  const statuses = () => state.list('node').map((node) => `${node.name} ${node.status}`);
  return { state, liveness, clock, pass, statuses };
}

t.test('a node that is silent for the period is down, and ready once it is heard', async (t) => {
  const { pass, statuses } = leader();
  await pass(1_000, ['node-0001']);
  t.strictSame(statuses(), ['n1 ready', 'n4 ready'], 'a new leader gives everyone a full period');
  await pass(200, ['node-0001']);
  t.strictSame(statuses(), ['n1 ready', 'n4 down']);
  await pass(100, ['node-0001', 'node-0004']);
  t.strictSame(statuses(), ['n1 ready', 'n4 ready']);
});

t.test('a node that has just joined gets a full period before its first heartbeat', async (t) => {
  const { state, pass, statuses } = leader();
  await pass(3_000, ['node-0001', 'node-0004']);
  state.apply(state.version + 1, { type: 'node.join', node: newNode(5) });
  await pass(900, ['node-0001', 'node-0004']);
  t.strictSame(statuses(), ['n1 ready', 'n4 ready', 'n5 ready']);
  await pass(300, ['node-0001', 'node-0004']);
  t.strictSame(statuses(), ['n1 ready', 'n4 ready', 'n5 down']);
});

t.test('a leader that was itself stopped takes nobody for silent', async (t) => {
  const { pass, clock, liveness, statuses } = leader();
  await pass(500, ['node-0001', 'node-0004']);
  clock.now_ms += 60_000;
  liveness.check();
  await pass(900, []);
  t.strictSame(statuses(), ['n1 ready', 'n4 ready']);
  await pass(300, []);
  t.strictSame(statuses(), ['n1 down', 'n4 down']);
});

t.test('only a leader judges', async (t) => {
  const { pass, clock, statuses } = leader();
  clock.isLeader = false;
  await pass(5_000, []);
  t.strictSame(statuses(), ['n1 ready', 'n4 ready']);
});

t.test('waiting for data planes ends when all that are ready have it, or with the time', async (t) => {
  const { state, liveness, pass, clock } = leader();
  const waiting = liveness.waitApplied(state.version, 5_000);
  liveness.record('node-0001', state.version);
  await new Promise((resolve) => setTimeout(resolve, 10));
  liveness.record('node-0004', state.version);
  t.strictSame(await waiting, { applied: ['node-0001', 'node-0004'], missing: [] });
  await pass(1_300, ['node-0001']);
  liveness.record('node-0001', state.version);
  const without = await liveness.waitApplied(state.version, 5_000);
  t.strictSame(
    without,
    { applied: ['node-0001'], missing: ['node-0004'] },
    'one that is down is not waited for',
  );
  const late = liveness.waitApplied(state.version + 1, 20);
  clock.now_ms += 100;
  t.strictSame(await late, { applied: [], missing: ['node-0001', 'node-0004'] });
});
