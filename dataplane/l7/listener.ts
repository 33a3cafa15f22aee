/** One listening socket and the connections that came through it. */
import { createServer, type Server, type Socket } from 'node:net';
import type { L7Listener, L7Protocol } from './config.ts';
import type { ClientConnection, L7Context, ListenerState } from './context.ts';
import { HttpConnection } from './http-connection.ts';
import { TlsConnection } from './tls-connection.ts';

/** Length of the kernel's queue of connections not yet accepted (capped by net.core.somaxconn). */
const backlog = 4_096;

/** A listener that is open from the moment `open` resolves until `stop`. */
export class Listener implements ListenerState {
  readonly port: number;
  readonly address: string | null;
  /** For connections accepted from now on; may change while the socket stays. */
  protocol: L7Protocol;
  readonly #context: L7Context;
  readonly #server: Server;
  readonly #connections = new Set<ClientConnection>();
  #draining = false;

  constructor(context: L7Context, listener: L7Listener) {
    this.#context = context;
    this.port = listener.port;
    this.address = listener.address;
    this.protocol = listener.protocol;
    // Node would end our side with the client's; half-close needs it open.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) =>
      this.#accept(socket),
    );
    this.#server.maxConnections = context.limits.connectionsPerListener;
    this.#server.on('drop', () => {
      context.counters.connections_refused_limit += 1;
    });
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Connections open now. */
  get size(): number {
    return this.#connections.size;
  }

  /** Binds and listens, or adopts the listening socket `fd`. Rejects with the system's error. */
  open(fd: number | null): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.once('listening', () => {
        this.#server.off('error', reject);
        // Accepting can fail for want of file descriptors; that must not end the process.
        this.#server.on('error', () => {
          this.#context.counters.listen_failures += 1;
        });
        resolve();
      });
      const { address, port } = this;
      if (fd !== null) this.#server.listen({ fd });
      else this.#server.listen(address === null ? { port, backlog } : { port, host: address, backlog });
    });
  }

  /** Stops accepting; connections end once what they carry has. */
  stop(): void {
    this.#draining = true;
    if (this.#server.listening) this.#server.close();
    for (const connection of [...this.#connections]) connection.drain();
  }

  /** Cuts all connections that are still open. */
  destroy(): void {
    for (const connection of [...this.#connections]) connection.destroy();
  }

  #accept(socket: Socket): void {
    const { counters } = this.#context;
    counters.connections_accepted += 1;
    counters.connections_open += 1;
    const gone = () => {
      counters.connections_open -= 1;
      this.#connections.delete(connection);
    };
    const connection: ClientConnection =
      this.protocol === 'http'
        ? new HttpConnection(this.#context, this, socket, gone)
        : new TlsConnection(this.#context, this, socket, gone);
    this.#connections.add(connection);
  }
}
