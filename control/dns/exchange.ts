/** One query to one upstream server and its validated reply, over UDP or TCP. */
import { randomInt } from 'node:crypto';
import net from 'node:net';
import { FrameReader, frame } from './framing.ts';
import { isReplyTo, maxMessage_bytes, withId } from './message.ts';
import type { Upstream } from './resolv-conf.ts';
import type { UpstreamSockets } from './upstream-sockets.ts';

/** How an exchange ended. `reply` still carries the id that was used upstream. */
export type ExchangeResult = { kind: 'reply'; bytes: Buffer } | { kind: 'timeout' } | { kind: 'error' };

export type Exchange = {
  upstream: Upstream;
  /** Query as the client sent it; only its id is changed. */
  query: Buffer;
  question: Buffer;
  timeout_ms: number;
  signal: AbortSignal;
  /** Called for every message on its connection that is not the reply waited for. */
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

/** Asks over UDP, from one of `sockets`. */
export function exchangeUdp(exchange: Exchange, sockets: UpstreamSockets): Promise<ExchangeResult> {
  const { upstream, query, question } = exchange;
  return settleOnce(exchange, (settle) =>
    sockets.ask(upstream, {
      query,
      question,
      onReply: (bytes) => settle({ kind: 'reply', bytes }),
      onError: () => settle({ kind: 'error' }),
    }),
  );
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
