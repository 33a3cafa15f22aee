import t from 'tap';
import { maglevSize, maglevTable } from '../../../dataplane/state/maglev.ts';
import { Random } from '../../sim/random.ts';

function shares(table: Uint32Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const owner of table) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  return counts;
}

/** `count` different slots. */
function randomSlots(random: Random, count: number): number[] {
  const slots = new Set<number>();
  while (slots.size < count) slots.add(random.between(1, 131_071));
  return [...slots];
}

t.test('the size is a power of two, with 32 buckets for each endpoint', async (t) => {
  t.equal(maglevSize(0), 64);
  t.equal(maglevSize(1), 64);
  t.equal(maglevSize(2), 64);
  t.equal(maglevSize(3), 128);
  t.equal(maglevSize(2048), 65_536);
  t.equal(maglevSize(10_000), 65_536, 'and never more than that');
  for (let count = 1; count < 2048; count += 7) {
    const size = maglevSize(count);
    t.equal(Math.log2(size) % 1, 0);
    t.ok(size >= count * 32);
  }
});

t.test('shares differ by one bucket at most', async (t) => {
  const random = new Random(11);
  for (const count of [1, 2, 3, 4, 5, 7, 8, 10, 16, 17, 20, 31, 64, 100, 333, 1000]) {
    const slots = randomSlots(random, count);
    const counts = shares(maglevTable(slots));
    t.strictSame(
      [...counts.keys()].sort((a, b) => a - b),
      slots.toSorted((a, b) => a - b),
      'every endpoint has a share, and nobody else',
    );
    t.ok(Math.max(...counts.values()) - Math.min(...counts.values()) <= 1, `${count} endpoints`);
  }
  const many = Array.from({ length: 3000 }, (_, index) => index + 1);
  t.equal(shares(maglevTable(many)).size, 3000, 'more endpoints than have 32 buckets each');
});

t.test('the table depends on the set and on nothing else', async (t) => {
  const random = new Random(12);
  const slots = randomSlots(random, 9);
  const table = maglevTable(slots);
  t.strictSame(maglevTable(random.shuffle(slots)), table);
  t.strictSame(maglevTable([...slots, ...slots]), table);
  t.strictSame(maglevTable([]), new Uint32Array(64));
});

t.test('consecutive slots, as the store gives them, are as good as any', async (t) => {
  for (const count of [2, 5, 16, 50]) {
    const counts = shares(maglevTable(Array.from({ length: count }, (_, index) => index + 1)));
    t.equal(counts.size, count);
    t.ok(Math.max(...counts.values()) - Math.min(...counts.values()) <= 1);
  }
});

t.test('when an endpoint leaves, few buckets of the others move', async (t) => {
  const random = new Random(13);
  let moved = 0;
  let kept = 0;
  for (let round = 0; round < 60; round += 1) {
    // Between powers of two, so that the size of the table stays.
    const slots = randomSlots(random, random.between(9, 16));
    const before = maglevTable(slots);
    const gone = random.pick(slots);
    const after = maglevTable(slots.filter((slot) => slot !== gone));
    if (after.length !== before.length) continue;
    for (const [bucket, owner] of before.entries()) {
      if (owner === gone) continue;
      if (after[bucket] === owner) kept += 1;
      else moved += 1;
    }
    t.notOk(after.includes(gone));
  }
  t.ok(kept > 0);
  // A plain modulus would move nearly all of them; the paper's figure 12 has a few per cent at 100 buckets each.
  t.ok(moved / (moved + kept) < 0.25, `${((100 * moved) / (moved + kept)).toFixed(1)} % of buckets moved`);
});
