/** One check of one endpoint: a TCP connection, or an HTTP request over one. */
import net from 'node:net';
import { StatusReader } from './http-status.ts';
import type { Outcome } from './machine.ts';
import type { CheckTarget } from './plan.ts';

/** Checks an endpoint. Never rejects; an abort ends it as inconclusive. */
export type Probe = (target: CheckTarget, signal: AbortSignal) => Promise<Outcome>;

/** Failures that say something about the endpoint, in the words of a report; all others are this node's own. */
const failures: Record<string, { reason: string; definite: boolean }> = {
  ECONNREFUSED: { reason: 'connection refused', definite: true },
  ECONNRESET: { reason: 'connection reset', definite: true },
  EPIPE: { reason: 'connection reset', definite: true },
  EHOSTUNREACH: { reason: 'no route to host', definite: false },
  ENETUNREACH: { reason: 'network unreachable', definite: false },
  ENONET: { reason: 'network unreachable', definite: false },
  EHOSTDOWN: { reason: 'host is down', definite: false },
  ETIMEDOUT: { reason: 'no answer', definite: false },
  EACCES: { reason: 'connection forbidden', definite: true },
  EPERM: { reason: 'connection forbidden', definite: true },
};

function outcomeOfError(error: NodeJS.ErrnoException): Outcome {
  const known = failures[error.code ?? ''];
  if (known !== undefined) return { kind: 'fail', ...known };
  return { kind: 'inconclusive', reason: `this node cannot check: ${error.code ?? error.message}` };
}

/** How late a timer may fire before the event loop, rather than the endpoint, is to blame. */
const tolerableLateness_ms = 20;

/**
 * Calls `onTimeout` after `timeout_ms`, but grants time lost to a stalled event loop back once, and lets I/O that
 * is ready go first: a busy agent must not declare healthy endpoints dead. Returns the function that cancels it.
 */
function fairTimeout(timeout_ms: number, onTimeout: () => void): () => void {
  let immediate: NodeJS.Immediate | undefined;
  const expire = () => {
    immediate = setImmediate(onTimeout);
  };
  const due_ms = performance.now() + timeout_ms;
  let timer = setTimeout(() => {
    const late_ms = performance.now() - due_ms;
    if (late_ms > tolerableLateness_ms) timer = setTimeout(expire, Math.min(late_ms, timeout_ms));
    else expire();
  }, timeout_ms);
  return () => {
    clearTimeout(timer);
    if (immediate !== undefined) clearImmediate(immediate);
  };
}

/** Percent-encodes what may not stand in a request target (RFC 9112 section 3.2), line ends above all. */
function requestTarget(path: string): string {
  const encode = (octet: number) => `%${octet.toString(16).toUpperCase().padStart(2, '0')}`;
  return path.replace(/[^\x21-\x7e]+/g, (text) => Array.from(Buffer.from(text), encode).join(''));
}

function requestText(target: CheckTarget): string {
  return [
    `GET ${requestTarget(target.check.path)} HTTP/1.1`,
    `Host: ${target.host}`,
    'User-Agent: shoal-health',
    'Accept: */*',
    'Connection: close',
    '',
    '',
  ].join('\r\n');
}

/**
 * A connection to a port of this machine on which nothing listens can meet itself when the kernel picks that very
 * port as its source (TCP simultaneous open, RFC 9293 section 3.5). That is no sign of life.
 */
function isSelfConnection(socket: net.Socket): boolean {
  return socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress;
}

function readStatus(socket: net.Socket, settle: (outcome: Outcome) => void): void {
  const reader = new StatusReader();
  const fail = (reason: string, definite: boolean) => settle({ kind: 'fail', reason, definite });
  socket.on('data', (chunk) => {
    if (typeof chunk === 'string') return; // never: no encoding was set
    const result = reader.push(chunk);
    if (result === undefined) return;
    if (result.kind === 'invalid') fail('the answer is not HTTP', false);
    else if (result.status >= 200 && result.status <= 399) settle({ kind: 'pass' });
    else fail(`HTTP ${result.status}`, false);
  });
  socket.on('end', () => fail('connection closed without an answer', true));
}

/** The probe of the agent: real sockets. TCP passes once connected, HTTP with a status from 200 to 399. */
export const probe: Probe = (target, signal) => {
  if (signal.aborted) return Promise.resolve({ kind: 'inconclusive', reason: 'stopped' });
  return new Promise((resolve) => {
    const socket = net.connect({ host: target.address, port: target.port, noDelay: true });
    let settled = false;
    const settle = (outcome: Outcome) => {
      if (settled) return;
      settled = true;
      cancelTimeout();
      signal.removeEventListener('abort', onAbort);
      // A reset leaves no TIME_WAIT behind: checks several times a second would pile up thousands.
      if (socket.connecting || socket.destroyed) socket.destroy();
      else socket.resetAndDestroy();
      resolve(outcome);
    };
    const onAbort = () => settle({ kind: 'inconclusive', reason: 'stopped' });
    const cancelTimeout = fairTimeout(target.check.timeout_ms, () => {
      settle({ kind: 'fail', reason: `no answer within ${target.check.timeout_ms} ms`, definite: false });
    });
    signal.addEventListener('abort', onAbort);
    socket.on('error', (error) => settle(outcomeOfError(error)));
    socket.on('connect', () => {
      if (isSelfConnection(socket)) {
        settle({ kind: 'fail', reason: 'connection refused', definite: true });
      } else if (target.check.kind === 'tcp') {
        settle({ kind: 'pass' });
      } else {
        readStatus(socket, settle);
        socket.write(requestText(target));
      }
    });
  });
};
