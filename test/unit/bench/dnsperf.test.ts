import t from 'tap';
import { parseDnsperf } from '../../../bench/dns/dnsperf.ts';

const report = `
Statistics:

  Queries sent:         1000
  Queries completed:    997 (99.70%)
  Queries lost:         3 (0.30%)

  Response codes:       NOERROR 990 (99.30%), SERVFAIL 5 (0.50%), NXDOMAIN 2 (0.20%)
  Average packet size:  request 35, response 51
  Run time (s):         1.000000
  Queries per second:   997.250000
`;

t.test('what dnsperf reports', async (t) => {
  t.strictSame(parseDnsperf(report), { value: 997.25, errors: 10 }, 'lost, and not NOERROR');
  const clean = report.replace(/lost: .*/, 'lost:  0 (0.00%)').replace(/, SERVFAIL.*/, '');
  t.equal(parseDnsperf(clean).errors, 0);
  t.throws(() => parseDnsperf('Error: unable to connect'), /dnsperf gave no rate: Error/);
});
