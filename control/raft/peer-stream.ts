/**
 * The way of Raft messages to one other member: one TLS connection, made anew with backoff and jitter when it breaks.
 *
 * What cannot be sent yet waits in a bounded queue that drops its oldest, since Raft sends again. Both sides send a
 * ping now and then, and give the connection up when nothing at all arrives for a while: a peer that vanished
 * without a word (a cable, a firewall) must not hold messages in TCP's own retransmissions.
 */
import type { TLSSocket } from 'node:tls';
import { encodeMessage, type Message } from './core/index.ts';
import { encodeFrame } from './frames.ts';

export const frameKinds = { message: 1, ping: 2 } as const;
/** Messages, and their size, that wait for one peer. */
export const queueLimits = { messages: 4_096, size_bytes: 64 * 1024 * 1024 } as const;
/** Bytes given to the kernel ahead of what the peer has taken. */
const ahead_bytes = 1024 * 1024;
export const ping_ms = 300;
export const silence_ms = 2_000;
const backoff_ms = { first: 20, most: 1_000 } as const;
const pingFrame = encodeFrame(frameKinds.ping, Buffer.alloc(0));

export type PeerStreamOptions = {
  raftId: number;
  connect: () => Promise<TLSSocket>;
  /** A message to the peer was dropped, or the connection broke. */
  onUnreachable: (raftId: number) => void;
  /** A snapshot left this node, or was dropped. */
  onSnapshot: (raftId: number, outcome: 'finish' | 'failure') => void;
  counters: TransportCounters;
};

/** Counted over all peers. */
export type TransportCounters = {
  sent: number;
  received: number;
  dropped: number;
  connects: number;
  connectFailures: number;
  silentPeers: number;
  refusedMessages: number;
};

type Queued = { frame: Buffer; isSnapshot: boolean };

/** Messages out to one member. */
export class PeerStream {
  readonly #options: PeerStreamOptions;
  #queue: Queued[] = [];
  #queued_bytes = 0;
  #socket: TLSSocket | null = null;
  #connecting = false;
  #failures = 0;
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: PeerStreamOptions) {
    this.#options = options;
  }

  /** Sends a message, or queues it until it can be sent. */
  send(message: Message): void {
    if (this.#closed) return;
    const frame = encodeFrame(frameKinds.message, encodeMessage(message));
    this.#queue.push({ frame, isSnapshot: message.type === 'MsgSnap' });
    this.#queued_bytes += frame.length;
    while (
      this.#queue.length > queueLimits.messages ||
      (this.#queued_bytes > queueLimits.size_bytes && this.#queue.length > 1)
    ) {
      this.#drop();
    }
    if (this.#socket === null) this.#connect();
    else this.#flush(this.#socket);
  }

  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#socket?.destroy();
    this.#queue = [];
    this.#queued_bytes = 0;
  }

  #drop(): void {
    const dropped = this.#queue.shift();
    if (dropped === undefined) return;
    this.#queued_bytes -= dropped.frame.length;
    this.#options.counters.dropped += 1;
    if (dropped.isSnapshot) this.#options.onSnapshot(this.#options.raftId, 'failure');
  }

  #connect(): void {
    if (this.#connecting || this.#retry !== null || this.#closed) return;
    this.#connecting = true;
    this.#options.connect().then(
      (socket) => this.#connected(socket),
      () => this.#broken('connectFailures'),
    );
  }

  #connected(socket: TLSSocket): void {
    this.#connecting = false;
    if (this.#closed) {
      socket.destroy();
      return;
    }
    this.#options.counters.connects += 1;
    this.#socket = socket;
    let heard_ms = performance.now();
    const pinger = setInterval(() => {
      if (performance.now() - heard_ms > silence_ms) {
        this.#options.counters.silentPeers += 1;
        socket.destroy();
      } else if (socket.writableLength < ahead_bytes) socket.write(pingFrame);
    }, ping_ms);
    socket.on('data', () => {
      heard_ms = performance.now();
      this.#failures = 0;
    });
    socket.on('drain', () => this.#flush(socket));
    socket.once('close', () => {
      clearInterval(pinger);
      this.#socket = null;
      this.#broken(null);
    });
    this.#flush(socket);
  }

  /** Waits a while that doubles with each failure, half of it random, and connects again if there is a reason to. */
  #broken(counter: 'connectFailures' | null): void {
    this.#connecting = false;
    if (this.#closed) return;
    if (counter !== null) this.#options.counters[counter] += 1;
    while (this.#queue.length > 0) this.#drop();
    this.#options.onUnreachable(this.#options.raftId);
    const full_ms = Math.min(backoff_ms.most, backoff_ms.first * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 10);
    this.#retry = setTimeout(
      () => {
        this.#retry = null;
        if (this.#queue.length > 0) this.#connect();
      },
      full_ms / 2 + Math.random() * (full_ms / 2),
    );
  }

  #flush(socket: TLSSocket): void {
    while (this.#queue.length > 0 && socket.writableLength < ahead_bytes && !socket.destroyed) {
      const { frame, isSnapshot } = this.#queue.shift() as Queued;
      this.#queued_bytes -= frame.length;
      this.#options.counters.sent += 1;
      socket.write(frame, (error) => {
        if (isSnapshot) this.#options.onSnapshot(this.#options.raftId, error ? 'failure' : 'finish');
      });
    }
  }
}
