import t from 'tap';
import { HealthMachine, initialDelay_ms, type Outcome } from '../../../control/health/machine.ts';
import { defaultHealthCheck, type Endpoint, type HealthCheck } from '../../../control/store/objects.ts';
import { seededRandom } from './fixtures.ts';

const pass: Outcome = { kind: 'pass' };
const refused: Outcome = { kind: 'fail', reason: 'connection refused', definite: true };
const silent: Outcome = { kind: 'fail', reason: 'no answer within 200 ms', definite: false };
const inconclusive: Outcome = { kind: 'inconclusive', reason: 'no sockets' };

function run(check: Partial<HealthCheck>, health: Endpoint['health'], outcomes: Outcome[]) {
  const machine = new HealthMachine('e1', { ...defaultHealthCheck, ...check }, health, 0);
  return outcomes.map((outcome) => {
    machine.started(machine.dueAt_ms);
    return machine.finished(outcome, machine.dueAt_ms, () => 0.5)?.health ?? '-';
  });
}

t.test('rise and fall', async (t) => {
  t.strictSame(run({ rise: 1, fall: 2 }, 'unknown', [pass, pass]), ['healthy', '-']);
  t.strictSame(run({ rise: 1, fall: 2 }, 'unknown', [refused, refused, refused]), ['-', 'unhealthy', '-']);
  t.strictSame(run({ rise: 3, fall: 1 }, 'unknown', [pass, pass, pass]), ['-', '-', 'healthy']);
  t.strictSame(run({ rise: 1, fall: 2 }, 'healthy', [refused, pass, refused, refused]), [
    '-',
    '-',
    '-',
    'unhealthy',
  ]);
  t.strictSame(run({ rise: 2, fall: 1 }, 'unhealthy', [pass, refused, pass, pass]), [
    '-',
    '-',
    '-',
    'healthy',
  ]);
  t.strictSame(run({ fall: 2 }, 'healthy', [silent, inconclusive, silent]), ['-', '-', 'unhealthy']);
  t.strictSame(run({ fall: 1, rise: 1 }, 'healthy', [inconclusive, inconclusive]), ['-', '-']);
});

t.test('property: a change needs rise or fall results in a row, and only says what they say', async (t) => {
  const random = seededRandom(11);
  let changes = 0;
  for (let round = 0; round < 500; round += 1) {
    const check = {
      ...defaultHealthCheck,
      interval_ms: 50 + Math.floor(random() * 1_000),
      rise: 1 + Math.floor(random() * 4),
      fall: 1 + Math.floor(random() * 4),
    };
    const initial = (['unknown', 'healthy', 'unhealthy'] as const)[Math.floor(random() * 3)] ?? 'unknown';
    const machine = new HealthMachine(`e${round}`, check, initial, 0);
    let health: Endpoint['health'] = initial;
    let now_ms = 0;
    let passes = 0;
    let failures = 0;
    const share = random();
    for (let step = 0; step < 60; step += 1) {
      if (machine.dueAt_ms < now_ms) t.fail('due in the past');
      now_ms = machine.dueAt_ms;
      machine.started(now_ms);
      const roll = random();
      const outcome = roll < 0.1 ? inconclusive : random() < share ? pass : random() < 0.5 ? refused : silent;
      now_ms += random() * 200;
      if (outcome.kind === 'pass') [passes, failures] = [passes + 1, 0];
      if (outcome.kind === 'fail') [passes, failures] = [0, failures + 1];
      const transition = machine.finished(outcome, now_ms, random);
      const expected = passes >= check.rise ? 'healthy' : failures >= check.fall ? 'unhealthy' : health;
      if ((transition?.health ?? health) !== expected)
        t.fail(`round ${round} step ${step}: ${transition?.health}`);
      if (transition !== undefined && transition.health === health) t.fail('a change that changes nothing');
      if (transition !== undefined) changes += 1;
      health = expected;
      if (machine.health !== health) t.fail('health is not what was reported');
      if ((machine.reason !== '') !== (machine.confirmed && health === 'unhealthy'))
        t.fail('reason does not fit');
    }
  }
  t.ok(changes > 500, `${changes} changes seen`);
});

