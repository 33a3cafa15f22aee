/** The answering side of calls between nodes. */
import type { TLSSocket } from 'node:tls';
import { shoalError, toShoalError } from '../../errors.ts';
import { encodeFrame, FrameReader } from '../../raft/frames.ts';
import type { Peer } from '../types.ts';
import { type Call, jsonBytes, parseJson, rpcKinds, rpcLimits } from './protocol.ts';

/** One frame of a stream: an event as JSON, a snapshot as bytes, or a sign of life. */
export type StreamItem = { kind: 'event' | 'ping'; value: unknown } | { kind: 'snapshot'; bytes: Uint8Array };

/** Answers a call. `peer` is null for one who has no certificate. */
export type Method = (params: unknown, peer: Peer | null) => Promise<unknown>;
/** Answers a call by a stream. It ends when `signal` aborts: the caller is gone. */
export type StreamMethod = (
  params: unknown,
  peer: Peer | null,
  signal: AbortSignal,
) => AsyncIterable<StreamItem>;

/** What a node answers to. Those in `open` need no certificate. */
export type Methods = {
  calls: Record<string, Method>;
  streams: Record<string, StreamMethod>;
  open: ReadonlySet<string>;
};

/** Time after which one without certificate is disconnected, whatever it does. */
const stranger_ms = 30_000;
/** Silence after which a caller is disconnected. */
const idle_ms = 60_000;

/** Serves one connection until it closes. */
export function serveCalls(socket: TLSSocket, peer: Peer | null, methods: Methods): void {
  const reader = new FrameReader(peer === null ? rpcLimits.strangerFrame_bytes : rpcLimits.callFrame_bytes);
  const gone = new AbortController();
  let calls = 0;
  const lifetime = peer === null ? setTimeout(() => socket.destroy(), stranger_ms) : null;
  socket.setTimeout(idle_ms, () => socket.destroy());
  socket.once('close', () => {
    if (lifetime !== null) clearTimeout(lifetime);
    gone.abort();
  });
  const limit = peer === null ? 1 : rpcLimits.callsPerConnection;
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const { kind, payload } of reader.push(chunk)) {
        if (kind !== rpcKinds.call) continue;
        const call = parseCall(payload);
        if (calls >= limit) {
          reply(socket, call.id, shoalError('OVERLOADED', { what: 'calls', limit }));
          continue;
        }
        calls += 1;
        void answer(socket, peer, methods, call, gone.signal).finally(() => {
          calls -= 1;
        });
      }
    } catch {
      socket.destroy();
    }
  });
}

function parseCall(payload: Buffer): Call {
  const call = parseJson(payload) as Partial<Call> | null;
  if (typeof call?.id !== 'number' || typeof call.method !== 'string') throw new Error('not a call');
  return { id: call.id, method: call.method, params: call.params };
}

function reply(socket: TLSSocket, id: number, error: unknown): void {
  if (!socket.destroyed) socket.write(encodeFrame(rpcKinds.error, jsonBytes({ id, error })));
}

async function answer(
  socket: TLSSocket,
  peer: Peer | null,
  { calls, streams, open }: Methods,
  { id, method, params }: Call,
  signal: AbortSignal,
): Promise<void> {
  try {
    if (peer === null && !open.has(method)) throw shoalError('UNAUTHENTICATED');
    const call = Object.hasOwn(calls, method) ? calls[method] : undefined;
    const stream = Object.hasOwn(streams, method) ? streams[method] : undefined;
    if (call !== undefined) {
      const value = await call(params, peer);
      if (!socket.destroyed)
        socket.write(encodeFrame(rpcKinds.value, jsonBytes({ id, value: value ?? null })));
    } else if (stream !== undefined) {
      for await (const item of stream(params, peer, signal)) await writeItem(socket, item, signal);
      socket.end();
    } else throw shoalError('BAD_REQUEST', { reason: `"${method.slice(0, 64)}" is not a method` });
  } catch (error) {
    reply(socket, id, toShoalError(error));
  }
}

/** Writes one item; waits when the caller is slow, and gives it up when it takes nothing for too long. */
async function writeItem(socket: TLSSocket, item: StreamItem, signal: AbortSignal): Promise<void> {
  if (socket.destroyed) return;
  if (item.kind === 'snapshot') socket.write(encodeFrame(rpcKinds.snapshot, item.bytes));
  else socket.write(encodeFrame(rpcKinds[item.kind], jsonBytes(item.value)));
  if (socket.writableLength <= rpcLimits.waiting_bytes || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      socket.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(() => socket.destroy(), rpcLimits.stalled_ms);
    socket.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
  });
}
