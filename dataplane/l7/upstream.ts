/**
 * Connections to endpoints: one bounded pool per address and port, shared by all services that name it. An idle
 * connection that ends, fails or speaks unasked leaves the pool at once.
 */
import { connect, type Socket } from 'node:net';
import { type EndpointLoad, markFailed, markWorking, newEndpointLoad } from './balance.ts';
import type { L7Counters } from './counters.ts';
import type { L7Limits } from './limits.ts';

/** What a pool needs from its surroundings. */
export type UpstreamContext = { limits: L7Limits; counters: L7Counters; now_ms: () => number };

/** Whoever uses a connection at the moment. `closed` comes last, once, and says why in a few words. */
export type UpstreamUser = {
  connected(): void;
  data(bytes: Buffer): void;
  drained(): void;
  closed(reason: UpstreamEnd): void;
};

/** How a connection ended: never made, never made in time, ended by the endpoint's FIN, or broken. */
export type UpstreamEnd = 'refused' | 'connect-timeout' | 'ended' | 'reset';

/** One TCP connection to an endpoint. */
export class UpstreamConnection {
  readonly socket: Socket;
  readonly #pool: UpstreamPool;
  readonly #context: UpstreamContext;
  #user: UpstreamUser | null;
  #connected = false;
  #reused = false;
  #detached = false;
  #ended: UpstreamEnd | null = null;
  #timer: NodeJS.Timeout | null;

  constructor(pool: UpstreamPool, context: UpstreamContext, user: UpstreamUser) {
    this.#pool = pool;
    this.#context = context;
    this.#user = user;
    const { limits } = context;
    this.socket = connect({
      host: pool.address,
      port: pool.port,
      noDelay: true,
      keepAlive: true,
      allowHalfOpen: true,
    });
    this.#timer = setTimeout(() => {
      context.counters.upstream_connect_timeouts += 1;
      this.#end('connect-timeout');
    }, limits.connect_ms);
    this.socket.on('connect', () => this.#onConnect());
    this.socket.on('data', this.#onData);
    this.socket.on('drain', this.#onDrain);
    this.socket.on('end', this.#onEnd);
    // 'close' follows.
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      if (!this.#detached) this.#end(this.#connected ? 'reset' : 'refused');
      pool.closed(this);
    });
  }

  /** Whether it has carried a request before, so that its endpoint may have closed it meanwhile. */
  get reused(): boolean {
    return this.#reused;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Takes it out of the idle state. */
  use(user: UpstreamUser): void {
    this.#clearTimer();
    this.#user = user;
    this.#reused = true;
    this.#context.counters.upstream_connections_reused += 1;
  }

  /** Puts it into the idle state for `idle_ms`. */
  rest(idle_ms: number): void {
    this.#user = null;
    this.socket.resume();
    this.#timer = setTimeout(() => {
      this.#context.counters.upstream_idle_closed += 1;
      this.destroy();
    }, idle_ms);
  }

  /** Gives the bare socket away, without listeners but those that count it; the pool counts it until it closes. */
  detach(): Socket {
    this.#clearTimer();
    this.#user = null;
    this.#detached = true;
    // Without this it would go on reading, to nobody.
    this.socket.pause();
    this.socket.off('data', this.#onData);
    this.socket.off('drain', this.#onDrain);
    this.socket.off('end', this.#onEnd);
    return this.socket;
  }

  /** Closes it without telling the user. */
  destroy(): void {
    this.#user = null;
    this.#end('reset');
  }

  #onConnect(): void {
    this.#clearTimer();
    this.#connected = true;
    markWorking(this.#pool.load);
    this.#user?.connected();
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#user !== null) {
      this.#user.data(bytes);
      return;
    }
    this.#context.counters.upstream_unsolicited_bytes += bytes.length;
    this.destroy();
  };

  readonly #onDrain = (): void => this.#user?.drained();

  readonly #onEnd = (): void => this.#end('ended');

  #end(reason: UpstreamEnd): void {
    if (this.#ended !== null) return;
    this.#ended = reason;
    this.#clearTimer();
    const user = this.#user;
    this.#user = null;
    if (!this.#connected && user !== null) {
      if (reason === 'refused') this.#context.counters.upstream_connect_failures += 1;
      markFailed(this.#pool.load, this.#context.now_ms(), this.#context.limits.endpointOut_ms);
    }
    this.#pool.forget(this);
    this.socket.destroy();
    user?.closed(reason);
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** All connections to one address and port. */
export class UpstreamPool {
  readonly address: string;
  readonly port: number;
  readonly load: EndpointLoad = newEndpointLoad();
  readonly #context: UpstreamContext;
  /** Most recently used last. */
  readonly #idle: UpstreamConnection[] = [];
  readonly #open = new Set<UpstreamConnection>();
  #retired = false;

  constructor(address: string, port: number, context: UpstreamContext) {
    this.address = address;
    this.port = port;
    this.#context = context;
  }

  get open(): number {
    return this.#open.size;
  }

  /** An idle connection for `user`, who need not wait for `connected`; null if there is none. */
  takeIdle(user: UpstreamUser): UpstreamConnection | null {
    const connection = this.#idle.pop() ?? null;
    connection?.use(user);
    return connection;
  }

  /** A new connection for `user`, which will be `connected` or `closed`; null at the limit. */
  connect(user: UpstreamUser): UpstreamConnection | null {
    const { counters, limits } = this.#context;
    if (this.#open.size >= limits.upstreamConnectionsPerEndpoint) {
      const idle = this.#idle[0];
      if (idle === undefined) {
        counters.upstream_limit_reached += 1;
        return null;
      }
      idle.destroy();
    }
    const connection = new UpstreamConnection(this, this.#context, user);
    this.#open.add(connection);
    counters.upstream_connections_opened += 1;
    counters.upstream_connections_open += 1;
    return connection;
  }

  /** Takes back a connection whose exchange is complete; `advised_ms` is the endpoint's own idle limit, if told. */
  release(connection: UpstreamConnection, advised_ms: number | null): void {
    const { limits } = this.#context;
    const idle_ms = Math.min(limits.upstreamIdle_ms, advised_ms ?? limits.upstreamIdle_ms);
    if (this.#retired || this.#idle.length >= limits.upstreamIdlePerEndpoint || idle_ms <= 0) {
      connection.destroy();
      return;
    }
    this.#idle.push(connection);
    connection.rest(idle_ms);
  }

  /** The endpoint is no longer configured: what is idle closes now, what is busy once it is done. */
  retire(): void {
    this.#retired = true;
    for (const connection of [...this.#idle]) connection.destroy();
  }

  /** Configured again. */
  revive(): void {
    this.#retired = false;
  }

  /** The connection must not be given out any more. */
  forget(connection: UpstreamConnection): void {
    const at = this.#idle.lastIndexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
  }

  /** The connection's socket is gone. */
  closed(connection: UpstreamConnection): void {
    if (this.#open.delete(connection)) this.#context.counters.upstream_connections_open -= 1;
  }
}
