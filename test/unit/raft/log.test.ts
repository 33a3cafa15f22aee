import t from 'tap';
import { RaftLog } from '../../../control/raft/core/log.ts';
import { MemoryStorage } from '../../../control/raft/core/memory-storage.ts';
import { entriesSize, entrySize, limitSize } from '../../../control/raft/core/sizes.ts';
import { EMPTY_CONF_STATE } from '../../../control/raft/core/states.ts';
import type { Entry } from '../../../control/raft/core/types.ts';
import { Random } from '../../sim/random.ts';

const NO_LIMIT = Number.POSITIVE_INFINITY;

function entry(index: number, term: number, bytes = 0): Entry {
  return { type: 'EntryNormal', term, index, data: new Uint8Array(bytes) };
}

function logWith(terms: readonly number[]): RaftLog {
  const storage = new MemoryStorage();
  storage.append(terms.map((term, at) => entry(at + 1, term)));
  return new RaftLog(storage, NO_LIMIT, undefined);
}

/** A write that was handed out: its entries, and the end of the log when it was. */
interface Write {
  readonly entries: readonly Entry[];
  readonly index: number;
  readonly term: number;
  /** Nothing was truncated since, as a change of term would tell. */
  isCurrent: boolean;
}

t.test('behaves like a plain list while entries come, are replaced, written and compacted', async (t) => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = new Random(seed);
    const storage = new MemoryStorage();
    const log = new RaftLog(storage, NO_LIMIT, undefined);
    const model: Entry[] = [];
    const writes: Write[] = [];
    let term = 1;
    let compacted = 0;
    for (let step = 0; step < 400; step += 1) {
      const last = model.length;
      switch (random.between(0, 5)) {
        case 0:
        case 1: {
          const from = last + 1;
          const added = Array.from({ length: random.between(1, 5) }, (_, n) =>
            entry(from + n, term, random.between(0, 9)),
          );
          log.append(added);
          model.push(...added);
          break;
        }
        case 2: {
          if (!random.chance(0.3) || last === log.committed) break;
          term += 1;
          const from = random.between(log.committed + 1, last);
          const added = [entry(from, term)];
          log.append(added);
          model.length = from - 1;
          model.push(...added);
          for (const write of writes) write.isCurrent = false;
          break;
        }
        case 3: {
          const pending = log.unstable.pendingEntries();
          if (log.unstable.length === 0) break;
          const { index, term: lastTerm } = log.lastEntryId();
          log.unstable.acceptInProgress();
          writes.push({ entries: pending, index, term: lastTerm, isCurrent: true });
          break;
        }
        case 4: {
          const write = writes.shift();
          if (write === undefined) break;
          storage.append(write.entries);
          if (write.isCurrent) log.unstable.stableTo(write.index, write.term);
          break;
        }
        default: {
          const stable = Math.min(log.unstable.offset - 1, last);
          if (stable > log.committed && random.chance(0.5))
            log.commitTo(random.between(log.committed + 1, stable));
          if (log.committed > compacted && writes.length === 0 && random.chance(0.3)) {
            compacted = random.between(compacted + 1, log.committed);
            storage.compact(compacted);
          }
        }
      }
      const problem = difference(log, model, compacted, random);
      if (problem !== '') {
        t.fail(`seed ${seed}, step ${step}: ${problem}`);
        return;
      }
    }
  }
  t.pass('60 random sequences');
});

function difference(log: RaftLog, model: readonly Entry[], compacted: number, random: Random): string {
  if (log.lastIndex() !== model.length) return `ends at ${log.lastIndex()} instead of ${model.length}`;
  if (log.firstIndex() !== compacted + 1) return `begins at ${log.firstIndex()} instead of ${compacted + 1}`;
  const probe = random.between(0, model.length + 1);
  const known = probe >= compacted && probe <= model.length;
  const expected = !known ? undefined : probe === 0 ? 0 : model[probe - 1]?.term;
  if (log.term(probe) !== expected) return `term of ${probe} is ${log.term(probe)} instead of ${expected}`;
  if (model.length === compacted) return '';
  const lo = random.between(compacted + 1, model.length);
  const hi = random.between(lo + 1, model.length + 1);
  const limit = random.chance(0.5) ? NO_LIMIT : random.between(0, 40);
  const slice = log.slice(lo, hi, limit);
  const wanted = limitSize(model.slice(lo - 1, hi - 1), limit);
  const show = (entries: readonly Entry[]) => entries.map((each) => `${each.term}/${each.index}`).join(' ');
  return show(slice) === show(wanted)
    ? ''
    : `[${lo}, ${hi}) within ${limit} is ${show(slice)}, not ${show(wanted)}`;
}

