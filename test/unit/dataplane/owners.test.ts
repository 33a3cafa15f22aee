import t from 'tap';
import { maglevTable } from '../../../dataplane/state/maglev.ts';
import { ownersPerBucket, ownersTable } from '../../../dataplane/state/owners.ts';
import { Random } from '../../sim/random.ts';

const always = (): boolean => true;

/** Owners of the bucket that a hash falls into, without the zeros behind them. */
function ownersOf(table: Uint32Array, hash: number): number[] {
  const bucket = hash & (table.length / ownersPerBucket - 1);
  const owners = [...table.subarray(bucket * ownersPerBucket, (bucket + 1) * ownersPerBucket)];
  return owners.filter((owner) => owner !== 0);
}

/** The endpoint that a flow is given when `slots` are the owners. */
function given(slots: readonly number[], hash: number): number {
  const table = maglevTable(slots);
  return table[hash & (table.length - 1)] ?? 0;
}

t.test('without a past, the table is Maglev’s', async (t) => {
  const table = ownersTable([3, 5, 8], [], always);
  t.equal(table.length, 128 * ownersPerBucket);
  const maglev = maglevTable([3, 5, 8]);
  for (const [bucket, owner] of maglev.entries()) t.strictSame(ownersOf(table, bucket), [owner]);
});

t.test('the owner of every flow is found, then or now, whatever was added or removed', async (t) => {
  const random = new Random(21);
  for (let round = 0; round < 40; round += 1) {
    const sets: number[][] = [Array.from({ length: random.between(1, 12) }, (_, index) => index + 1)];
    for (let change = 1; change < ownersPerBucket; change += 1) {
      const current = sets[0] ?? [];
      // Adding many makes the table larger, removing many smaller.
      const next = random.chance(0.5)
        ? [...current, ...Array.from({ length: random.between(1, 9) }, (_, index) => 100 * change + index)]
        : current.filter(() => random.chance(0.5));
      sets.unshift(next);
    }
    const [owners = [], ...generations] = sets;
    const table = ownersTable(owners, generations, always);
    for (let index = 0; index < 300; index += 1) {
      const hash = random.between(0, 0xffffffff);
      const found = ownersOf(table, hash);
      const wanted = sets.map((set) => given(set, hash)).filter((owner) => owner !== 0);
      t.strictSame(found, [...new Set(wanted)], 'newest first, each once');
    }
  }
});

t.test('a table keeps the size of the largest set that it remembers', async (t) => {
  const large = Array.from({ length: 9 }, (_, index) => index + 1);
  t.equal(ownersTable([1], [large], always).length, 512 * ownersPerBucket);
  t.equal(ownersTable(large, [[1]], always).length, 512 * ownersPerBucket);
  t.equal(ownersTable([1], [[2]], always).length, 64 * ownersPerBucket);
});

t.test('earlier owners that are not present are left out, the current one never', async (t) => {
  const table = ownersTable([1], [[2], [3]], (slot) => slot === 3);
  t.strictSame(ownersOf(table, 0), [1, 3]);
  t.strictSame(
    ownersOf(
      ownersTable([1], [[2]], () => false),
      5,
    ),
    [1],
  );
});

t.test('no more than fit, the oldest forgotten first', async (t) => {
  const table = ownersTable([1], [[2], [3], [4], [5], [6]], always);
  for (let bucket = 0; bucket < 64; bucket += 1) t.strictSame(ownersOf(table, bucket), [1, 2, 3, 4]);
});

t.test('when nobody takes new connections, the last owner is first', async (t) => {
  t.strictSame(ownersOf(ownersTable([], [[7], [8]], always), 9), [7, 8]);
  t.strictSame(ownersOf(ownersTable([], [], always), 9), []);
});
