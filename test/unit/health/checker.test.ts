import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { HealthChecker } from '../../../control/health/checker.ts';
import type { Outcome } from '../../../control/health/machine.ts';
import type { CheckTarget, HealthReport } from '../../../control/health/plan.ts';
import { defaultHealthCheck } from '../../../control/store/objects.ts';
import { makeTarget, until } from './fixtures.ts';

const plan = (targets: CheckTarget[], resets: HealthReport[] = []) => ({ targets, resets });
const quick = { ...defaultHealthCheck, kind: 'tcp' as const, interval_ms: 50 };
const pass: Outcome = { kind: 'pass' };
const refused: Outcome = { kind: 'fail', reason: 'connection refused', definite: true };

/** A server on a port that can be killed and started again. */
async function startServer(port = 0) {
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.resume();
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    kill: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

t.test('a process killed and started again is reported each time, soon', async (t) => {
  const reports: (HealthReport & { at_ms: number })[] = [];
  using checker = new HealthChecker({
    onReports: async (batch) => {
      reports.push(...batch.map((report) => ({ ...report, at_ms: performance.now() })));
    },
  });
  let server = await startServer();
  const { port } = server;
  checker.setPlan(plan([makeTarget(port)]));
  await until(() => reports.length === 1, 'healthy at first');
  t.match(reports[0], { id: 'e1', health: 'healthy', reason: '' });
  const took: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    await sleep(40 * round);
    const before = reports.length;
    await server.kill();
    const killedAt_ms = performance.now();
    await until(() => reports.length === before + 1, 'unhealthy');
    t.match(reports.at(-1), { id: 'e1', health: 'unhealthy', reason: 'connection refused' });
    took.push((reports.at(-1)?.at_ms ?? 0) - killedAt_ms);
    server = await startServer(port);
    await until(() => reports.length === before + 2, 'healthy again');
    t.match(reports.at(-1), { id: 'e1', health: 'healthy', reason: '' });
  }
  // The best of four, as the machine that runs this may be busy; the bound itself is tested in simulated time.
  t.ok(Math.min(...took) < 500, `noticed after ${took.map(Math.round)} ms`);
  t.equal(checker.counters.transitions, 9);
  await server.kill();
});

t.test('an endpoint that was never up becomes unhealthy', async (t) => {
  const server = await startServer();
  await server.kill();
  const reports: HealthReport[] = [];
  using checker = new HealthChecker({ onReports: async (batch) => void reports.push(...batch) });
  checker.setPlan(plan([makeTarget(server.port)]));
  await until(() => reports.length > 0, 'unhealthy');
  t.strictSame(reports, [{ id: 'e1', health: 'unhealthy', reason: 'connection refused' }]);
});

t.test('reports are batched, and sent again while that fails, newest state only', async (t) => {
  const batches: HealthReport[][] = [];
  let available = false;
  let outcome: Outcome = pass;
  using checker = new HealthChecker({
    probe: async () => outcome,
    reporter: { retry_ms: 5, maxRetry_ms: 20, batch_ms: 100 },
    onReports: async (batch) => {
      batches.push(batch);
      if (!available) throw new Error('no leader');
    },
  });
  const ids = Array.from({ length: 20 }, (_, index) => `e${index}`);
  checker.setPlan(plan(ids.map((endpointId) => makeTarget(1, { endpointId, check: quick }))));
  await until(() => batches.length >= 3 && checker.counters.transitions === 20, 'three attempts');
  outcome = refused;
  await until(() => checker.counters.transitions === 40, 'all have changed');
  await until(
    () => batches.at(-1)?.length === 20 && batches.at(-1)?.every((r) => r.health === 'unhealthy') === true,
    'the newest',
  );
  available = true;
  const before = batches.length;
  await until(() => batches.length > before, 'one more attempt');
  t.strictSame(
    batches
      .at(-1)
      ?.map((report) => report.id)
      .toSorted(),
    ids.toSorted(),
  );
  const after = batches.length;
  await sleep(150);
  t.equal(batches.length, after, 'nothing is sent twice once it has arrived');
});

