/**
 * The one TCP port between nodes: TLS 1.3 with certificates of both sides, three protocols told apart by ALPN.
 *
 * A certificate of our root is not enough: its node must also exist in the store, so that a node which was removed is
 * cut off at once. Only calls of `shoal-control/1` that need no certificate (joining) are open to others.
 */
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { shoalError } from '../errors.ts';
import type { Identity } from '../pki/identity.ts';
import type { Subject } from '../pki/node-certificate.ts';
import { protocols, serverOptions, subjectOfSocket } from '../pki/tls.ts';
import { type Methods, serveCalls } from './rpc/server.ts';
import type { HttpHandler, Peer } from './types.ts';

/** Connections at one time. */
export const connectionsLimit = 4_096;
/** Of these, connections of those who show no certificate of ours. */
export const strangersLimit = 64;

export type ControlPortOptions = {
  address: string;
  port: number;
  identity: Identity;
  log: Logger;
  methods: Methods;
  /** Why a node with this certificate is refused; null if it may come in. */
  refuse: (subject: Subject) => string | null;
  /** Takes a Raft stream of another manager; false if it is not known as one. */
  acceptRaft: (socket: TLSSocket, peer: Peer) => boolean;
  http: () => HttpHandler | null;
};

/** Throws UNREACHABLE if the port cannot be listened on: to be known before a cluster is told of this node. */
export async function probePort(address: string, port: number): Promise<void> {
  const probe = createTcpServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (error) => reject(cannotListen(address, port, error)));
    probe.listen({ host: address, port, exclusive: true }, resolve);
  });
  await new Promise((resolve) => probe.close(resolve));
}

function cannotListen(address: string, port: number, cause: Error): Error {
  return shoalError(
    'UNREACHABLE',
    { address: `${address}:${port}`, reason: `listening failed: ${cause.message}` },
    cause,
  );
}

/** The listening side of a member. */
export class ControlPort {
  readonly #options: ControlPortOptions;
  readonly #server: Server;
  readonly #http: HttpServer;
  readonly #sockets = new Map<TLSSocket, Peer | null>();
  #strangers = 0;
  readonly counters = { accepted: 0, refusedPeers: 0, failedHandshakes: 0 };

  private constructor(options: ControlPortOptions) {
    this.#options = options;
    this.#server = createServer(serverOptions(options.identity), (socket) => this.#accept(socket));
    this.#server.maxConnections = connectionsLimit;
    this.#server.on('tlsClientError', () => {
      this.counters.failedHandshakes += 1;
    });
    this.#http = createHttpServer((request, response) => {
      const handler = options.http();
      if (handler !== null) handler(request, response);
      else response.writeHead(503).end();
    });
  }

  /** Listens on the advertise address alone. Throws UNREACHABLE if it cannot. */
  static async open(options: ControlPortOptions): Promise<ControlPort> {
    const port = new ControlPort(options);
    await new Promise<void>((resolve, reject) => {
      port.#server.once('error', (error) => reject(cannotListen(options.address, options.port, error)));
      port.#server.listen({ host: options.address, port: options.port, exclusive: true }, resolve);
    });
    port.#server.on('error', (error) => options.log.error({ err: error }, 'the control port failed'));
    return port;
  }

  /** Ends connections of nodes that may not come in any more. */
  review(): void {
    for (const [socket, peer] of this.#sockets) {
      if (peer === null) continue;
      const subject = subjectOfSocket(socket, this.#options.identity.rootCertificate);
      if (subject === null || this.#options.refuse(subject) !== null) socket.destroy();
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets.keys()) socket.destroy();
    this.#http.close();
    await closed;
  }

  #accept(socket: TLSSocket): void {
    socket.on('error', () => undefined);
    socket.setNoDelay(true);
    const subject = subjectOfSocket(socket, this.#options.identity.rootCertificate);
    if (subject === null && !this.#admitStranger(socket)) return;
    const reason = subject === null ? null : this.#options.refuse(subject);
    const peer = subject !== null && reason === null ? { nodeId: subject.nodeId, role: subject.role } : null;
    this.#sockets.set(socket, peer);
    socket.once('close', () => this.#sockets.delete(socket));
    this.counters.accepted += 1;
    if (reason !== null) this.#refuse(socket, reason);
    else this.#dispatch(socket, peer);
  }

  /** Counts one without certificate in, until it closes; ends it if there are too many. */
  #admitStranger(socket: TLSSocket): boolean {
    if (this.#strangers >= strangersLimit) {
      this.counters.refusedPeers += 1;
      socket.destroy();
      return false;
    }
    this.#strangers += 1;
    socket.once('close', () => {
      this.#strangers -= 1;
    });
    return true;
  }

  #dispatch(socket: TLSSocket, peer: Peer | null): void {
    if (socket.alpnProtocol === protocols.control) serveCalls(socket, peer, this.#options.methods);
    else if (peer === null) this.#refuse(socket, 'no certificate of this cluster');
    else if (socket.alpnProtocol === protocols.raft) {
      if (peer.role !== 'manager' || !this.#options.acceptRaft(socket, peer))
        this.#refuse(socket, 'not a manager');
    } else {
      Object.assign(socket, { peer });
      this.#http.emit('connection', socket);
    }
  }

  /** Those who can be told why are told, by any call they make; others are disconnected. */
  #refuse(socket: TLSSocket, reason: string): void {
    this.counters.refusedPeers += 1;
    this.#options.log.debug({ reason, from: socket.remoteAddress }, 'connection refused');
    if (socket.alpnProtocol !== protocols.control) {
      socket.destroy();
      return;
    }
    const refused = () => Promise.reject(shoalError('FORBIDDEN', { reason }));
    const calls = Object.fromEntries(Object.keys(this.#options.methods.calls).map((name) => [name, refused]));
    const streams = Object.fromEntries(
      Object.keys(this.#options.methods.streams).map((name) => [name, refused]),
    );
    const all = { ...calls, ...streams };
    serveCalls(socket, null, { calls: all, streams: {}, open: new Set(Object.keys(all)) });
  }
}
