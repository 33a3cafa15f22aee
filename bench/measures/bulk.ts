/** Throughput of one TCP connection from client to endpoint. */
import { pinned } from '../cpus.ts';
import type { Measure, Sample } from './measure.ts';

interface IperfReport {
  readonly error?: string;
  readonly end?: { readonly sum_received?: { readonly bits_per_second?: number } };
}

/** Reads iperf3's JSON report. @throws Error with iperf3's own message if the test failed */
export function parseIperf(output: string): Sample {
  const report = JSON.parse(output) as IperfReport;
  const rate = report.end?.sum_received?.bits_per_second;
  if (report.error !== undefined || rate === undefined)
    throw new Error(`iperf3: ${report.error ?? 'no rate'}`);
  return { value: rate / 1e9, errors: 0 };
}

export const bulk: Measure = {
  name: 'bulkThroughput',
  title: 'bulk',
  unit: 'Gbit/s',
  digits: 2,
  commands: ['iperf3'],
  async run(lab, target, duration_s) {
    const { address, port } = target.bulk;
    const args = ['--client', address, '--port', String(port), '--time', String(duration_s), '--json'];
    const [command, pinnedArgs] = pinned(lab.cpus.client, 'iperf3', args);
    // Its exit code is 1 on failure, with the reason in the report.
    const result = await lab.client.exec(command, pinnedArgs, { timeout_ms: (duration_s + 20) * 1_000 });
    if (result.timedOut || result.stdout === '')
      throw new Error(`iperf3 gave nothing: ${result.stderr.trim()}`);
    return parseIperf(result.stdout);
  },
};