t.test('a sender that never answers does not block reports for ever', async (t) => {
  let calls = 0;
  const got: HealthReport[] = [];
  using checker = new HealthChecker({
    probe: async () => pass,
    reporter: { sendTimeout_ms: 50, retry_ms: 5 },
    onReports: (batch) => {
      calls += 1;
      if (calls === 1) return new Promise(() => {});
      got.push(...batch);
      return Promise.resolve();
    },
  });
  checker.setPlan(plan([makeTarget(1)]));
  await until(() => got.length === 1, 'sent again');
  t.equal(calls, 2);
});

t.test('checks running at a time are bounded, and each endpoint gets its turn', async (t) => {
  let running = 0;
  let most = 0;
  const seen = new Set<string>();
  using checker = new HealthChecker({
    maxConcurrent: 4,
    probe: async (target) => {
      running += 1;
      most = Math.max(most, running);
      seen.add(target.endpointId);
      await sleep(5);
      running -= 1;
      return pass;
    },
    onReports: async () => {},
  });
  const targets = Array.from({ length: 60 }, (_, index) =>
    makeTarget(1, { endpointId: `e${index}`, check: quick }),
  );
  checker.setPlan(plan(targets));
  await until(() => seen.size === 60 && checker.counters.checks > 180, 'all are checked, several times');
  t.equal(most, 4);
  t.ok(checker.counters.delayed > 0);
});

t.test('a new plan: what left is forgotten, what changed starts anew, what stays goes on', async (t) => {
  const aborted: string[] = [];
  const probed: number[] = [];
  const reports: HealthReport[] = [];
  using checker = new HealthChecker({
    probe: (target, signal) => {
      probed.push(target.port);
      if (target.port !== 9) return Promise.resolve(pass);
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          aborted.push(target.endpointId);
          resolve(pass);
        });
      });
    },
    onReports: async (batch) => void reports.push(...batch),
  });
  checker.setPlan(
    plan([makeTarget(9, { endpointId: 'hangs', check: quick }), makeTarget(1, { check: quick })]),
  );
  await until(() => probed.includes(9) && reports.length === 1, 'both began');
  checker.setPlan(plan([makeTarget(2, { check: quick, health: 'healthy' })]));
  t.strictSame(aborted, ['hangs']);
  t.equal(checker.size, 1);
  t.equal(checker.health('e1'), 'healthy', 'keeps the verdict');
  t.equal(checker.health('hangs'), undefined);
  await until(() => probed.includes(2), 'checked at the new port');
  await sleep(20);
  t.strictSame(reports, [{ id: 'e1', health: 'healthy', reason: '' }], 'nothing is reported of what left');
});

t.test('a verdict that the store has lost is reported again', async (t) => {
  const reports: HealthReport[] = [];
  using checker = new HealthChecker({
    probe: async () => pass,
    onReports: async (batch) => void reports.push(...batch),
  });
  checker.setPlan(plan([makeTarget(1, { health: 'healthy', check: { ...quick, interval_ms: 60_000 } })]));
  checker.setPlan(plan([makeTarget(1, { health: 'unhealthy', check: { ...quick, interval_ms: 60_000 } })]));
  t.equal(checker.health('e1'), 'unhealthy', 'taken over while nothing is known here');
  t.equal(reports.length, 0);
  await until(() => reports.length === 1, 'the first check refutes it');
  checker.setPlan(plan([makeTarget(1, { health: 'unhealthy', check: { ...quick, interval_ms: 60_000 } })]));
  await until(() => reports.length === 2, 'reported again');
  t.match(reports, [{ health: 'healthy' }, { health: 'healthy' }]);
  t.equal(checker.counters.checks, 1);
});

t.test('resets are passed on; a fault of the probe proves nothing; an abort ends all', async (t) => {
  const reports: HealthReport[] = [];
  const abort = new AbortController();
  const checker = new HealthChecker({
    signal: abort.signal,
    probe: async () => {
      throw new Error('broken');
    },
    onReports: async (batch) => void reports.push(...batch),
  });
  checker.setPlan(plan([makeTarget(1, { check: quick })], [{ id: 'other', health: 'unknown', reason: '' }]));
  await until(() => checker.counters.inconclusive > 3 && reports.length === 1, 'checks go on');
  t.strictSame(reports, [{ id: 'other', health: 'unknown', reason: '' }]);
  abort.abort();
  const { checks } = checker.counters;
  await sleep(120);
  t.equal(checker.counters.checks, checks);
  t.equal(checker.size, 0);
  checker.setPlan(plan([makeTarget(1)]));
  t.equal(checker.size, 0, 'closed for good');
});