t.test(
  'with the defaults a process that is killed is noticed within 300 ms, a silent one within 650',
  async (t) => {
    const random = seededRandom(3);
    for (const [outcome, took_ms, bound_ms] of [
      [refused, 1, 300],
      [silent, 200, 650],
    ] as const) {
      let worst_ms = 0;
      for (let round = 0; round < 2_000; round += 1) {
        const machine = new HealthMachine(`e${round}`, defaultHealthCheck, 'healthy', 0);
        const killedAt_ms = 1_000 + random() * 1_000;
        let now_ms = 0;
        for (let step = 0; step < 100; step += 1) {
          now_ms = machine.dueAt_ms;
          machine.started(now_ms);
          const alive = now_ms < killedAt_ms;
          now_ms += alive ? 1 : took_ms;
          if (machine.finished(alive ? pass : outcome, now_ms, random)?.health === 'unhealthy') break;
        }
        worst_ms = Math.max(worst_ms, now_ms - killedAt_ms);
      }
      t.ok(worst_ms < bound_ms, `worst case ${Math.round(worst_ms)} ms`);
      t.ok(worst_ms > 200, 'the simulation covers the worst case');
    }
  },
);

t.test('checks are spread and vary by a tenth', async (t) => {
  const delays = Array.from({ length: 1_000 }, (_, index) => initialDelay_ms(`endpoint-${index}`, 200));
  for (let tenth = 0; tenth < 10; tenth += 1) {
    const count = delays.filter((delay) => delay >= tenth * 20 && delay < (tenth + 1) * 20).length;
    t.ok(count > 50, `${count} of 1000 begin in tenth ${tenth}`);
  }
  t.ok(initialDelay_ms('x', 3_600_000) <= 1_000, 'a long interval does not delay the first check');

  const random = seededRandom(9);
  const machine = new HealthMachine('e1', defaultHealthCheck, 'healthy', 0);
  const gaps: number[] = [];
  for (let step = 0; step < 1_000; step += 1) {
    const started_ms = machine.dueAt_ms;
    machine.started(started_ms);
    machine.finished(pass, started_ms + 3, random);
    gaps.push(machine.dueAt_ms - started_ms);
  }
  t.ok(Math.min(...gaps) >= 180 && Math.min(...gaps) < 185);
  t.ok(Math.max(...gaps) <= 220 && Math.max(...gaps) > 215);
});

t.test('only doubt about a refusal is resolved early', async (t) => {
  const gap = (health: Endpoint['health'], outcome: Outcome, check: Partial<HealthCheck> = {}) => {
    const machine = new HealthMachine('e1', { ...defaultHealthCheck, ...check }, health, 0);
    machine.started(1_000);
    machine.finished(outcome, 1_001, () => 0.5);
    return machine.dueAt_ms - 1_001;
  };
  t.equal(gap('healthy', refused), 50);
  t.equal(gap('unknown', refused), 50);
  t.equal(gap('unhealthy', refused), 199);
  t.equal(gap('healthy', refused, { fall: 1 }), 199);
  t.equal(gap('healthy', silent), 199);
  t.equal(gap('healthy', pass), 199);
  t.equal(gap('healthy', refused, { interval_ms: 50 }), 49);
});

t.test('a verdict taken over is not confirmed', async (t) => {
  const machine = new HealthMachine('e1', defaultHealthCheck, 'healthy', 0);
  t.notOk(machine.confirmed);
  machine.finished(pass, 10, () => 0.5);
  t.ok(machine.confirmed);
  machine.adopt('unhealthy');
  t.match(machine, { health: 'unhealthy', confirmed: false, reason: '' });
});
