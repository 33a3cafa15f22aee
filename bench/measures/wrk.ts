/** The HTTP load generator wrk. */
import type { BenchLab, Target } from '../contestants/contestant.ts';
import { pinned } from '../cpus.ts';
import type { Sample } from './measure.ts';

/** Connections that wrk keeps open at a time. */
export const wrkConnections = 64;

/** Requests a second, as wrk counts them. */
export async function runWrk(
  lab: BenchLab,
  target: Target,
  duration_s: number,
  headers: readonly string[],
): Promise<Sample> {
  const args = [
    ...['--threads', '1', '--connections', String(wrkConnections), '--duration', `${duration_s}s`],
    ...headers.flatMap((header) => ['--header', header]),
    `http://${target.http.address}:${target.http.port}/`,
  ];
  const [command, pinnedArgs] = pinned(lab.cpus.client, 'wrk', args);
  const output = await lab.client.run(command, pinnedArgs, { timeout_ms: (duration_s + 20) * 1_000 });
  return parseWrk(output);
}

/**
 * Reads wrk's report. Its lines: `Requests/sec:  1234.56`, `Non-2xx or 3xx responses: 1` and
 * `Socket errors: connect 0, read 1, write 0, timeout 0`; the last two only if there are any.
 * @throws Error if it holds no rate
 */
export function parseWrk(output: string): Sample {
  const rate = /^Requests\/sec:\s+([\d.]+)/m.exec(output)?.[1];
  if (rate === undefined) throw new Error(`wrk gave no rate: ${output.trim()}`);
  const refused = Number(/Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? 0);
  const socketErrors = /Socket errors: (.*)$/m.exec(output)?.[1] ?? '';
  const errors = [...socketErrors.matchAll(/\d+/g)].reduce((sum, match) => sum + Number(match[0]), refused);
  return { value: Number(rate), errors };
}
