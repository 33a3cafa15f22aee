import t from 'tap';
import { EventHeap } from './heap.ts';
import { Random } from './random.ts';
import { DEFAULT_STEPS, describeOutcome } from './run.ts';
import { simulate } from './simulation.ts';

/** Seeds that found something once, and some that exercise much; the same in every run. */
const FIXED_SEEDS = [
  4,
  211,
  354,
  1018,
  1069,
  1991,
  2454,
  5083,
  ...Array.from({ length: 200 }, (_, n) => 10_000 + n),
];
/** New ground in every run, within this time. */
const FRESH_MILLISECONDS = 5_000;
const MAX_FRESH_SEEDS = 40;
/** After this no further fixed seed is begun, so that a slow machine is not held up for ever. */
const FIXED_MILLISECONDS = 15_000;
/** Of them this many must have been played in any case. */
const MIN_FIXED_SEEDS = 10;

t.test('fixed seeds: Raft keeps its guarantees', async (t) => {
  const started = performance.now();
  const total = { elections: 0, crashes: 0, acknowledged: 0, reads: 0, confChanges: 0, snapshots: 0 };
  let played = 0;
  for (const seed of FIXED_SEEDS) {
    if (played >= MIN_FIXED_SEEDS && performance.now() - started > FIXED_MILLISECONDS) break;
    const outcome = simulate(seed, DEFAULT_STEPS);
    t.comment(describeOutcome(outcome));
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += outcome[name];
    played += 1;
  }
  t.ok(played >= MIN_FIXED_SEEDS, `${played} of ${FIXED_SEEDS.length} seeds`);
  for (const [name, count] of Object.entries(total)) t.ok(count > 0, `${count} ${name} in all`);
});

t.test('fresh seeds: Raft keeps its guarantees', async (t) => {
  const started = performance.now();
  const first = 1 + Math.floor(Math.random() * 1e9);
  let seed = first;
  do {
    // A failure throws, with the seed and the last events.
    t.comment(describeOutcome(simulate(seed, DEFAULT_STEPS)));
    seed += 1;
  } while (seed - first < MAX_FRESH_SEEDS && performance.now() - started < FRESH_MILLISECONDS);
  t.pass(`seeds ${first} to ${seed - 1}`);
});

t.test('the same seed is the same run', async (t) => {
  t.same(simulate(77, 3_000), simulate(77, 3_000));
  t.not(describeOutcome(simulate(77, 3_000)), describeOutcome(simulate(78, 3_000)).replace('78', '77'));
});

t.test('events come in the order of their time', async (t) => {
  const random = new Random(5);
  const heap = new EventHeap<number>();
  const times: number[] = [];
  for (let n = 0; n < 500; n += 1) {
    const time = random.between(0, 50);
    times.push(time);
    heap.push(time, n);
  }
  const popped = Array.from({ length: 500 }, () => heap.pop());
  t.same(
    popped.map((each) => each?.time),
    times.toSorted((a, b) => a - b),
  );
  t.ok(
    popped.every(
      (each, n) =>
        n === 0 ||
        each === undefined ||
        (popped[n - 1]?.time ?? 0) < each.time ||
        (popped[n - 1]?.item ?? 0) < each.item,
    ),
  );
  t.equal(heap.pop(), undefined);
});
