/**
 * `connector.ts --target A:P… [--connections N] [--concurrency C] [--protocol http|tcp|udp] [--host H] [--path P]
 * [--timeout MS]`: opens N connections to the echo server, over the targets in turn, C at a time, and prints one
 * JSON summary (`ConnectorSummary` in traffic.ts). A failed connection is counted by its error, not retried.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { ConnectorSummary } from '../traffic.ts';
import { hostAndPort, integer, readFlags, text } from './options.ts';

/** Most bytes that one answer may have. */
const answerLimit_bytes = 64 * 1024;
/** Largest number of different client addresses that the summary lists. */
const clientListLimit = 100;

const flags = readFlags(['target', 'connections', 'concurrency', 'protocol', 'host', 'path', 'timeout']);
const targets = flags.target ?? [];
const connections = integer(flags, 'connections', 1, 1);
const concurrency = integer(flags, 'concurrency', 16, 1);
const timeout_ms = integer(flags, 'timeout', 5_000, 1);
const protocol = text(flags, 'protocol', 'http');
const path = text(flags, 'path', '/');

interface Answer {
  readonly endpoint: string;
  readonly client: string;
}

/** An error that the summary counts under its code. */
class Failed extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

function parseAnswer(json: string): Answer {
  try {
    const { endpoint, client } = JSON.parse(json) as Partial<Answer>;
    if (typeof endpoint === 'string' && typeof client === 'string') return { endpoint, client };
  } catch {
    // Told apart from a well-formed answer below.
  }
  throw new Failed('BAD_ANSWER');
}

/** One TCP connection: sends `head`, reads until the other side closes or `complete` says so. */
function overTcp(
  target: string,
  head: string,
  complete: (received: string) => string | undefined,
): Promise<Answer> {
  const { host, port } = hostAndPort(target);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    let received = '';
    const fail = (code: string): void => {
      socket.destroy();
      reject(new Failed(code));
    };
    socket.setTimeout(timeout_ms, () => fail('TIMEOUT'));
    socket.setEncoding('utf8');
    socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? 'ERROR'));
    socket.on('connect', () => socket.write(head));
    socket.on('data', (chunk: string) => {
      received += chunk;
      if (received.length > answerLimit_bytes) return fail('TOO_LONG');
      try {
        const json = complete(received);
        if (json === undefined) return;
        resolve(parseAnswer(json));
        socket.end();
      } catch (error) {
        socket.destroy();
        reject(error);
      }
    });
    socket.on('close', () => reject(new Failed('CLOSED_EARLY')));
  });
}

function overHttp(target: string): Promise<Answer> {
  const host = text(flags, 'host', target);
  const head = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  return overTcp(target, head, (received) => {
    const headEnd = received.indexOf('\r\n\r\n');
    if (headEnd < 0) return undefined;
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(received)?.[1];
    if (status !== '200') throw new Failed(`HTTP_${status ?? 'BAD'}`);
    const body = received.slice(headEnd + 4);
    return body.endsWith('\n') ? body : undefined;
  });
}

function overPlainTcp(target: string): Promise<Answer> {
  return overTcp(target, '', (received) =>
    received.includes('\n') ? received.slice(0, received.indexOf('\n')) : undefined,
  );
}

function overUdp(target: string): Promise<Answer> {
  const { host, port } = hostAndPort(target);
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const timer = setTimeout(() => finish(() => reject(new Failed('TIMEOUT'))), timeout_ms);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.close();
      settle();
    };
    socket.once('error', (error: NodeJS.ErrnoException) =>
      finish(() => reject(new Failed(error.code ?? 'ERROR'))),
    );
    socket.once('message', (data) =>
      finish(() => {
        try {
          resolve(parseAnswer(data.toString('utf8')));
        } catch (error) {
          reject(error);
        }
      }),
    );
    socket.connect(port, host, () => socket.send('ping'));
  });
}

function percentile(sorted: readonly number[], share: number): number {
  return Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2));
}

async function main(): Promise<void> {
  const open = { http: overHttp, tcp: overPlainTcp, udp: overUdp }[protocol];
  if (open === undefined) throw new Error(`--protocol: '${protocol}' is not http, tcp or udp`);
  if (targets.length === 0) throw new Error('--target is missing');
  const summary: ConnectorSummary = {
    connections,
    succeeded: 0,
    errors: {},
    endpoints: {},
    targets: Object.fromEntries(targets.map((target) => [target, {}])),
    clients: {},
    latency_ms: { median: 0, p99: 0, longest: 0 },
    duration_ms: 0,
  };
  const latencies_ms: number[] = [];
  const count = (counters: Record<string, number>, key: string): void => {
    counters[key] = (counters[key] ?? 0) + 1;
  };
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let number = next++; number < connections; number = next++) {
      const target = targets[number % targets.length] ?? '';
      const start = performance.now();
      try {
        const { endpoint, client } = await open(target);
        latencies_ms.push(performance.now() - start);
        summary.succeeded++;
        count(summary.endpoints, endpoint);
        const ofTarget = summary.targets[target];
        if (ofTarget !== undefined) count(ofTarget, endpoint);
        const clientAddress = client.slice(0, client.lastIndexOf(':'));
        const known =
          clientAddress in summary.clients || Object.keys(summary.clients).length < clientListLimit;
        count(summary.clients, known ? clientAddress : 'others');
      } catch (error) {
        count(summary.errors, error instanceof Failed ? error.code : 'INTERNAL');
      }
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: Math.min(concurrency, connections) }, worker));
  summary.duration_ms = Math.round(performance.now() - start);
  latencies_ms.sort((a, b) => a - b);
  summary.latency_ms = {
    median: percentile(latencies_ms, 0.5),
    p99: percentile(latencies_ms, 0.99),
    longest: percentile(latencies_ms, 1),
  };
  console.log(JSON.stringify(summary));
}

await main();
