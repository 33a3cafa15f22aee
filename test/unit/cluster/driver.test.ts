/** The loop around the core, by itself: one voter, and a disk that may fail or be slow. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { newMessage } from '../../../control/raft/core/index.ts';
import { inboxLimit, RaftDriver } from '../../../control/raft/driver.ts';
import { Sealer } from '../../../control/raft/sealing.ts';
import { RaftStorage } from '../../../control/raft/storage.ts';
import { State } from '../../../control/store/state.ts';
import { createCommand, initCommand } from '../store/commands.ts';
import { until } from './machines.ts';

async function soleVoter(t: Test) {
  const path = mkdtempSync(join(tmpdir(), 'shoal-driver-'));
  const storage = await RaftStorage.open(join(path, 'raft.lmdb'), Sealer.open(join(path, 'data.key'), true));
  const seed = new State();
  seed.apply(1, initCommand());
  const confState = { voters: [1], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  const metadata = { index: 1, term: 1, confState };
  await storage.save([
    { snapshot: { data: seed.snapshot(), metadata }, hardState: { term: 1, vote: 0, commit: 1 } },
  ]);
  const fatal: Error[] = [];
  const state = new State();
  const driver = new RaftDriver({
    raftId: 1,
    storage,
    state,
    log: pino({ level: 'silent' }),
    tick_ms: 10,
    electionTicks: 20,
    heartbeatTicks: 3,
    snapshotEntries: 1_000,
    send: () => undefined,
    onLeadership: () => undefined,
    onFatal: (error) => fatal.push(error),
  });
  t.teardown(async () => {
    await driver.close();
    await storage.close();
    rmSync(path, { recursive: true });
  });
  return { driver, storage, state, fatal };
}

t.test('proposals that come while the disk is busy go out together', async (t) => {
  const { driver, storage, state } = await soleVoter(t);
  await t.rejects(driver.propose('request-0', createCommand('early'), 100), { code: 'NOT_LEADER' });
  driver.start();
  await until('it leads', () => driver.isLeader);
  const before = storage.counters.transactions;
  const names = Array.from({ length: 200 }, (_, number) => `s${number}`);
  const outcomes = await Promise.all(
    names.map((name) => driver.propose(`request-${name}`, createCommand(name, { vip: null }), 10_000)),
  );
  t.ok(outcomes.every(({ result }) => result.ok));
  t.equal(state.list('service').length, 200);
  t.ok(
    storage.counters.transactions - before < 20,
    `${storage.counters.transactions - before} writes for 200 entries`,
  );
});

t.test('a disk that fails stops the member, and those who wait are told', async (t) => {
  const { driver, storage, state, fatal } = await soleVoter(t);
  driver.start();
  await until('it leads', () => driver.isLeader);
  storage.save = () => Promise.reject(new Error('no space left'));
  await t.rejects(driver.propose('request-1', createCommand('a'), 10_000), {
    code: 'TIMEOUT',
    message: /unknown/,
  });
  t.match(fatal, [{ message: 'no space left' }]);
  t.equal(driver.isLeader, false);
  t.equal(state.byName('service', 'a'), undefined, 'what is not stored is not applied');
  await t.rejects(driver.propose('request-2', createCommand('b'), 1_000), { code: 'NOT_LEADER' });
});

t.test('a disk that hangs delays proposals and nothing else', async (t) => {
  const { driver, storage } = await soleVoter(t);
  driver.start();
  await until('it leads', () => driver.isLeader);
  const { save } = storage;
  const gate = Promise.withResolvers<void>();
  storage.save = async (saves) => {
    await gate.promise;
    return save.call(storage, saves);
  };
  await t.rejects(driver.propose('request-1', createCommand('a'), 150), { code: 'TIMEOUT' });
  t.equal(driver.isLeader, true, 'ticks go on meanwhile');
  gate.resolve();
  const outcome = await driver.propose('request-1', createCommand('a'), 10_000);
  t.match(outcome.result, { ok: true }, 'the repeat is answered');
});

t.test('the inbox is bounded, and messages that make no sense are counted', async (t) => {
  const { driver } = await soleVoter(t);
  driver.start();
  await until('it leads', () => driver.isLeader);
  for (let count = 0; count < inboxLimit + 50; count += 1) driver.receive(newMessage('MsgAppResp', 1, 99));
  t.equal(driver.counters.droppedInbox, 50);
  await until('they are stepped', () => driver.counters.steppedErrors === inboxLimit);
  t.equal(driver.isLeader, true);
});
