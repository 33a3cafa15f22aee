/** Making, adopting and removing a data plane, in a network and mount namespace of its own. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';

const run = promisify(execFile);
const child = fileURLToPath(new URL('./dataplane-open-child.ts', import.meta.url));

/** What the child found after each step. */
type Report = {
  step: string;
  error?: string;
  adopted?: boolean;
  devices: string[];
  pins: string[];
  localnet: string;
};

async function reports(): Promise<Map<string, Report>> {
  const args = ['--net', '--mount', process.execPath, child];
  const { stdout } = await run('unshare', args, { timeout: 60_000 });
  const lines = stdout.trim().split('\n');
  return new Map(lines.map((line) => JSON.parse(line) as Report).map((report) => [report.step, report]));
}

t.test('a data plane is made whole or not at all, adopted in place, and taken away', async (t) => {
  const steps = await reports();
  const report = (step: string): Report => {
    const found = steps.get(step);
    if (found === undefined) throw new Error(`the child said nothing of "${step}"`);
    return found;
  };

  const refused = report('no native XDP');
  t.match(refused.error, /uplink_xdp/);
  t.strictSame(refused.devices, report('before').devices, 'no device stays');
  t.strictSame(refused.pins, [], 'no pin stays');
  t.equal(refused.localnet, '0', 'no setting stays');

  t.match(report('unknown uplink').error, /nic9/);
  t.match(report('reserved address').error, /5a:53/);

  const made = report('made');
  t.equal(made.error, undefined);
  t.equal(made.adopted, false);
  t.ok(made.devices.includes('shoal0'));
  t.equal(made.localnet, '1');

  const again = report('adopted');
  t.equal(again.adopted, true);
  t.strictSame(again.pins, made.pins);

  const removed = report('removed');
  t.strictSame(removed.devices, report('before').devices);
  t.strictSame(removed.pins, []);
  t.equal(removed.localnet, '0');
});
