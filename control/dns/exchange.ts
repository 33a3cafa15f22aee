/** One query to one upstream server and its validated reply, over UDP or TCP. */
import { randomInt } from 'node:crypto';
import dgram from 'node:dgram';
import net from 'node:net';
import { FrameReader, frame } from './framing.ts';
import { isReplyTo, maxMessage_bytes, withId } from './message.ts';
import type { Upstream } from './resolv-conf.ts';

/** How an exchange ended. `reply` still carries the id that was used upstream. */
export type ExchangeResult = { kind: 'reply'; bytes: Buffer } | { kind: 'timeout' } | { kind: 'error' };

export type Exchange = {
  upstream: Upstream;
  /** Query as the client sent it; only its id is changed. */
  query: Buffer;
  question: Buffer;
  timeout_ms: number;
  signal: AbortSignal;
  /** Called for every reply that is not the one waited for. */
  onMismatch: () => void;
};

/** Runs `start`, which gets a function to settle with, under a time limit and an abort signal. */
function settleOnce(
  exchange: Exchange,
  start: (settle: (result: ExchangeResult) => void) => () => void,
): Promise<ExchangeResult> {
  if (exchange.signal.aborted) return Promise.resolve({ kind: 'error' });
  return new Promise((resolve) => {
    let settled = false;
    let release: (() => void) | undefined;
    const settle = (result: ExchangeResult) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      exchange.signal.removeEventListener('abort', onAbort);
      release?.();
      resolve(result);
    };
    const onAbort = () => settle({ kind: 'error' });
    const timer = setTimeout(() => settle({ kind: 'timeout' }), exchange.timeout_ms);
    exchange.signal.addEventListener('abort', onAbort);
    release = start(settle);
    if (settled) release();
  });
}

/**
 * Asks over UDP. Every exchange has a socket of its own, so that the kernel chooses a random source port, and it
 * is connected, so that only the upstream's datagrams reach it and a closed port is noticed at once; together
 * with a random id this is what RFC 5452 asks for.
 */
export function exchangeUdp(exchange: Exchange): Promise<ExchangeResult> {
  return settleOnce(exchange, (settle) => {
    const { upstream, query, question } = exchange;
    const id = randomInt(0x10000);
    const socket = dgram.createSocket(net.isIPv6(upstream.address) ? 'udp6' : 'udp4');
    socket.on('error', () => settle({ kind: 'error' }));
    socket.on('message', (bytes) => {
      if (isReplyTo(bytes, id, question)) settle({ kind: 'reply', bytes });
      else exchange.onMismatch();
    });
    let closed = false;
    socket.connect(upstream.port, upstream.address, (error?: Error | null) => {
      if (closed) return;
      if (error) return settle({ kind: 'error' });
      socket.send(withId(query, id), (failure) => {
        if (failure) settle({ kind: 'error' });
      });
    });
    return () => {
      closed = true;
      socket.close();
    };
  });
}

/** Asks over TCP, on a connection of its own. */
export function exchangeTcp(exchange: Exchange): Promise<ExchangeResult> {
  return settleOnce(exchange, (settle) => {
    const { upstream, query, question } = exchange;
    const id = randomInt(0x10000);
    const reader = new FrameReader(maxMessage_bytes);
    const socket = net.connect({ host: upstream.address, port: upstream.port });
    socket.on('connect', () => socket.write(frame(withId(query, id))));
    socket.on('data', (chunk) => {
      if (typeof chunk === 'string') return; // never: no encoding was set
      const messages = reader.push(chunk);
      const reply = messages?.find((bytes) => isReplyTo(bytes, id, question));
      if (reply !== undefined) settle({ kind: 'reply', bytes: reply });
      else if (messages === undefined) settle({ kind: 'error' });
      else if (messages.length > 0) exchange.onMismatch();
    });
    socket.on('error', () => settle({ kind: 'error' }));
    socket.on('close', () => settle({ kind: 'error' }));
    return () => socket.destroy();
  });
}
