/** New TCP connections a second: connect, one small request and answer, close. */
import type { Measure } from './measure.ts';
import { runWrk } from './wrk.ts';

export const newConnections: Measure = {
  name: 'newConnections',
  title: 'new connections',
  unit: '1/s',
  digits: 0,
  commands: ['wrk'],
  run: (lab, target, duration_s) => runWrk(lab, target, duration_s, ['Connection: close']),
};
