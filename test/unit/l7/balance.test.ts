import t from 'tap';
import {
  type Candidate,
  chooseEndpoint,
  markFailed,
  markWorking,
  newEndpointLoad,
} from '../../../dataplane/l7/balance.ts';
import { pick, seeded } from './support.ts';

const candidate = (weight = 1): Candidate => ({ weight, load: newEndpointLoad() });
const none: ReadonlySet<Candidate> = new Set();

t.test('none, one, excluded', async (t) => {
  const [a, b] = [candidate(), candidate()];
  const random = seeded(12);
  t.equal(chooseEndpoint([], 0, random, none), null);
  t.equal(chooseEndpoint([a], 0, random, none), a);
  t.equal(chooseEndpoint([a], 0, random, new Set([a])), null);
  for (let i = 0; i < 20; i += 1) t.equal(chooseEndpoint([a, b], 0, random, new Set([a])), b);
});

t.test('of two, the one with fewer outstanding requests', async (t) => {
  const [a, b] = [candidate(), candidate()];
  a.load.outstanding = 3;
  b.load.outstanding = 2;
  const random = seeded(13);
  for (let i = 0; i < 50; i += 1) t.equal(chooseEndpoint([a, b], 0, random, none), b);
});

t.test('ties are random, in the proportion of the weights', async (t) => {
  const pool = [candidate(1), candidate(3)];
  const random = seeded(14);
  let heavy = 0;
  for (let i = 0; i < 4_000; i += 1) if (chooseEndpoint(pool, 0, random, none) === pool[1]) heavy += 1;
  t.ok(Math.abs(heavy - 3_000) < 150, `the heavier one was taken ${heavy} times of 4000`);
});

t.test('the load stays close to even', async (t) => {
  const pool = Array.from({ length: 10 }, () => candidate());
  const random = seeded(15);
  const running: Candidate[] = [];
  for (let i = 0; i < 10_000; i += 1) {
    const chosen = chooseEndpoint(pool, 0, random, none);
    if (chosen === null) throw new Error('nothing was chosen');
    chosen.load.outstanding += 1;
    running.push(chosen);
    if (running.length <= 200) continue;
    const [ended] = running.splice(pick(random, running.length), 1);
    if (ended !== undefined) ended.load.outstanding -= 1;
  }
  const most = Math.max(...pool.map(({ load }) => load.outstanding));
  t.ok(most <= 26, `at most ${most} of 200 on one of ten`);
});

t.test('one that failed is avoided for its time, unless all have', async (t) => {
  const [a, b] = [candidate(), candidate()];
  const random = seeded(16);
  markFailed(a.load, 100, 1_000);
  for (let i = 0; i < 50; i += 1) t.equal(chooseEndpoint([a, b], 1_099, random, none), b);
  t.equal(chooseEndpoint([a, b], 1_099, random, new Set([b])), a, 'rather that one than none');
  const later = new Set(Array.from({ length: 50 }, () => chooseEndpoint([a, b], 1_100, random, none)));
  t.equal(later.size, 2, 'its time is over');
  markFailed(b.load, 100, 1_000);
  t.not(chooseEndpoint([a, b], 200, random, none), null);
  markWorking(a.load);
  for (let i = 0; i < 50; i += 1) t.equal(chooseEndpoint([a, b], 200, random, none), a);
});
