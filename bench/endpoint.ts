/**
 * The servers at the far end: light enough not to be what is measured. Over HTTP, HAProxy answers from memory as an
 * ordinary web server (`http-request return`); for bulk, iperf3.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../test/lab/lib/host.ts';
import type { LabProcess } from '../test/lab/lib/process.ts';
import { endpointPorts } from './contestants/contestant.ts';
import { pinned } from './cpus.ts';

/** What the endpoint answers over HTTP. */
export const endpointBody = 'ok';

/** Commands that every repetition needs. */
export const endpointCommands = ['haproxy', 'iperf3', 'taskset', 'curl'] as const;

const startTimeout_ms = 10_000;

const httpConfiguration = `
global
  maxconn 4096
  nbthread 1
defaults
  mode http
  timeout client 60s
frontend http
  bind :${endpointPorts.http}
  http-request return status 200 content-type text/plain string ${endpointBody}
`;

/** Starts both servers and waits until they listen. The lab ends them. */
export async function startEndpoint(host: Host, cpus: readonly number[]): Promise<void> {
  const path = `${host.directory}/endpoint.cfg`;
  writeFileSync(path, httpConfiguration);
  const http = host.spawn(...pinned(cpus, 'haproxy', ['-db', '-f', path]), { name: 'endpoint-http' });
  const bulkArgs = ['--server', '--port', String(endpointPorts.bulk), '--forceflush'];
  const bulk = host.spawn(...pinned(cpus, 'iperf3', bulkArgs), { name: 'endpoint-bulk' });
  await waitForPort(host, endpointPorts.http, http);
  await waitForPort(host, endpointPorts.bulk, bulk);
}

/** Waits until something listens on a TCP port of the host. @throws Error with the server's log if nothing does */
export async function waitForPort(host: Host, port: number, server: LabProcess): Promise<void> {
  const deadline = performance.now() + startTimeout_ms;
  for (;;) {
    const listening = await host.run('ss', ['-Hltn', `sport = :${port}`]);
    if (listening.trim() !== '') return;
    if (server.ending !== undefined) throw server.failure('ended at its start');
    if (performance.now() > deadline) throw server.failure(`does not listen on port ${port}`);
    await sleep(20);
  }
}
