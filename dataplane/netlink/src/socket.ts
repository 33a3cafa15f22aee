import { Buffer } from 'node:buffer';
import { align } from './codec/attributes.ts';
import {
  MESSAGE_HEADER_SIZE_BYTES,
  type NetlinkMessage,
  NLM_F,
  NLMSG,
  parseMessages,
  writeMessage,
} from './codec/message.ts';
import { NetlinkError, SystemCallError } from './errors.ts';
import type { ReadableWatcher } from './ffi.ts';
import type { NetnsRef } from './netns.ts';
import { asError, conclude, newPending, type Pending, PendingQueue } from './pending.ts';
import type { BatchResult, InterfaceRef, NetlinkRequest } from './request.ts';
import { type NetlinkProtocol, NetlinkTransport, type Transport } from './transport.ts';

/** How many requests may be unanswered at once: bounds what the replies take of the receive buffer. */
export const MAX_IN_FLIGHT = 256;
/** How many requests may wait for their turn; more are refused with ENOBUFS. */
export const MAX_QUEUED = 1_000_000;
/** Requests are packed into datagrams up to this size, which bounds how long one send holds the thread. */
export const MAX_SEND_SIZE_BYTES = 16 * 1024;
/** How many datagrams are taken in one turn of the event loop. */
const MAX_DATAGRAMS_PER_TURN = 256;
/** How many messages one dump may consist of. */
export const MAX_DUMP_MESSAGES = 5_000_000;
const DEFAULT_RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 10_000;
/** How long `requestSync` sleeps at most before it looks at the deadlines. */
const SYNC_WAIT_MS = 50;
const ERRNO = { ENOBUFS: 105, ETIMEDOUT: 110, ECANCELED: 125 } as const;

/** How to open a socket. */
export interface NetlinkSocketOptions {
  /** The namespace to speak to; the calling thread's if left out. */
  readonly netns?: NetnsRef | undefined;
  /** Which part of the kernel to speak to; `route` if left out. */
  readonly protocol?: NetlinkProtocol;
  /** Room for replies that have not been read. */
  readonly receiveBuffer_bytes?: number;
  /** How long to wait for the kernel before a request fails with ETIMEDOUT. */
  readonly timeout_ms?: number;
}

/** What a socket has done so far. */
export interface NetlinkCounters {
  requests: number;
  datagramsSent: number;
  datagramsReceived: number;
  /** Dumps read again since something changed while they ran. */
  dumpsRetried: number;
  /** Messages that answer no request, and datagrams that were not the kernel's. */
  unexpectedMessages: number;
  /** Times that the receive buffer was full and replies were lost. */
  overruns: number;
}

/**
 * A netlink socket with any number of requests in flight. Requests are packed into few datagrams, matched to their
 * replies by sequence number, and dumps (of which the kernel runs one at a time per socket) take turns.
 */
export class NetlinkSocket implements Disposable {
  /** What the socket has done so far. */
  readonly counters: NetlinkCounters = {
    requests: 0,
    datagramsSent: 0,
    datagramsReceived: 0,
    dumpsRetried: 0,
    unexpectedMessages: 0,
    overruns: 0,
  };
  readonly #transport: Transport;
  readonly #timeout_ms: number;
  readonly #inFlight = new Map<number, Pending>();
  readonly #queue = new PendingQueue();
  #sequence = 0;
  #dumpRunning = false;
  #flushScheduled = false;
  #watcher: ReadableWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #open = true;
  readonly #sendBuffer = Buffer.allocUnsafeSlow(MAX_SEND_SIZE_BYTES);

  private constructor(transport: Transport, timeout_ms: number) {
    this.#transport = transport;
    this.#timeout_ms = timeout_ms;
  }

  /** Opens a socket, which stays in its namespace whatever the thread does later. @throws SystemCallError */
  static open(options: NetlinkSocketOptions = {}): NetlinkSocket {
    const transport = new NetlinkTransport({
      netns: options.netns,
      protocol: options.protocol ?? 'route',
      receiveBuffer_bytes: options.receiveBuffer_bytes ?? DEFAULT_RECEIVE_BUFFER_BYTES,
    });
    return NetlinkSocket.over(transport, options.timeout_ms);
  }

  /** A socket over a transport that exists already, which it takes over: a recorded kernel, for instance. */
  static over(transport: Transport, timeout_ms = DEFAULT_TIMEOUT_MS): NetlinkSocket {
    return new NetlinkSocket(transport, timeout_ms);
  }

