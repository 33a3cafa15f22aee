/**
 * A data plane with no agent over it: reads desired states from a file whenever it changes, applies them, and
 * writes what it counts beside it. For lab tests of the path alone.
 *
 *     node dataplane-node.ts OPTIONS.json
 */
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Dataplane, type DataplaneOptions } from '../../../dataplane/dataplane.ts';
import type { DesiredState } from '../../../dataplane/state/desired.ts';

type Job = { options: Omit<DataplaneOptions, 'onWarning'>; statePath: string; reportPath: string };

const poll_ms = 20;

const job = JSON.parse(fs.readFileSync(process.argv[2] ?? '', 'utf8')) as Job;
const dataplane = await Dataplane.open({ ...job.options, onWarning: (text) => console.error(text) });
console.log(`open ${JSON.stringify(dataplane.summary())}`);

let stopping = false;
process.once('SIGTERM', () => {
  stopping = true;
});
let applied = '';
while (!stopping) {
  const text = fs.existsSync(job.statePath) ? fs.readFileSync(job.statePath, 'utf8') : '';
  if (text !== '' && text !== applied) {
    const changes = await dataplane.apply(JSON.parse(text) as DesiredState);
    applied = text;
    console.log(`applied ${changes}`);
  }
  const report = { ...dataplane.summary(), drops: dataplane.drops(), flows: dataplane.flows(1_000).flows };
  fs.writeFileSync(`${job.reportPath}.new`, JSON.stringify({ ...report, applied: applied.length }));
  fs.renameSync(`${job.reportPath}.new`, job.reportPath);
  await sleep(poll_ms);
}
await dataplane.remove();
console.log('removed');
