/**
 * The name server's sockets: UDP and TCP, any number of listeners, one view of services and one set of upstream
 * servers for all of them. It can listen on sockets that were made in other network namespaces: a socket belongs
 * to the namespace it was created in, whoever holds it.
 */
import type dgram from 'node:dgram';
import { closeSync } from 'node:fs';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { answer, defaultTtl_s } from './answer.ts';
import { type CounterName, DnsCounters } from './counters.ts';
import { defaultForwarderOptions, Forwarder, type ForwarderOptions, type Share } from './forwarder.ts';
import { type ListenAddress, leadsBack } from './loops.ts';
import {
  bareReply,
  cutReply,
  encodeReply,
  maxMessage_bytes,
  type Query,
  rcode,
  readQuery,
} from './message.ts';
import { type DnsView, emptyView } from './names.ts';
import { PreparedReplies } from './prepared.ts';
import type { Upstream } from './resolv-conf.ts';
import {
  defaultTcpConnectionOptions,
  serveTcpConnection,
  type TcpConnectionOptions,
} from './tcp-connection.ts';
import { createUdpSocket } from './udp-socket.ts';

export type DnsServerOptions = {
  /** Time to live of answers, seconds. */
  ttl_s?: number;
  /** Uniform in [0, 1): shuffles endpoint addresses. */
  random?: () => number;
  forwarder?: Partial<ForwarderOptions>;
  tcp?: Partial<TcpConnectionOptions>;
  /** TCP connections open at a time, over all listeners. */
  maxConnections?: number;
  /** TCP connections open at a time on one listener, so that one namespace cannot take them all. */
  maxConnectionsPerListener?: number;
};

/**
 * Where to listen. `fdUdp` and `fdTcp` are sockets already bound (the TCP one need not listen yet), which the
 * server owns from then on, also if listening fails; only what turns out to be no TCP socket at all (EINVAL) is
 * left open. A transport without a descriptor gets a socket of the server's own at
 * `address`:`port`. With `port: 0` both transports get the same free port.
 */
export type ListenOptions = { address: string; port: number; fdUdp?: number; fdTcp?: number };

/** Datagrams that may wait for the kernel on one socket. */
const maxSendQueue = 1_024;
/** Free ports tried before `port: 0` is given up, in case TCP has taken the one that UDP got. */
const maxPortAttempts = 16;

/** Answers that are the same each time until something changes. */
const preparedOutcomes: ReadonlySet<CounterName> = new Set(['answered', 'answeredEmpty', 'answeredUnknown']);

/** One listener: close it to give its sockets back. */
export class DnsListener implements AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly #udp: dgram.Socket;
  readonly #tcp: net.Server;
  readonly #connections: Set<net.Socket>;
  readonly #onClose: (listener: DnsListener) => void;
  #closed: Promise<void> | undefined;

  constructor(
    udp: dgram.Socket,
    tcp: net.Server,
    connections: Set<net.Socket>,
    onClose: (listener: DnsListener) => void,
  ) {
    const { address, port } = udp.address();
    this.address = address;
    this.port = port;
    this.#udp = udp;
    this.#tcp = tcp;
    this.#connections = connections;
    this.#onClose = onClose;
  }

  /** Closes both sockets and all connections. May be called again. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#onClose(this);
    for (const connection of this.#connections) connection.destroy();
    await Promise.all([
      new Promise<void>((resolve) => this.#udp.close(() => resolve())),
      new Promise<void>((resolve) => this.#tcp.close(() => resolve())),
    ]);
  }
}

/** The name server. Make it once, then `listen` for every namespace. */
export class DnsServer implements AsyncDisposable {
  readonly counters = new DnsCounters();
  #view: DnsView = emptyView;
  readonly #ttl_s: number;
  readonly #random: () => number;
  readonly #tcpOptions: TcpConnectionOptions;
  readonly #maxConnections: number;
  readonly #maxConnectionsPerListener: number;
  readonly #forwarder: Forwarder;
  readonly #prepared: PreparedReplies;
  readonly #listeners = new Set<DnsListener>();
  #connections = 0;
  #configuredUpstreams: readonly Upstream[] = [];
  /** Configured servers found to lead back here, each counted once. */
  readonly #leftOut = new Set<Upstream>();
  #closed = false;

