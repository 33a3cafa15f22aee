import t from 'tap';
import { countTap, failureDetails } from '../../tap-results.ts';

const head = 'TAP version 14\n1..2\n';

t.test('counts assertions, not files', async (t) => {
  const tap = `${head}# Subtest: a.test.ts
    ok 1 - one
    ok 2 - two
    1..2
ok 1 - a.test.ts # time=3ms
# { total: 2, pass: 2 }
`;
  t.strictSame(countTap(tap), { passed: 2, failed: 0, skipped: 0, brokenFiles: [] });
});

t.test('failed, skipped and to-do ones are told apart', async (t) => {
  const tap = `${head}# Subtest: a.test.ts
    not ok 1 - sums
    ok 2 - later # SKIP
    not ok 3 - some # TODO
    1..3
not ok 1 - a.test.ts # time=3ms
# { total: 4, pass: 1, fail: 1, todo: 1, skip: 1 }
`;
  t.strictSame(countTap(tap), { passed: 1, failed: 1, skipped: 2, brokenFiles: [] });
});

t.test('a file that crashed counts as failed even if its assertions passed', async (t) => {
  const tap = `${head}# Subtest: a.test.ts
    not ok 1 - sums
    1..1
not ok 1 - a.test.ts # time=3ms
# Subtest: b.test.ts
    ok 1 - fine so far
    1..1
not ok 2 - b.test.ts # time=3ms
  ---
  signal: SIGKILL
  ...
# { total: 2, pass: 1, fail: 1 }
`;
  t.strictSame(countTap(tap), { passed: 1, failed: 2, skipped: 0, brokenFiles: ['b.test.ts'] });
});

t.test('results that break off are not counted', async (t) => {
  t.equal(countTap(''), undefined);
  t.equal(countTap(`${head}# Subtest: a.test.ts\n    ok 1 - one\n`), undefined);
});

t.test('failures are given with their details, subtests not again', async (t) => {
  const tap = `${head}# Subtest: a.test.ts
    # Subtest: inner
        not ok 1 - sums
          ---
          diff: |
            -2
            +1
          ...
        not ok 2 - some # TODO
        1..2
    not ok 1 - inner # time=1ms
      ---
      at: here
      ...
    not ok 2 - plain
    1..2
not ok 1 - a.test.ts # time=3ms
# { total: 3, pass: 0, fail: 2, todo: 1 }
`;
  t.strictSame(failureDetails(tap), [
    'not ok 1 - sums\n  ---\n  diff: |\n    -2\n    +1',
    'not ok 2 - plain',
  ]);
  t.equal(failureDetails(tap, 1).length, 1);
});
