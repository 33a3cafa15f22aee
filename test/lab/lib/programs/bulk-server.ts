/**
 * `bulk-server.ts --port P [--address A] [--name N]`: sends or takes a large reproducible stream.
 *
 * A connection begins with one line of JSON `{ direction: 'download' | 'upload', size_bytes, seed, rate_bytes }`
 * (rate 0: as fast as it goes). A download is then sent, no faster than `rate_bytes` a second, and the connection
 * closed; an upload is read and answered with a line `{ endpoint, size_bytes, sha256 }`. Prints `listening`.
 */
import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { integer, readFlags, showAddress, text } from './options.ts';
import { streamOf } from './stream.ts';

const requestLimit_bytes = 1_024;
const sizeLimit_bytes = 64 * 1024 ** 3;

const flags = readFlags(['name', 'port', 'address']);
const endpoint = text(flags, 'name', 'bulk');
const port = integer(flags, 'port', undefined, 1);
const address = text(flags, 'address', '0.0.0.0');

interface Request {
  readonly direction: 'download' | 'upload';
  readonly size_bytes: number;
  readonly seed: number;
  readonly rate_bytes: number;
}

function parseRequest(line: string): Request {
  const { direction, size_bytes, seed, rate_bytes } = JSON.parse(line) as Request;
  if (direction !== 'download' && direction !== 'upload') throw new Error('no direction');
  if (!Number.isSafeInteger(size_bytes) || size_bytes < 0 || size_bytes > sizeLimit_bytes)
    throw new Error('size');
  return { direction, size_bytes, seed: Number(seed), rate_bytes: Number(rate_bytes) || 0 };
}

async function send(socket: Socket, request: Request): Promise<void> {
  const start = performance.now();
  let sent_bytes = 0;
  for (const chunk of streamOf(request.seed, request.size_bytes)) {
    if (socket.destroyed) return;
    if (!socket.write(chunk)) await drained(socket);
    sent_bytes += chunk.length;
    if (request.rate_bytes === 0) continue;
    const ahead_ms = (sent_bytes / request.rate_bytes) * 1_000 - (performance.now() - start);
    if (ahead_ms > 1) await sleep(ahead_ms);
  }
  socket.end();
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

function receive(socket: Socket, first: Buffer, request: Request): void {
  const hash = createHash('sha256');
  let size_bytes = 0;
  const take = (chunk: Buffer): void => {
    hash.update(chunk);
    size_bytes += chunk.length;
    if (size_bytes < request.size_bytes) return;
    socket.removeListener('data', take);
    socket.end(`${JSON.stringify({ endpoint, size_bytes, sha256: hash.digest('hex') })}\n`);
  };
  socket.on('data', take);
  take(first);
}

const server = createServer({ allowHalfOpen: true }, (socket) => {
  let head = Buffer.alloc(0);
  const readHead = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const lineEnd = head.indexOf(10);
    if (lineEnd < 0) {
      if (head.length > requestLimit_bytes) socket.destroy();
      return;
    }
    socket.removeListener('data', readHead);
    try {
      const request = parseRequest(head.toString('utf8', 0, lineEnd));
      if (request.direction === 'upload') receive(socket, head.subarray(lineEnd + 1), request);
      else void send(socket, request);
    } catch {
      socket.destroy();
    }
  };
  socket.on('error', () => socket.destroy());
  socket.on('data', readHead);
});
server.listen({ host: address, port }, () => console.log(`listening on ${showAddress(address, port)}`));