  constructor(options: DnsServerOptions = {}) {
    this.#ttl_s = options.ttl_s ?? defaultTtl_s;
    this.#random = options.random ?? Math.random;
    this.#tcpOptions = { ...defaultTcpConnectionOptions, ...options.tcp };
    this.#maxConnections = options.maxConnections ?? 256;
    this.#maxConnectionsPerListener = options.maxConnectionsPerListener ?? 64;
    this.#forwarder = new Forwarder(this.counters, { ...defaultForwarderOptions, ...options.forwarder });
    this.#prepared = new PreparedReplies(this.counters, this.#random);
  }

  /** What it knows; replace it when the store changes. */
  get view(): DnsView {
    return this.#view;
  }

  set view(view: DnsView) {
    this.#view = view;
    this.#prepared.clear();
  }

  /**
   * Servers to ask for everything else, in order. Those that lead back to this server are left out and counted.
   * Returns the ones that will be asked.
   */
  setUpstreams(upstreams: readonly Upstream[]): readonly Upstream[] {
    this.#configuredUpstreams = [...upstreams];
    this.#leftOut.clear();
    return this.#applyUpstreams();
  }

  /** Starts to answer on one more address. Rejects, with both sockets closed again, if it cannot be had. */
  async listen(options: ListenOptions): Promise<DnsListener> {
    if (this.#closed) throw new Error('the name server is closed');
    const attempts = options.port === 0 && options.fdTcp === undefined ? maxPortAttempts : 1;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#listenOnce(options);
      } catch (error) {
        const inUse = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
        if (!inUse || attempt >= attempts || options.fdUdp !== undefined) throw error;
      }
    }
  }

  /** Closes all listeners and ends all forwarding. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#forwarder.close();
    await Promise.all([...this.#listeners].map((listener) => listener.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Chooses anew which servers to ask: what leads back depends on where this server listens. */
  #applyUpstreams(): Upstream[] {
    const local = Object.values(networkInterfaces()).flatMap(
      (list) => list?.map((entry) => entry.address) ?? [],
    );
    const listeners: ListenAddress[] = [...this.#listeners];
    const usable: Upstream[] = [];
    for (const upstream of this.#configuredUpstreams) {
      if (!leadsBack(upstream, listeners, local)) {
        usable.push(upstream);
      } else if (!this.#leftOut.has(upstream)) {
        this.#leftOut.add(upstream);
        this.counters.count('upstreamLoops');
      }
    }
    this.#forwarder.setUpstreams(usable);
    // Without upstream, names that are not known here get an answer.
    this.#prepared.clear();
    return usable;
  }

  async #listenOnce(options: ListenOptions): Promise<DnsListener> {
    const connections = new Set<net.Socket>();
    const share: Share = { inFlight: 0 };
    const udp = this.#createUdp(options.address, share);
    const tcp = this.#createTcp(connections, share);
    const closeBoth = () => {
      udp.close();
      tcp.close();
    };
    try {
      await bindUdp(udp, options);
    } catch (error) {
      closeBoth();
      // Nothing has taken the descriptors over yet, and the caller has given them away.
      for (const fd of [options.fdUdp, options.fdTcp]) if (fd !== undefined) closeSync(fd);
      throw error;
    }
    try {
      await listenTcp(tcp, { ...options, port: udp.address().port });
    } catch (error) {
      closeBoth();
      throw error;
    }
    if (this.#closed) {
      closeBoth();
      throw new Error('the name server was closed while it began to listen');
    }
    const listener = new DnsListener(udp, tcp, connections, (closed) => {
      this.#listeners.delete(closed);
      this.#applyUpstreams();
    });
    this.#listeners.add(listener);
    this.#applyUpstreams();
    return listener;
  }

  #createUdp(address: string, share: Share): dgram.Socket {
    const socket = createUdpSocket(address);
    socket.on('message', (bytes, peer) => {
      const prepared = this.#prepared.find(bytes);
      if (prepared !== undefined) {
        this.counters.count('queriesUdp');
        this.#sendUdp(socket, prepared, peer);
        return;
      }
      const reply = this.#respond(bytes, false, share);
      if (reply instanceof Promise) void reply.then((later) => this.#sendUdp(socket, later, peer));
      else if (reply !== undefined) this.#sendUdp(socket, reply, peer);
    });
    socket.on('error', () => this.counters.count('socketErrors'));
    return socket;
  }

  readonly #onSent = (error: Error | null): void => {
    if (error) this.counters.count('droppedSendError');
  };

  #sendUdp(socket: dgram.Socket, reply: Buffer, peer: dgram.RemoteInfo): void {
    try {
      if (socket.getSendQueueCount() >= maxSendQueue) {
        this.counters.count('droppedSendQueue');
        return;
      }
      socket.send(reply, peer.port, peer.address, this.#onSent);
    } catch {
      // The listener was closed while the answer was on its way, or the peer's port is 0.
      this.counters.count('droppedSendError');
    }
  }

  #createTcp(connections: Set<net.Socket>, share: Share): net.Server {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      if (this.#connections >= this.#maxConnections || connections.size >= this.#maxConnectionsPerListener) {
        this.counters.count('tcpRefusedLimit');
        socket.on('error', () => this.counters.count('socketErrors'));
        socket.destroy();
        return;
      }
      this.counters.count('tcpConnections');
      connections.add(socket);
      this.#connections += 1;
      socket.on('close', () => {
        connections.delete(socket);
        this.#connections -= 1;
      });
      serveTcpConnection(
        socket,
        (message) => this.#respond(message, true, share),
        this.counters,
        this.#tcpOptions,
      );
    });
    server.on('error', () => this.counters.count('socketErrors'));
    return server;
  }

  /** The reply to whatever bytes came, at once if it can be, or undefined to stay silent. Never throws or rejects. */
  #respond(bytes: Buffer, byTcp: boolean, share: Share): Buffer | Promise<Buffer> | undefined {
    this.counters.count(byTcp ? 'queriesTcp' : 'queriesUdp');
    const query = readQuery(bytes);
    if (query.kind !== 'query') {
      this.counters.count(query.reason);
      return query.kind === 'reply' ? query.bytes : undefined;
    }
    const fail = (): Buffer => {
      this.counters.count('failedInternal');
      return bareReply(bytes, rcode.serverFailure, query.question);
    };
    try {
      return this.#answerHere(query, byTcp) ?? this.#forward(query, byTcp, share).catch(fail);
    } catch {
      return fail();
    }
  }

  /** The reply from this server's own knowledge; undefined if the query is to be forwarded. */
  #answerHere(query: Query, byTcp: boolean): Buffer | undefined {
    const result = answer(query.packet, this.#view, {
      ttl_s: this.#ttl_s,
      random: this.#random,
      hasUpstream: this.#forwarder.hasUpstream,
    });
    if (result.kind !== 'answer') return undefined;
    const { packet, outcome } = result;
    this.counters.count(outcome);
    const reply = encodeReply(packet, query, byTcp ? maxMessage_bytes : query.udpLimit_bytes);
    if (reply.truncated) {
      this.counters.count('truncated');
      return reply.bytes;
    }
    const answers = packet.answers ?? [];
    const onlyOrderVaries = answers.length <= 1 || answers.every((record) => record.type === 'A');
    if (!byTcp && onlyOrderVaries && preparedOutcomes.has(outcome)) {
      const question_bytes = query.question.length;
      const addressCount = answers.length > 1 ? answers.length : 0;
      this.#prepared.store(query.bytes, reply.bytes, { question_bytes, addressCount, outcome });
    }
    return reply.bytes;
  }

  async #forward(query: Query, byTcp: boolean, share: Share): Promise<Buffer> {
    const reply = await this.#forwarder.resolve(query, byTcp, share);
    if (reply.length <= (byTcp ? maxMessage_bytes : query.udpLimit_bytes)) return reply;
    this.counters.count('truncated');
    return cutReply(reply, query.question);
  }
}

function bindUdp(socket: dgram.Socket, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => reject(error);
    socket.once('error', onError);
    const onBound = () => {
      socket.off('error', onError);
      resolve();
    };
    if (options.fdUdp === undefined) socket.bind(options.port, options.address, onBound);
    else socket.bind({ fd: options.fdUdp }, onBound);
  });
}

function listenTcp(server: net.Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => reject(error);
    server.once('error', onError);
    const onListening = () => {
      server.off('error', onError);
      resolve();
    };
    if (options.fdTcp === undefined) server.listen(options.port, options.address, onListening);
    else server.listen({ fd: options.fdTcp }, onListening);
  });
}
