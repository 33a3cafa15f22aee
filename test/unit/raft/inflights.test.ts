import t from 'tap';
import { Inflights } from '../../../control/raft/core/inflights.ts';
import { Random } from '../../sim/random.ts';

t.test('behaves like a plain list, whatever the limits', async (t) => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const random = new Random(seed);
    const maxMessages = random.between(1, 20);
    const maxBytes = random.chance(0.5) ? random.between(1, 500) : Number.POSITIVE_INFINITY;
    const inflights = new Inflights(maxMessages, maxBytes);
    let model: { index: number; bytes: number }[] = [];
    let last = 0;
    for (let step = 0; step < 500; step += 1) {
      if (random.chance(0.6) && !inflights.full) {
        last += random.between(1, 3);
        const bytes = random.between(0, 60);
        inflights.add(last, bytes);
        model.push({ index: last, bytes });
      } else if (random.chance(0.05)) {
        inflights.reset();
        model = [];
      } else {
        const upTo = random.between(Math.max(0, last - 30), last);
        inflights.freeUpTo(upTo);
        model = model.filter(({ index }) => index > upTo);
      }
      const bytes = model.reduce((sum, each) => sum + each.bytes, 0);
      const full = model.length >= maxMessages || bytes >= maxBytes;
      const actual = [inflights.count, inflights.bytes, inflights.full];
      if (actual.join() !== [model.length, bytes, full].join()) {
        t.same(actual, [model.length, bytes, full], `seed ${seed}, step ${step}`);
        return;
      }
    }
  }
  t.pass('50 random sequences');
});

t.test('a full window refuses more', async (t) => {
  const inflights = new Inflights(1, Number.POSITIVE_INFINITY);
  inflights.add(5, 10);
  t.throws(() => inflights.add(6, 10), { code: 'INVARIANT' });
  inflights.freeUpTo(4);
  t.equal(inflights.count, 1);
  inflights.freeUpTo(5);
  t.equal(inflights.count, 0);
});
