import t from 'tap';
import {
  type Allocation,
  allocate,
  BucketsExhausted,
  type Region,
} from '../../../dataplane/state/allocate.ts';
import { Random } from '../../sim/random.ts';

function overlap(a: Region, b: Region): boolean {
  return a.base < b.base + b.size && b.base < a.base + a.size;
}

t.test('first fit, and no move while the size stays', async (t) => {
  const first = allocate(
    new Map(),
    new Map([
      ['a', 64],
      ['b', 128],
    ]),
    1024,
  );
  t.strictSame(
    [...first],
    [
      ['a', { base: 0, size: 64 }],
      ['b', { base: 64, size: 128 }],
    ],
  );
  const second = allocate(
    first,
    new Map([
      ['b', 128],
      ['c', 64],
    ]),
    1024,
  );
  t.strictSame(second.get('b'), { base: 64, size: 128 });
  t.strictSame(second.get('c'), { base: 192, size: 64 }, 'a’s region is still in use while c’s is filled');
  const third = allocate(second, new Map([['d', 64]]), 1024);
  t.strictSame(third.get('d'), { base: 0, size: 64 }, 'and free after that');
});

t.test('a table that grows gets another region', async (t) => {
  const first = allocate(new Map(), new Map([['a', 64]]), 1024);
  t.strictSame(allocate(first, new Map([['a', 128]]), 1024).get('a'), { base: 64, size: 128 });
});

t.test('no room', async (t) => {
  t.throws(() => allocate(new Map(), new Map([['web', 128]]), 64), new BucketsExhausted('web', 128, 64));
  t.match(new BucketsExhausted('web', 128, 64).message, /128 buckets of service web.*holds 64/);
  t.strictSame(allocate(new Map(), new Map([['web', 64]]), 64).get('web'), { base: 0, size: 64 });
});

t.test('any sequence of changes: no overlap within, none of a new region with the ones before', async (t) => {
  const random = new Random(31);
  const capacity = 8192;
  let exhausted = 0;
  for (let round = 0; round < 30; round += 1) {
    let allocation: Allocation = new Map();
    for (let step = 0; step < 40; step += 1) {
      const wanted = new Map(
        random
          .shuffle(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
          .slice(0, random.between(0, 8))
          .map((id) => [id, 64 << random.between(0, 5)]),
      );
      let next: Allocation;
      try {
        next = allocate(allocation, wanted, capacity);
      } catch (error) {
        t.ok(error instanceof BucketsExhausted);
        exhausted += 1;
        continue;
      }
      t.strictSame([...next.keys()].sort(), [...wanted.keys()].sort());
      const regions = [...next];
      for (const [id, region] of regions) {
        const before = allocation.get(id);
        if (region.size !== wanted.get(id) || region.base + region.size > capacity || region.base < 0)
          t.fail(`region of ${id}`);
        if (before?.size === region.size) {
          if (before !== region) t.fail(`${id} moved`);
        } else if ([...allocation.values()].some((old) => overlap(old, region))) {
          t.fail(`${id} is filled over a region in use`);
        }
        if (regions.some(([other, at]) => other !== id && overlap(at, region))) t.fail(`${id} overlaps`);
      }
      allocation = next;
    }
  }
  t.ok(exhausted < 600, 'most of the time there was room');
});
