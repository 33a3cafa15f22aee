import t from 'tap';
import { State } from '../../../control/store/state.ts';
import { Journal, journalLimits, readersLimit } from '../../../control/store/watch.ts';
import { createCommand, initCommand } from './commands.ts';

t.test('a reader gets every version, and a snapshot when it comes too late', async (t) => {
  const state = new State();
  const stop = new AbortController();
  const reader = state.watch(0, stop.signal);
  state.apply(1, initCommand());
  t.match(await reader.next(), { value: { type: 'changes', index: 1 } });
  const waiting = reader.next();
  state.skip(2);
  t.strictSame((await waiting).value, { type: 'changes', index: 2, changes: [] });
  for (let index = 3; index < journalLimits.batches + 10; index += 1) {
    state.apply(index, createCommand(`s${index}`, { vip: null }));
  }
  t.match(await reader.next(), { value: { type: 'snapshot', index: state.version } });
  state.load(state.snapshot());
  t.match(await reader.next(), { value: { type: 'snapshot', index: state.version } }, 'after a restore too');
  const last = reader.next();
  stop.abort();
  t.match(await last, { done: true });
  t.equal(state.journal.readers, 0);
});

t.test('the journal is bounded in changes, and readers in number', async (t) => {
  const journal = new Journal();
  const changes = Array.from({ length: 1_000 }, () => ({}) as never);
  for (let index = 1; index <= 100; index += 1) journal.append({ index, changes });
  t.equal(journal.after(0, 10), null);
  t.ok((journal.after(journal.floor, 1_000)?.length ?? 0) * 1_000 <= journalLimits.changes);
  for (let count = 0; count < readersLimit; count += 1) journal.enter();
  t.equal(journal.enter(), false);
  t.equal(journal.counters.refusedReaders, 1);
});
