/** Requests a second over connections that stay. */
import type { Measure } from './measure.ts';
import { runWrk } from './wrk.ts';

export const keepAlive: Measure = {
  name: 'keepAliveRequests',
  title: 'keep-alive requests',
  unit: '1/s',
  digits: 0,
  commands: ['wrk'],
  run: (lab, target, duration_s) => runWrk(lab, target, duration_s, []),
};