t.test('a follower appends what follows its own entries, and nothing else', async (t) => {
  const log = logWith([1, 2, 3]);
  t.equal(log.maybeAppend({ index: 3, term: 2 }, [entry(4, 4)], 3), undefined, 'another term before');
  t.equal(log.maybeAppend({ index: 4, term: 3 }, [entry(5, 4)], 3), undefined, 'a gap before');
  t.equal(log.maybeAppend({ index: 3, term: 3 }, [], 9), 3, 'nothing new: commits no further than it agrees');
  t.equal(log.committed, 3);
  t.equal(log.maybeAppend({ index: 2, term: 2 }, [entry(3, 3), entry(4, 4)], 3), 4, 'what is there stays');
  t.same(log.unstable.pendingEntries(), [entry(4, 4)]);
  t.equal(log.maybeAppend({ index: 3, term: 3 }, [entry(4, 5)], 4), 4, 'a conflict is replaced');
  t.same(log.unstable.pendingEntries(), [entry(4, 5)]);
  t.throws(
    () => log.maybeAppend({ index: 3, term: 3 }, [entry(4, 6)], 4),
    { code: 'INVARIANT' },
    'but never if committed',
  );
  t.throws(() => log.commitTo(9), { code: 'INVARIANT' }, 'nothing is committed that is not there');
});

t.test('the hint after a conflict skips all later terms', async (t) => {
  const log = logWith([1, 3, 3, 4, 4, 5, 5, 5, 6]);
  t.same(log.findConflictByTerm(8, 3), { index: 3, term: 3 });
  t.same(log.findConflictByTerm(9, 2), { index: 1, term: 1 });
  t.same(log.findConflictByTerm(9, 0), { index: 0, term: 0 });
  t.same(log.findConflictByTerm(12, 9), { index: 12, term: 0 }, 'beyond the end nothing is known');
});

t.test('committed entries are handed out within the limit of bytes', async (t) => {
  const size = entrySize(entry(1, 1, 10));
  const storage = new MemoryStorage();
  storage.append([1, 2, 3, 4].map((index) => entry(index, 1, 10)));
  const log = new RaftLog(storage, 2 * size, undefined);
  log.commitTo(4);
  const first = log.nextCommitted(true);
  t.same(
    first.map(({ index }) => index),
    [1, 2],
  );
  log.acceptApplying(2, entriesSize(first), true);
  t.notOk(log.hasNextCommitted(true), 'nothing more until some is applied');
  log.appliedTo(1, size);
  t.same(
    log.nextCommitted(true).map(({ index }) => index),
    [3],
    'as much as was applied',
  );
  t.throws(() => log.appliedTo(5, 0), { code: 'INVARIANT' });
});

t.test('storage in memory', async (t) => {
  const storage = new MemoryStorage();
  storage.append([entry(1, 1), entry(2, 1), entry(3, 2), entry(4, 2)]);
  storage.append([entry(3, 3)]);
  t.equal(storage.lastIndex(), 3, 'appending replaces what comes after');
  t.throws(() => storage.append([entry(5, 3)]), { code: 'INVARIANT' }, 'without a gap');
  t.throws(() => storage.term(4), { code: 'UNAVAILABLE' });
  storage.createSnapshot(2, { ...EMPTY_CONF_STATE, voters: [1] }, Uint8Array.of(7));
  storage.compact(2);
  t.same([storage.firstIndex(), storage.term(2)], [3, 1]);
  t.throws(() => storage.term(1), { code: 'COMPACTED' });
  t.throws(() => storage.entries(2, 3, NO_LIMIT), { code: 'COMPACTED' });
  t.throws(() => storage.compact(2), { code: 'COMPACTED' });
  t.throws(() => storage.createSnapshot(2, null, Uint8Array.of()), { code: 'SNAPSHOT_OUT_OF_DATE' });
  t.throws(() => storage.applySnapshot(storage.snapshot()), { code: 'SNAPSHOT_OUT_OF_DATE' });
  storage.append([entry(2, 1), entry(3, 3), entry(4, 3)]);
  t.same(
    storage.entries(3, 5, NO_LIMIT).map(({ term }) => term),
    [3, 3],
    'compacted ones are ignored',
  );
});
