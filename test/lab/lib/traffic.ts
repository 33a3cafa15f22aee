/** Traffic between hosts of a lab: starts the programs in `programs/` and reads what they print. */
import { fileURLToPath } from 'node:url';
import type { Host } from './host.ts';
import type { LabProcess } from './process.ts';

/** How a program of `programs/` is run. */
type ProgramName = 'echo-server' | 'connector' | 'bulk-server' | 'bulk-client';

export type EchoProtocol = 'http' | 'tcp' | 'udp';

/** What `connector.ts` prints. */
export interface ConnectorSummary {
  readonly connections: number;
  succeeded: number;
  /** Failed connections by error: `ECONNREFUSED`, `TIMEOUT`, `HTTP_503`, …. */
  readonly errors: Record<string, number>;
  /** Answers by endpoint. */
  readonly endpoints: Record<string, number>;
  /** Answers by target (`192.0.2.1:8080`) and endpoint. */
  readonly targets: Record<string, Record<string, number>>;
  /** Answers by the client address that the endpoint saw. */
  readonly clients: Record<string, number>;
  latency_ms: { median: number; p99: number; longest: number };
  duration_ms: number;
}

/** What `bulk-client.ts` prints at its end. */
export interface BulkResult {
  readonly direction: 'download' | 'upload';
  readonly size_bytes: number;
  readonly sha256: string;
  readonly expected_sha256: string;
  readonly duration_ms: number;
}

/** An endpoint to start. */
export interface EchoServerOptions {
  /** What it calls itself in answers. */
  readonly name: string;
  readonly port: number;
  /** Address to listen on; all IPv4 ones unless told. */
  readonly address?: string;
  /** `http` unless told. */
  readonly protocol?: EchoProtocol;
}

/** Connections to make. */
export interface ConnectOptions {
  /** `ADDRESS:PORT` each, taken in turn. */
  readonly targets: readonly string[];
  /** In all; one per target unless told. */
  readonly connections?: number;
  /** At a time; 16 unless told. */
  readonly concurrency?: number;
  readonly protocol?: EchoProtocol;
  /** Host header; the target unless told. */
  readonly host?: string;
  readonly path?: string;
  /** Of one connection; 5 s unless told. */
  readonly timeout_ms?: number;
}

/** A transfer to make. */
export interface TransferOptions {
  readonly target: string;
  readonly size_bytes: number;
  readonly direction?: 'download' | 'upload';
  readonly seed?: number;
  /** Bytes a second; as fast as it goes unless told. */
  readonly rate_bytes?: number;
  /** Longest silence on the connection; 20 s unless told. */
  readonly silence_ms?: number;
}

function program(name: ProgramName): string {
  return fileURLToPath(new URL(`./programs/${name}.ts`, import.meta.url));
}

function flag(name: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [`--${name}`, String(value)];
}

/** Starts an echo server on a host and waits until it listens. */
export async function startEchoServer(host: Host, options: EchoServerOptions): Promise<LabProcess> {
  const args = [
    ...[program('echo-server'), ...flag('name', options.name), ...flag('port', options.port)],
    ...[...flag('address', options.address), ...flag('protocol', options.protocol)],
  ];
  const server = host.spawn(process.execPath, args, { name: `echo-${options.name}` });
  await server.waitForLog('listening on');
  return server;
}

/** Opens connections from a host and returns the count of what came back. */
export async function connectMany(host: Host, options: ConnectOptions): Promise<ConnectorSummary> {
  const connections = options.connections ?? options.targets.length;
  const concurrency = options.concurrency ?? 16;
  const timeout_ms = options.timeout_ms ?? 5_000;
  const args = [
    ...[program('connector'), ...options.targets.flatMap((target) => flag('target', target))],
    ...[
      ...flag('connections', connections),
      ...flag('concurrency', concurrency),
      ...flag('timeout', timeout_ms),
    ],
    ...[...flag('protocol', options.protocol), ...flag('host', options.host), ...flag('path', options.path)],
  ];
  const limit_ms = 15_000 + Math.ceil(connections / concurrency) * timeout_ms;
  return JSON.parse(await host.run(process.execPath, args, { timeout_ms: limit_ms })) as ConnectorSummary;
}

/** Starts a bulk server on a host and waits until it listens. */
export async function startBulkServer(
  host: Host,
  options: { readonly port: number; readonly address?: string; readonly name?: string },
): Promise<LabProcess> {
  const args = [program('bulk-server'), ...flag('port', options.port), ...flag('address', options.address)];
  const server = host.spawn(process.execPath, [...args, ...flag('name', options.name)], {
    name: 'bulk-server',
  });
  await server.waitForLog('listening on');
  return server;
}

/** A transfer under way. */
export class Transfer {
  readonly process: LabProcess;

  constructor(process: LabProcess) {
    this.process = process;
  }

  /** Bytes moved so far, in steps of 5 %. */
  get moved_bytes(): number {
    const steps = [...this.process.logs().matchAll(/"moved_bytes":(\d+)/g)];
    return Number(steps.at(-1)?.[1] ?? 0);
  }

  /** Waits until a part of it has moved, say the half, to disturb it then. */
  async reached(share: number, timeout_ms = 60_000): Promise<void> {
    const marker = new RegExp(`(?:"moved_bytes":\\d+[^]*?){${Math.max(1, Math.floor(share * 20))}}|"sha256"`);
    await this.process.waitForLog(marker, timeout_ms);
  }

  /** Waits for the end. @throws Error with its log if the connection broke or the bytes were not the right ones */
  async finished(timeout_ms = 120_000): Promise<BulkResult> {
    await this.process.waitForLog('"expected_sha256"', timeout_ms);
    const line = this.process.logs().trimEnd().split('\n').at(-1) ?? '';
    const result = JSON.parse(line) as BulkResult;
    if (result.sha256 !== result.expected_sha256) throw this.process.failure('moved wrong bytes');
    return result;
  }
}

/** Starts a transfer from or to a bulk server. */
export function startTransfer(host: Host, options: TransferOptions): Transfer {
  const args = [
    ...[program('bulk-client'), ...flag('target', options.target), ...flag('size', options.size_bytes)],
    ...[...flag('direction', options.direction), ...flag('seed', options.seed)],
    ...[...flag('rate', options.rate_bytes), ...flag('timeout', options.silence_ms)],
  ];
  return new Transfer(host.spawn(process.execPath, args, { name: 'bulk-client' }));
}
