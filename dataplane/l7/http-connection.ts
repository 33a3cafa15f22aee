/**
 * One client connection that speaks HTTP/1: reads heads, hands each request to an exchange, one at a time and in
 * order, and reads no further than what it can pass on.
 */
import type { Socket } from 'node:net';
import { type Answer, answerBytes, answers } from './answers.ts';
import {
  type ClientConnection,
  endpointName,
  type L7Context,
  type ListenerState,
  plainAddress,
} from './context.ts';
import { Exchange, type ExchangeClient } from './exchange.ts';
import { forwardedUpgrade, viaPasses } from './forward.ts';
import { normaliseHost } from './grammar.ts';
import { type HeadError, type RequestHead, RequestHeadParser } from './head.ts';
import { splice } from './splice.ts';

const nothing = Buffer.alloc(0);

/** A request under way: what the access log will say of it. */
type Current = { head: RequestHead; exchange: Exchange | null; service: string | null; startedAt_ms: number };

/** See the head of this file. */
export class HttpConnection implements ClientConnection, ExchangeClient {
  readonly address: string;
  readonly #context: L7Context;
  readonly #listener: ListenerState;
  readonly #socket: Socket;
  readonly #parser: RequestHeadParser;
  readonly #onGone: () => void;
  #current: Current | null = null;
  /** Bytes read but not yet used; reading rests while there are any. */
  #held: Buffer = nothing;
  #advancing = false;
  #served = 0;
  /** The client has said all it will say. */
  #ended = false;
  /** The last response has been sent; what still comes is thrown away. */
  #closing = false;
  #spliced = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(context: L7Context, listener: ListenerState, socket: Socket, onGone: () => void) {
    this.#context = context;
    this.#listener = listener;
    this.#socket = socket;
    this.#onGone = onGone;
    this.address = plainAddress(socket.remoteAddress);
    this.#parser = new RequestHeadParser(context.limits);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
    // 'close' follows.
    socket.on('error', () => {});
    socket.on('close', () => this.#onClose());
    this.#waitForHead();
  }

