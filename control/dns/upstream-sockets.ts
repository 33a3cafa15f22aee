/**
 * UDP sockets to upstream servers, a bounded number to each and none for long. Every socket has a source port that
 * the kernel chose at random, every query takes one of them and an id at random, and sockets are connected, so that
 * only the upstream's datagrams reach them and a closed port is noticed at once (RFC 5452). A socket of its own for
 * every query would be a little harder to guess and several times slower.
 */
import { randomInt } from 'node:crypto';
import type dgram from 'node:dgram';
import { isReplyTo, withId } from './message.ts';
import type { Upstream } from './resolv-conf.ts';
import { createUdpSocket } from './udp-socket.ts';

export type SocketPoolOptions = {
  /** Sockets to one server at a time; as many source ports would have to be guessed. */
  maxSockets: number;
  /** Queries that one socket may send before another takes its place. */
  maxUses: number;
  /** Time after which it is replaced anyway. */
  lifetime_ms: number;
};

export const defaultSocketPoolOptions: SocketPoolOptions = {
  maxSockets: 64,
  maxUses: 128,
  lifetime_ms: 10_000,
};

/** Ids tried before a query is given up; a socket has few in use, out of 65536. */
const maxIdAttempts = 16;

/** One query under way. Either function is called at most once, and never after `cancel`. */
export type PooledQuery = {
  query: Buffer;
  question: Buffer;
  onReply: (bytes: Buffer) => void;
  onError: () => void;
};

/** One connected socket and the queries that wait on it. */
class PooledSocket {
  readonly #socket: dgram.Socket;
  readonly #pending = new Map<number, PooledQuery>();
  readonly #lifetime: NodeJS.Timeout;
  readonly #onRetire: (socket: PooledSocket) => void;
  /** Datagrams for when it is connected; undefined from then on. At most one per pending query. */
  #unsent: Buffer[] | undefined = [];
  #usesLeft: number;
  #retired = false;
  #closed = false;

  constructor(
    upstream: Upstream,
    options: SocketPoolOptions,
    onMismatch: () => void,
    onRetire: (socket: PooledSocket) => void,
  ) {
    this.#onRetire = onRetire;
    this.#usesLeft = options.maxUses;
    this.#lifetime = setTimeout(() => this.retire(), options.lifetime_ms).unref();
    this.#socket = createUdpSocket(upstream.address);
    this.#socket.on('error', () => this.fail());
    this.#socket.on('message', (bytes) => {
      const id = bytes.length >= 2 ? bytes.readUInt16BE(0) : -1;
      const asked = this.#pending.get(id);
      if (asked === undefined || !isReplyTo(bytes, id, asked.question)) return onMismatch();
      this.#settle(id);
      asked.onReply(bytes);
    });
    this.#socket.connect(upstream.port, upstream.address, (error?: Error | null) => {
      if (error) return this.fail();
      if (this.#closed) return;
      // Whoever waits has a time limit of their own; the socket alone is no reason to stay.
      this.#socket.unref();
      const unsent = this.#unsent ?? [];
      this.#unsent = undefined;
      for (const bytes of unsent) this.#send(bytes);
    });
  }

  /** Sends a query; the function returned cancels it. Undefined if no id is free. */
  ask(asked: PooledQuery): (() => void) | undefined {
    let id = randomInt(0x10000);
    for (let attempt = 1; this.#pending.has(id); attempt += 1) {
      if (attempt >= maxIdAttempts) return undefined;
      id = randomInt(0x10000);
    }
    this.#pending.set(id, asked);
    const bytes = withId(asked.query, id);
    if (this.#unsent === undefined) this.#send(bytes);
    else this.#unsent.push(bytes);
    this.#usesLeft -= 1;
    if (this.#usesLeft <= 0) this.retire();
    return () => {
      if (this.#pending.get(id) === asked) this.#settle(id);
    };
  }

  /** Takes no more queries; closes once those that wait are done. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    clearTimeout(this.#lifetime);
    this.#onRetire(this);
    this.#closeIfDone();
  }

  /** Ends all that wait with an error. */
  fail(): void {
    this.retire();
    const waiting = [...this.#pending.values()];
    this.#pending.clear();
    this.#closeIfDone();
    for (const asked of waiting) asked.onError();
  }

  readonly #onSent = (error: Error | null): void => {
    if (error && !this.#closed) this.fail();
  };

  #send(bytes: Buffer): void {
    this.#socket.send(bytes, this.#onSent);
  }

  #settle(id: number): void {
    this.#pending.delete(id);
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (!this.#retired || this.#closed || this.#pending.size > 0) return;
    this.#closed = true;
    this.#socket.close();
  }
}

/** The sockets to all upstream servers. */
export class UpstreamSockets {
  readonly #options: SocketPoolOptions;
  readonly #onMismatch: () => void;
  readonly #byPlace = new Map<string, PooledSocket[]>();

  constructor(onMismatch: () => void, options: SocketPoolOptions = defaultSocketPoolOptions) {
    this.#onMismatch = onMismatch;
    this.#options = options;
  }

  /** Sends a query to a server and returns what cancels it. `onError` may come before it returns. */
  ask(upstream: Upstream, asked: PooledQuery): () => void {
    const cancel = this.#pick(upstream).ask(asked);
    if (cancel !== undefined) return cancel;
    asked.onError();
    return () => {};
  }

  /** Sockets open to take queries, over all servers. */
  get size(): number {
    return [...this.#byPlace.values()].reduce((sum, sockets) => sum + sockets.length, 0);
  }

  /** Ends everything; queries that wait get an error. */
  close(): void {
    for (const sockets of [...this.#byPlace.values()]) for (const socket of [...sockets]) socket.fail();
  }

  /** A new socket while there may be more, since new ports are best, then any. */
  #pick(upstream: Upstream): PooledSocket {
    const place = `${upstream.address} ${upstream.port}`;
    const sockets = this.#byPlace.get(place) ?? [];
    if (sockets.length >= this.#options.maxSockets) {
      const chosen = sockets[randomInt(sockets.length)];
      if (chosen !== undefined) return chosen;
    }
    const socket = new PooledSocket(upstream, this.#options, this.#onMismatch, (retired) => {
      const at = sockets.indexOf(retired);
      if (at >= 0) sockets.splice(at, 1);
      if (sockets.length === 0 && this.#byPlace.get(place) === sockets) this.#byPlace.delete(place);
    });
    sockets.push(socket);
    this.#byPlace.set(place, sockets);
    return socket;
  }
}
