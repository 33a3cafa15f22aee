import { spawnSync } from 'node:child_process';
import t from 'tap';
import { filesOf, lanes } from '../../lanes.ts';

t.test('no test file runs in two lanes', async (t) => {
  const files = lanes.flatMap(filesOf);
  t.ok(files.includes('test/unit/setup/lanes.test.ts'));
  t.ok(files.includes('test/lab/lib.test.ts'));
  t.strictSame(
    files.filter((file, index) => files.indexOf(file) !== index),
    [],
  );
});

t.test('a lane that does not exist is refused', async (t) => {
  const { status, stderr } = spawnSync(process.execPath, ['test/run-lanes.ts', 'nope'], { encoding: 'utf8' });
  t.equal(status, 2);
  t.match(stderr, "no lane 'nope'; lanes: unit, kernel, lab, sim");
});

t.test('a profile that does not exist is refused', async (t) => {
  const { status, stderr } = spawnSync('sh', ['test/setup/prepare.sh', 'nope'], { encoding: 'utf8' });
  t.equal(status, 1);
  t.match(stderr, /unknown profile 'nope'; one of node, build, test, bench/);
});
