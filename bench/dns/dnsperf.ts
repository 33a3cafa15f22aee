/** The DNS load generator dnsperf. */
import type { Host } from '../../test/lab/lib/host.ts';
import { pinned } from '../cpus.ts';
import type { Sample } from '../measures/measure.ts';
import { ports } from './names.ts';

/** Questions that dnsperf keeps open at a time, and the sockets it sends them from. */
const load = { outstanding: 100, clients: 10 } as const;

/** Questions answered a second, all from one file, over and over. */
export async function runDnsperf(
  host: Host,
  cpus: readonly number[],
  path: string,
  duration_s: number,
): Promise<Sample> {
  const args = [
    ...['-s', '127.0.0.1', '-p', String(ports.server), '-d', path, '-l', String(duration_s)],
    ...['-q', String(load.outstanding), '-c', String(load.clients), '-T', '1', '-t', '2'],
  ];
  const [command, pinnedArgs] = pinned(cpus, 'dnsperf', args);
  return parseDnsperf(await host.run(command, pinnedArgs, { timeout_ms: (duration_s + 20) * 1_000 }));
}

/**
 * Reads dnsperf's report. Its lines: `Queries lost: 3 (0.01%)`, `Response codes: NOERROR 90 (90.00%), SERVFAIL 10
 * (10.00%)` and `Queries per second: 1234.5`. What is lost or not NOERROR is an error.
 * @throws Error if it holds no rate
 */
export function parseDnsperf(output: string): Sample {
  const rate = /^\s*Queries per second:\s+([\d.]+)/m.exec(output)?.[1];
  if (rate === undefined) throw new Error(`dnsperf gave no rate: ${output.trim()}`);
  const lost = Number(/^\s*Queries lost:\s+(\d+)/m.exec(output)?.[1] ?? 0);
  const codes = /^\s*Response codes:\s+(.*)$/m.exec(output)?.[1] ?? '';
  const refused = [...codes.matchAll(/([A-Z]+) (\d+)/g)].filter((match) => match[1] !== 'NOERROR');
  return { value: Number(rate), errors: refused.reduce((sum, match) => sum + Number(match[2]), lost) };
}
