/**
 * `bulk-client.ts --target A:P --size BYTES [--direction download|upload] [--seed N] [--rate BYTES_PER_S]
 * [--timeout MS]`: moves a stream from or to the bulk server and compares it with what the seed gives.
 *
 * Prints a line of JSON for every 5 % moved, `{ "moved_bytes": … }`, and at the end `{ direction, size_bytes,
 * sha256, expected_sha256, duration_ms }`. Exit code 1 if the two differ or the connection breaks.
 */
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BulkResult } from '../traffic.ts';
import { hostAndPort, integer, readFlags, text } from './options.ts';
import { digestOf, streamOf } from './stream.ts';

const flags = readFlags(['target', 'size', 'direction', 'seed', 'rate', 'timeout']);
const { host, port } = hostAndPort(text(flags, 'target'));
const size_bytes = integer(flags, 'size');
const direction = text(flags, 'direction', 'download');
const seed = integer(flags, 'seed', 1);
const rate_bytes = integer(flags, 'rate', 0);
/** Longest silence that is taken. */
const timeout_ms = integer(flags, 'timeout', 20_000, 1);
if (direction !== 'download' && direction !== 'upload') throw new Error(`--direction: '${direction}'`);

const progressStep_bytes = Math.max(1, Math.floor(size_bytes / 20));
let reported_bytes = 0;

function progress(moved_bytes: number): void {
  if (moved_bytes - reported_bytes < progressStep_bytes) return;
  reported_bytes = moved_bytes;
  console.log(JSON.stringify({ moved_bytes }));
}

async function download(socket: Socket): Promise<{ size_bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let received_bytes = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    hash.update(chunk);
    received_bytes += chunk.length;
    progress(received_bytes);
  }
  return { size_bytes: received_bytes, sha256: hash.digest('hex') };
}

async function upload(socket: Socket): Promise<{ size_bytes: number; sha256: string }> {
  const start = performance.now();
  let sent_bytes = 0;
  for (const chunk of streamOf(seed, size_bytes)) {
    if (!socket.write(chunk)) await new Promise((resolve) => socket.once('drain', resolve));
    sent_bytes += chunk.length;
    progress(sent_bytes);
    if (rate_bytes === 0) continue;
    const ahead_ms = (sent_bytes / rate_bytes) * 1_000 - (performance.now() - start);
    if (ahead_ms > 1) await sleep(ahead_ms);
  }
  let line = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) line += chunk.toString('utf8');
  return JSON.parse(line) as { size_bytes: number; sha256: string };
}

const start = performance.now();
const socket = connect({ host, port });
const fail = (error: Error): never => {
  console.error(`bulk-client: ${error.message}`);
  process.exit(1);
};
socket.setTimeout(timeout_ms, () => fail(new Error(`nothing moved for ${timeout_ms} ms`)));
socket.on('error', fail);
socket.write(`${JSON.stringify({ direction, size_bytes, seed, rate_bytes })}\n`);
const moved = await (direction === 'download' ? download(socket) : upload(socket));
const result: BulkResult = {
  direction,
  ...moved,
  expected_sha256: digestOf(seed, size_bytes),
  duration_ms: Math.round(performance.now() - start),
};
console.log(JSON.stringify(result));
process.exitCode = result.sha256 === result.expected_sha256 ? 0 : 1;