  drain(): void {
    if (this.#current === null && !this.#parser.begun && this.#held.length === 0 && !this.#spliced)
      this.#close();
  }

  destroy(): void {
    // A reset, so that what is cut is not taken for whole.
    this.#socket.resetAndDestroy();
  }

  mayKeepAlive(): boolean {
    return !this.#listener.draining && (!this.#ended || this.#held.length > 0);
  }

  write(bytes: Uint8Array): boolean {
    if (this.#current !== null) this.#timer?.refresh();
    return this.#socket.write(bytes);
  }

  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  resumeBody(): void {
    this.#advance(nothing);
  }

  fail(answer: Answer): void {
    const current = this.#current;
    if (current === null) throw new Error('an answer to no request');
    const complete = current.exchange?.requestComplete ?? current.head.framing.kind === 'none';
    const keepAlive = current.head.keepAlive && complete && this.mayKeepAlive();
    this.#answer(answer, current.head, keepAlive);
    this.#log(answer.status);
    this.#next(keepAlive);
  }

  complete(keepAlive: boolean): void {
    this.#log(this.#current?.exchange?.status ?? null);
    this.#next(keepAlive && this.mayKeepAlive());
  }

  abort(): void {
    this.#log(this.#current?.exchange?.status ?? null);
    this.#current = null;
    this.#socket.resetAndDestroy();
  }

  upgrade(socket: Socket, rest: Buffer, finish: () => void): void {
    this.#spliced = true;
    this.#clearTimer();
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('drain', this.#onDrain);
    const early = { received: this.#held.length, sent: rest.length };
    if (this.#held.length > 0) socket.write(this.#held);
    if (rest.length > 0) this.#socket.write(rest);
    this.#held = nothing;
    splice(this.#socket, socket, {
      halfClosedIdle_ms: this.#context.limits.halfClosedIdle_ms,
      onHalfClosedTimeout: () => {
        this.#context.counters.half_closed_timeouts += 1;
      },
      onDone: (totals) => {
        finish();
        const received = totals.aToB_bytes + early.received;
        const sent = totals.bToA_bytes + early.sent;
        this.#context.counters.bytes_from_clients += received;
        this.#context.counters.bytes_to_clients += sent;
        this.#log(101, { received, sent });
      },
    });
  }

  readonly #onData = (bytes: Buffer): void => {
    if (!this.#closing) this.#advance(bytes);
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    if (this.#closing) return;
    if (this.#current === null) this.#close();
    else this.#afterEnd();
  };

  /** A request under way when the client has ended, perhaps after it sent others: it is whole, or never will be. */
  #afterEnd(): void {
    const { exchange } = this.#current ?? {};
    if (exchange === null || exchange === undefined) return;
    if (exchange.requestComplete) this.#watchSilence();
    else if (this.#held.length === 0) this.#cut(exchange);
  }

  /**
   * A client that has ended, or that is not read because it has sent its next request already, may be gone without
   * our seeing it: the response then has to move.
   */
  #watchSilence(): void {
    const { exchange } = this.#current ?? {};
    if (exchange === null || exchange === undefined || !exchange.requestComplete || this.#timer !== null)
      return;
    this.#arm(this.#context.limits.halfClosedIdle_ms, () => {
      this.#context.counters.half_closed_timeouts += 1;
      this.#cut(exchange);
    });
  }

  readonly #onDrain = (): void => {
    this.#current?.exchange?.clientDrained();
    if (this.#current === null) this.#advance(nothing);
  };

  #cut(exchange: Exchange): void {
    exchange.cancel();
    this.abort();
  }

  #onClose(): void {
    this.#clearTimer();
    if (!this.#spliced && this.#current !== null) {
      this.#current.exchange?.cancel();
      this.#log(this.#current.exchange?.status ?? null);
      this.#current = null;
    }
    this.#held = nothing;
    this.#onGone();
  }

  /** Uses held and new bytes as far as possible, keeps the rest, and reads on only if nothing is kept. */
  #advance(bytes: Buffer): void {
    this.#held =
      this.#held.length === 0 ? bytes : bytes.length === 0 ? this.#held : Buffer.concat([this.#held, bytes]);
    // A request that ends while the loop below runs is taken up by that loop.
    if (this.#advancing) return;
    this.#advancing = true;
    try {
      while (this.#held.length > 0 && this.#step()) {}
    } finally {
      this.#advancing = false;
    }
    if (this.#spliced || this.#socket.destroyed) return;
    if (this.#held.length > 0 && !this.#closing) {
      this.#socket.pause();
      this.#watchSilence();
    } else if (this.#closing || this.#readsOn()) this.#socket.resume();
    else this.#socket.pause();
    if (this.#ended && !this.#closing) this.#afterEnd();
  }

  /** Whether what comes next could be used: not while an endpoint is not ready for the body. */
  #readsOn(): boolean {
    const exchange = this.#current?.exchange;
    return exchange === null || exchange === undefined || exchange.requestComplete || exchange.acceptsBody;
  }

  /** Takes one step with the held bytes; false if it cannot. */
  #step(): boolean {
    if (this.#closing || this.#spliced) {
      this.#held = nothing;
      return false;
    }
    if (this.#current !== null) {
      const used = this.#current.exchange?.body(this.#held) ?? 0;
      // The exchange may have ended meanwhile, and with it the need for these bytes.
      this.#held = this.#held.subarray(used);
      return used > 0 || this.#current === null;
    }
    // A client that does not read its responses gets no more of them.
    if (this.#socket.writableNeedDrain) return false;
    this.#readHead();
    return true;
  }

  #readHead(): void {
    const wasBegun = this.#parser.begun;
    const result = this.#parser.push(this.#held);
    if (result.state === 'more') {
      this.#held = nothing;
      if (this.#ended) this.#close();
      else if (!wasBegun && this.#served > 0) this.#waitForHead();
      return;
    }
    this.#clearTimer();
    if (result.state === 'error') {
      this.#refuseHead(result.error);
      return;
    }
    this.#held = this.#held.subarray(result.consumed);
    this.#begin(result.head);
  }

  #refuseHead(error: HeadError): void {
    const { counters } = this.#context;
    if (error.status === 414) counters.request_lines_too_long += 1;
    else if (error.status === 431) counters.heads_too_long += 1;
    else counters.heads_malformed += 1;
    this.#answer(
      { status: error.status, code: 'BAD_REQUEST', message: `Refused: ${error.reason}.` },
      null,
      false,
    );
    this.#event({ status: error.status });
    this.#close();
  }

  #begin(head: RequestHead): void {
    const { counters, limits, now_ms, snapshot, via } = this.#context;
    counters.requests += 1;
    this.#served += 1;
    this.#current = { head, exchange: null, service: null, startedAt_ms: now_ms() };
    if (via !== null && viaPasses(head, via) >= limits.viaPasses) {
      counters.loops_detected += 1;
      this.fail(answers.loop(limits.viaPasses));
      return;
    }
    const { router, services } = snapshot();
    const local = plainAddress(this.#socket.localAddress);
    const id =
      head.authority === null ? null : router.match(this.#listener.port, 'http', head.authority, local);
    const service = id === null ? undefined : services.get(id);
    if (service === undefined) {
      counters.hosts_unknown += 1;
      this.fail(answers.hostUnknown(head.authority === null ? null : normaliseHost(head.authority)));
      return;
    }
    if (head.upgrade !== null && forwardedUpgrade(head) === null) counters.upgrades_h2c_ignored += 1;
    const exchange = new Exchange(this.#context, this, head, service);
    this.#current.exchange = exchange;
    this.#current.service = service.name;
    exchange.start();
  }

  /** The current request is done with: on to the next one, or towards the end. */
  #next(keepAlive: boolean): void {
    this.#current = null;
    if (!keepAlive || (this.#ended && this.#held.length === 0)) {
      this.#close();
      return;
    }
    this.#waitForHead();
    this.#advance(nothing);
  }

  /** Ends our side, then reads and drops for a moment, so that the last response is not lost to a reset. */
  #close(): void {
    if (this.#closing || this.#socket.destroyed) return;
    this.#closing = true;
    this.#held = nothing;
    this.#socket.end();
    this.#socket.resume();
    this.#arm(this.#context.limits.linger_ms, () => this.#lingered());
  }

  /** A response that still moves may go on for as long as it does. */
  #lingered(): void {
    const { writableLength } = this.#socket;
    if (writableLength === 0) {
      this.#socket.destroy();
      return;
    }
    this.#arm(this.#context.limits.bodyStall_ms, () => {
      if (this.#socket.writableLength < writableLength) {
        this.#lingered();
        return;
      }
      this.#context.counters.bodies_stalled += 1;
      this.#socket.destroy();
    });
  }

  /** Starts the time for the next head: from its first byte if there is one, else for the connection to be idle. */
  #waitForHead(): void {
    const { counters, limits } = this.#context;
    const idle = !this.#parser.begun && this.#served > 0;
    this.#arm(idle ? limits.keepAliveIdle_ms : limits.head_ms, () => {
      if (this.#held.length > 0 && this.#socket.writableNeedDrain) counters.bodies_stalled += 1;
      else if (this.#parser.begun) {
        counters.heads_too_slow += 1;
        this.#answer(answers.headTooSlow(limits.head_ms), null, false);
        this.#event({ status: 408 });
      } else counters.idle_timeouts += 1;
      this.#close();
    });
  }

  #answer(answer: Answer, head: RequestHead | null, keepAlive: boolean): void {
    const { counters } = this.#context;
    const bytes = answerBytes(answer, head, {
      keepAlive,
      clientMinorVersion: head?.minorVersion ?? 1,
      date: new Date().toUTCString(),
    });
    counters.answers_own += 1;
    counters.bytes_to_clients += bytes.length;
    this.#socket.write(bytes);
  }

  #log(status: number | null, spliced?: { received: number; sent: number }): void {
    const current = this.#current;
    if (current === null) return;
    this.#event({ status, current, ...(spliced === undefined ? {} : { spliced }) });
    if (spliced !== undefined) this.#current = null;
  }

  #event(what: {
    status: number | null;
    current?: Current;
    spliced?: { received: number; sent: number };
  }): void {
    const { onAccess, now_ms } = this.#context;
    if (onAccess === null) return;
    const { current, spliced, status } = what;
    const { exchange, head } = current ?? {};
    const backend = exchange?.backend ?? null;
    onAccess({
      protocol: 'http',
      clientAddress: this.address,
      method: head?.method ?? null,
      host: head?.authority ?? null,
      path: head?.target ?? null,
      status,
      service: current?.service ?? null,
      endpoint: backend === null ? null : endpointName(backend),
      duration_ms: current === undefined ? 0 : now_ms() - current.startedAt_ms,
      received_bytes: spliced?.received ?? exchange?.received_bytes ?? 0,
      sent_bytes: spliced?.sent ?? exchange?.sent_bytes ?? 0,
    });
  }

  #arm(after_ms: number, then: () => void): void {
    this.#clearTimer();
    this.#timer = setTimeout(then, after_ms);
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
