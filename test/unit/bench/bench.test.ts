import { spawnSync } from 'node:child_process';
import t from 'tap';
import { missingCommands } from '../../../bench/contestants/contestant.ts';
import { planCpus } from '../../../bench/cpus.ts';
import { parseIperf } from '../../../bench/measures/bulk.ts';
import { parseWrk } from '../../../bench/measures/wrk.ts';
import { formatReport } from '../../../bench/report.ts';
import type { SuiteResult } from '../../../bench/results.ts';
import { rotate, summarise } from '../../../bench/statistics.ts';

t.test('medians of odd and even counts', async (t) => {
  t.match(summarise([3, 1, 2]), { median: 2, smallest: 1, largest: 3, samples: [3, 1, 2] });
  t.match(summarise([4, 1, 2, 3]), { median: 2.5, smallest: 1, largest: 4 });
  t.throws(() => summarise([]), /no samples/);
});

t.test('every contestant begins in its turn', async (t) => {
  t.strictSame(rotate(['a', 'b', 'c'], 0), ['a', 'b', 'c']);
  t.strictSame(rotate(['a', 'b', 'c'], 4), ['b', 'c', 'a']);
  t.strictSame(rotate([], 4), []);
});

t.test('client and endpoint share no CPU if there are two', async (t) => {
  t.strictSame(planCpus(1), { client: [0], ingress: [0], endpoint: [0] });
  t.strictSame(planCpus(2), { client: [0], ingress: [0, 1], endpoint: [1] });
  t.strictSame(planCpus(8), { client: [0], ingress: [1], endpoint: [2] });
});

t.test("wrk's report", async (t) => {
  const report =
    'Running 1s test @ http://192.0.2.1:8080/\n  51 requests in 1.00s\nRequests/sec:   5122.42\n';
  t.strictSame(parseWrk(report), { value: 5122.42, errors: 0 });
  const errors = '  Socket errors: connect 1, read 20, write 0, timeout 3\n  Non-2xx or 3xx responses: 4\n';
  t.strictSame(parseWrk(errors + report), { value: 5122.42, errors: 28 });
  t.throws(() => parseWrk('unable to connect'), /gave no rate: unable to connect/);
});

t.test("iperf3's report", async (t) => {
  t.strictSame(parseIperf('{"end":{"sum_received":{"bits_per_second":2.5e9}}}'), { value: 2.5, errors: 0 });
  t.throws(() => parseIperf('{"error":"unable to connect","end":{}}'), /iperf3: unable to connect/);
  t.throws(() => parseIperf('{"end":{}}'), /iperf3: no rate/);
});

t.test('commands that are not installed are named', async (t) => {
  t.strictSame(missingCommands(['sh', 'no-such-command-here']), ['no-such-command-here']);
});

t.test('the table names what is missing and what failed', async (t) => {
  const entry = (median: number, ratio: number, errors = 0) => ({
    ...{ median, smallest: median - 1, largest: median + 1, samples: [median - 1, median, median + 1] },
    ...{ ratio, errors },
  });
  const result: SuiteResult = {
    suite: 'connections',
    about: 'here to there',
    date: '2026-01-01T00:00:00.000Z',
    machine: { cpu: 'Abacus', cpuCount: 2, kernel: '6.1.0', kernelBuild: '#1', node: 'v26.0.0' },
    repetitions: 3,
    duration_s: 1,
    baseline: 'direct',
    contestants: [
      { name: 'direct', about: 'nothing between' },
      { name: 'shoal', about: 'this' },
    ],
    measures: [
      {
        ...{ name: 'newConnections', title: 'new connections', unit: '1/s', digits: 0 },
        entries: { direct: entry(20_000, 1), shoal: entry(15_000, 0.75, 2) },
      },
      { name: 'bulk', title: 'bulk', unit: 'Gbit/s', digits: 2, entries: { direct: entry(9.5, 1) } },
    ],
    missing: [{ name: 'haproxy', commands: ['haproxy'] }],
    failures: [{ contestant: 'shoal', message: 'bulk broke' }],
  };
  const report = formatReport(result);
  t.match(report, /^direct +20,000 \(19,999 to 20,001\) \[1\.00\] +9\.50 \(8\.50 to 10\.50\) \[1\.00\]$/m);
  t.match(report, /^shoal +15,000 \(14,999 to 15,001\) \[0\.75, 2 errors\] +-$/m);
  t.match(report, /^missing: haproxy \(not installed: haproxy\)$/m);
  t.match(report, /^failed: shoal: bulk broke$/m);
});

t.test('wrong usage is told in one line', async (t) => {
  const wrong: [args: string[], said: RegExp][] = [
    [['nothing'], /^bench: no suite 'nothing'; suites: connections, /],
    [
      ['--only', 'direct,abacus'],
      /^bench: --only: no contestant 'abacus'; there are: direct, shoal, nftables, haproxy$/,
    ],
    [['--repetitions', '0'], /^bench: --repetitions: '0' is not a whole number from 1 to 1000$/],
    [['--duration', 'long'], /^bench: --duration: 'long' is not a whole number/],
    [['--fast'], /^bench: .*--fast/],
  ];
  for (const [args, said] of wrong) {
    const { status, stderr } = spawnSync(process.execPath, ['bench/run.ts', ...args], { encoding: 'utf8' });
    t.equal(status, 2, args.join(' '));
    t.match(stderr.trim(), said);
  }
});