  /**
   * Runs one request. It keeps the process alive until it is answered.
   * @returns the decoded answer
   * @throws NetlinkError when the kernel refuses, MalformedMessageError when its answer makes no sense
   */
  request<T>(request: NetlinkRequest<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#enqueue(request, (result) => {
        if (result.ok) resolve(result.value as T);
        else reject(result.error);
      });
      this.#scheduleFlush();
    });
  }

  /**
   * Runs many requests in few datagrams. One that fails does not keep the others from running.
   * @returns the outcomes, in the order of the requests
   */
  batch<T>(requests: readonly NetlinkRequest<T>[]): Promise<BatchResult<T>[]> {
    return new Promise((resolve) => {
      const results: BatchResult<T>[] = new Array(requests.length);
      let missing = requests.length;
      if (missing === 0) resolve(results);
      for (const [index, request] of requests.entries()) {
        this.#enqueue(request, (result) => {
          results[index] = result as BatchResult<T>;
          missing -= 1;
          if (missing === 0) resolve(results);
        });
      }
      this.#scheduleFlush();
    });
  }

  /**
   * Runs one request and blocks the thread until it is answered, for use where nothing may be awaited. Requests that
   * are in flight on the same socket go on, and are settled as usual.
   * @throws as `request` does
   */
  requestSync<T>(request: NetlinkRequest<T>): T {
    const outcome: { result?: BatchResult<unknown> } = {};
    this.#enqueue(request, (result) => {
      outcome.result = result;
    });
    this.#flush();
    while (outcome.result === undefined) {
      if (!this.#receiveOnce()) this.#transport.wait(SYNC_WAIT_MS);
      this.#expire();
      this.#flush();
    }
    if (this.#open) this.#updateWatch();
    if (!outcome.result.ok) throw outcome.result.error;
    return outcome.result.value as T;
  }

  /** The index of an interface in the socket's namespace. @throws NetlinkError ENODEV when there is none of that name */
  interfaceIndex(ref: InterfaceRef): number {
    if (typeof ref === 'number') return ref;
    try {
      return this.#transport.interfaceIndex(ref);
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      throw new NetlinkError(`find interface ${ref}`, error.errno);
    }
  }

  /** Closes the socket. What is in flight or queued fails with ECANCELED. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#timer);
    this.#watcher?.close();
    this.#transport[Symbol.dispose]();
    this.#failAll(ERRNO.ECANCELED, 'the socket was closed');
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #enqueue(request: NetlinkRequest<unknown>, settle: Pending['settle']): void {
    this.counters.requests += 1;
    if (!this.#open) {
      settle({
        ok: false,
        error: new NetlinkError(request.what, ERRNO.ECANCELED, { message: 'the socket is closed' }),
      });
      return;
    }
    if (this.#queue.length >= MAX_QUEUED) {
      const message = `${MAX_QUEUED} requests are waiting already`;
      settle({ ok: false, error: new NetlinkError(request.what, ERRNO.ENOBUFS, { message }) });
      return;
    }
    this.#queue.push(newPending(request, settle));
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      this.#advance();
    });
  }

  /** Goes on with the queue in another turn of the event loop, so that a long batch does not hold it. */
  #continueLater(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#advance();
    });
  }

  /** Sends what may be sent, takes what is there, and leaves the rest to the event loop. */
  #advance(): void {
    if (!this.#open) return;
    this.#flush();
    for (let turn = 0; turn < MAX_DATAGRAMS_PER_TURN && this.#open; turn++) {
      if (!this.#receiveOnce()) break;
    }
    if (this.#open) this.#updateWatch();
  }

  #updateWatch(): void {
    const busy = this.#inFlight.size > 0 || this.#queue.length > 0;
    if (busy) {
      this.#watcher ??= this.#transport.watch(() => this.#advance());
      this.#watcher.keepAlive(true);
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        this.#expire();
        this.#advance();
      }, this.#timeout_ms);
    } else {
      this.#watcher?.keepAlive(false);
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
  }

  /** Packs one datagram from the queue and sends it. */
  #flush(): void {
    let size = 0;
    const sent: [number, Pending][] = [];
    while (this.#queue.length > 0 && this.#inFlight.size < MAX_IN_FLIGHT) {
      const pending = this.#queue.peek();
      if (pending === undefined || (pending.isDump && (this.#dumpRunning || sent.length > 0))) break;
      const body = this.#encode(pending);
      if (body === undefined) {
        this.#queue.drop();
        continue;
      }
      const length = align(MESSAGE_HEADER_SIZE_BYTES + body.length);
      if (size + length > MAX_SEND_SIZE_BYTES && sent.length > 0) break;
      this.#queue.drop();
      if (length > MAX_SEND_SIZE_BYTES) {
        pending.settle({
          ok: false,
          error: new RangeError(`${pending.request.what}: the request has ${length} bytes`),
        });
        continue;
      }
      const sequence = this.#nextSequence();
      const flags = pending.request.flags | NLM_F.REQUEST | (pending.isDump ? NLM_F.DUMP : NLM_F.ACK);
      const { type } = pending.request;
      size = writeMessage(this.#sendBuffer, size, { type, flags, sequence, payload: body });
      pending.deadline_ms = performance.now() + this.#timeout_ms;
      this.#inFlight.set(sequence, pending);
      sent.push([sequence, pending]);
      if (pending.isDump) {
        this.#dumpRunning = true;
        break;
      }
    }
    if (size === 0) return;
    const errno = this.#transport.send(this.#sendBuffer.subarray(0, size));
    this.counters.datagramsSent += 1;
    if (errno === 0) return;
    for (const [sequence, pending] of sent) {
      this.#finish(sequence, pending, {
        ok: false,
        error: new NetlinkError(pending.request.what, errno, { message: 'could not be sent' }),
      });
    }
  }

  #encode(pending: Pending): Buffer | undefined {
    try {
      pending.body ??= pending.request.body((ref) => this.interfaceIndex(ref));
      return pending.body;
    } catch (error) {
      const named =
        error instanceof NetlinkError
          ? new NetlinkError(pending.request.what, error.errno, { message: error.request })
          : asError(error);
      pending.settle({ ok: false, error: named });
      return undefined;
    }
  }

  #nextSequence(): number {
    do {
      // Zero is what the kernel puts on messages that nobody asked for.
      this.#sequence = this.#sequence === 0xffffffff ? 1 : this.#sequence + 1;
    } while (this.#inFlight.has(this.#sequence));
    return this.#sequence;
  }

  /** Takes one datagram. @returns whether there was one */
  #receiveOnce(): boolean {
    const received = this.#transport.receive();
    switch (received.kind) {
      case 'empty':
        return false;
      case 'discarded':
        this.counters.unexpectedMessages += 1;
        return true;
      case 'error':
        if (received.errno === ERRNO.ENOBUFS) this.counters.overruns += 1;
        this.#failInFlight(
          received.errno,
          'the reply was lost; whether the request was carried out is unknown',
        );
        return true;
      case 'datagram':
        this.counters.datagramsReceived += 1;
        this.#dispatch(received.data);
        return true;
    }
  }

  #dispatch(datagram: Buffer): void {
    let messages: NetlinkMessage[];
    try {
      messages = parseMessages(datagram);
    } catch (error) {
      // Whom it was meant for cannot be known, so nobody may wait for it.
      this.#rejectInFlight(() => asError(error));
      return;
    }
    for (const message of messages) {
      const pending = this.#inFlight.get(message.sequence);
      if (pending === undefined) this.counters.unexpectedMessages += 1;
      else this.#accept(message, pending);
    }
  }

  #accept(message: NetlinkMessage, pending: Pending): void {
    if ((message.flags & NLM_F.DUMP_INTR) !== 0 && pending.isDump) pending.interrupted = true;
    if (message.type === NLMSG.NOOP) return;
    if (message.type === NLMSG.ERROR || message.type === NLMSG.DONE) {
      const result = conclude(message, pending);
      if (result === 'repeat') this.#repeatDump(message.sequence, pending);
      else this.#finish(message.sequence, pending, result);
      return;
    }
    if (pending.replies.length >= MAX_DUMP_MESSAGES) {
      const error = new RangeError(`${pending.request.what}: more than ${MAX_DUMP_MESSAGES} messages`);
      this.#finish(message.sequence, pending, { ok: false, error });
      return;
    }
    pending.replies.push(message);
  }

  #repeatDump(sequence: number, pending: Pending): void {
    this.counters.dumpsRetried += 1;
    this.#inFlight.delete(sequence);
    this.#dumpRunning = false;
    pending.interrupted = false;
    pending.replies = [];
    this.#queue.push(pending);
    this.#continueLater();
  }

  #finish(sequence: number, pending: Pending, result: BatchResult<unknown>): void {
    this.#inFlight.delete(sequence);
    if (pending.isDump) this.#dumpRunning = false;
    pending.settle(result);
    if (this.#queue.length > 0) this.#continueLater();
  }

  #rejectInFlight(errorFor: (request: NetlinkRequest<unknown>) => Error): void {
    for (const [sequence, pending] of [...this.#inFlight]) {
      this.#finish(sequence, pending, { ok: false, error: errorFor(pending.request) });
    }
  }

  #failInFlight(errno: number, message: string): void {
    this.#rejectInFlight((request) => new NetlinkError(request.what, errno, { message }));
  }

  #failAll(errno: number, message: string): void {
    this.#failInFlight(errno, message);
    const queued = this.#queue.takeAll();
    for (const { request, settle } of queued) {
      settle({ ok: false, error: new NetlinkError(request.what, errno, { message }) });
    }
  }

  /** Fails what has waited too long. */
  #expire(): void {
    const now_ms = performance.now();
    for (const [sequence, pending] of [...this.#inFlight]) {
      if (pending.deadline_ms > now_ms) continue;
      const error = new NetlinkError(pending.request.what, ERRNO.ETIMEDOUT, {
        message: `no reply within ${this.#timeout_ms} ms`,
      });
      this.#finish(sequence, pending, { ok: false, error });
    }
  }
}
