/**
 * One client connection that speaks TLS: reads the ClientHello, chooses the service by its server name, and from
 * there on carries bytes, those already read first. Nothing is decrypted.
 */
import type { Socket } from 'node:net';
import { Attempts, type NoConnection } from './attempts.ts';
import { alerts, type ClientHello, ClientHelloParser, fatalAlert } from './client-hello.ts';
import {
  type ClientConnection,
  endpointName,
  type L7Context,
  type ListenerState,
  plainAddress,
} from './context.ts';
import { splice } from './splice.ts';
import type { UpstreamConnection, UpstreamEnd, UpstreamUser } from './upstream.ts';

/** See the head of this file. */
export class TlsConnection implements ClientConnection, UpstreamUser {
  readonly #context: L7Context;
  readonly #listener: ListenerState;
  readonly #socket: Socket;
  readonly #parser: ClientHelloParser;
  readonly #onGone: () => void;
  readonly #startedAt_ms: number;
  readonly #address: string;
  /** What was read so far: at most a ClientHello and the rest of the piece that ended it. */
  #read: Buffer[] = [];
  #state: 'hello' | 'connecting' | 'spliced' | 'closing' = 'hello';
  #host: string | null = null;
  #service: string | null = null;
  #attempts: Attempts | null = null;
  #upstream: UpstreamConnection | null = null;
  #timer: NodeJS.Timeout | null;

  constructor(context: L7Context, listener: ListenerState, socket: Socket, onGone: () => void) {
    this.#context = context;
    this.#listener = listener;
    this.#socket = socket;
    this.#onGone = onGone;
    this.#startedAt_ms = context.now_ms();
    this.#address = plainAddress(socket.remoteAddress);
    this.#parser = new ClientHelloParser(context.limits);
    context.counters.tls_connections += 1;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    // 'close' follows.
    socket.on('error', () => {});
    socket.on('close', () => this.#onClose());
    this.#timer = setTimeout(() => {
      context.counters.heads_too_slow += 1;
      socket.destroy();
    }, context.limits.head_ms);
  }

  drain(): void {
    if (this.#state === 'hello' && this.#read.length === 0) this.#socket.destroy();
  }

  destroy(): void {
    // A reset, so that what is cut is not taken for whole.
    this.#socket.resetAndDestroy();
  }

  connected(): void {
    const upstream = this.#upstream;
    if (upstream === null) throw new Error('a TLS connection was connected without an endpoint');
    this.#state = 'spliced';
    this.#attempts?.connected();
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    const endpoint = upstream.detach();
    let early_bytes = 0;
    for (const bytes of this.#read) {
      early_bytes += bytes.length;
      endpoint.write(bytes);
    }
    this.#read = [];
    splice(this.#socket, endpoint, {
      halfClosedIdle_ms: this.#context.limits.halfClosedIdle_ms,
      onHalfClosedTimeout: () => {
        this.#context.counters.half_closed_timeouts += 1;
      },
      onDone: (totals) => this.#done(totals.aToB_bytes + early_bytes, totals.bToA_bytes),
    });
  }

  /** Not reached: the socket is given away as soon as it is connected. */
  data(): void {}

  /** Not reached, likewise. */
  drained(): void {}

  closed(_reason: UpstreamEnd): void {
    this.#upstream = null;
    if (this.#attempts === null) throw new Error('an endpoint closed before it was chosen');
    this.#connect(this.#attempts.next(this, { pooled: false, avoid: true }));
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#state !== 'hello') return;
    this.#read.push(bytes);
    const result = this.#parser.push(bytes);
    if (result.state === 'more') return;
    this.#clearTimer();
    if (result.state === 'error') {
      this.#context.counters.tls_malformed += 1;
      this.#refuse(result.alert);
      return;
    }
    this.#socket.pause();
    this.#route(result.hello);
  };

  readonly #onEnd = (): void => {
    if (this.#state === 'hello') this.#socket.end();
  };

  #route(hello: ClientHello): void {
    const { counters, snapshot } = this.#context;
    const { router, services } = snapshot();
    this.#host = hello.serverName;
    const local = plainAddress(this.#socket.localAddress);
    const id = this.#host === null ? null : router.match(this.#listener.port, 'tls', this.#host, local);
    const service = id === null ? undefined : services.get(id);
    if (service === undefined) {
      counters.tls_no_match += 1;
      this.#refuse(alerts.unrecognizedName);
      return;
    }
    this.#service = service.name;
    this.#state = 'connecting';
    this.#attempts = new Attempts(this.#context, service);
    // A pooled connection may belong to another protocol: TLS always gets a new one.
    this.#connect(this.#attempts.next(this, { pooled: false, avoid: false }));
  }

  #connect(next: { connection: UpstreamConnection } | { failure: NoConnection }): void {
    if ('connection' in next) {
      this.#upstream = next.connection;
      return;
    }
    this.#context.counters.tls_no_endpoint += 1;
    this.#refuse(alerts.internalError);
  }

  #refuse(alert: number): void {
    this.#state = 'closing';
    this.#read = [];
    this.#log(0, 0);
    this.#socket.end(fatalAlert(alert));
    this.#socket.resume();
    this.#clearTimer();
    this.#timer = setTimeout(() => this.#socket.destroy(), this.#context.limits.linger_ms);
  }

  #done(received: number, sent: number): void {
    this.#attempts?.finish();
    this.#context.counters.bytes_from_clients += received;
    this.#context.counters.bytes_to_clients += sent;
    this.#log(received, sent);
  }

  #onClose(): void {
    this.#clearTimer();
    if (this.#state === 'connecting') {
      this.#attempts?.finish();
      this.#upstream?.destroy();
      this.#log(0, 0);
    }
    this.#read = [];
    this.#onGone();
  }

  #log(received_bytes: number, sent_bytes: number): void {
    const backend = this.#attempts?.backend ?? null;
    this.#context.onAccess?.({
      protocol: 'tls',
      clientAddress: this.#address,
      method: null,
      host: this.#host,
      path: null,
      status: null,
      service: this.#service,
      endpoint: backend === null ? null : endpointName(backend),
      duration_ms: this.#context.now_ms() - this.#startedAt_ms,
      received_bytes,
      sent_bytes,
    });
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
