/** Raft messages between managers: one stream out to each of them, and one in from each. */
import type { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { decodeMessage, isNetworkMessage, type Message } from './core/index.ts';
import { encodeFrame, FrameReader } from './frames.ts';
import { frameKinds, PeerStream, ping_ms, silence_ms, type TransportCounters } from './peer-stream.ts';

/** Longest frame: a snapshot of the largest store, with room. */
const frameLimit_bytes = 512 * 1024 * 1024;
/** Managers that messages are kept ready for. */
const peersLimit = 64;

export type TransportOptions = {
  log: Logger;
  raftId: number;
  /** A connection to the member, for protocol `shoal-raft/1`; rejects if it is unknown or not there. */
  connect: (raftId: number) => Promise<TLSSocket>;
  receive: (message: Message) => void;
  onUnreachable: (raftId: number) => void;
  onSnapshot: (raftId: number, outcome: 'finish' | 'failure') => void;
};

/** All streams of one manager. */
export class RaftTransport {
  readonly #options: TransportOptions;
  readonly #peers = new Map<number, PeerStream>();
  readonly #inbound = new Set<TLSSocket>();
  readonly counters: TransportCounters = {
    sent: 0,
    received: 0,
    dropped: 0,
    connects: 0,
    connectFailures: 0,
    silentPeers: 0,
    refusedMessages: 0,
  };

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** Sends a message to its target; it may be dropped. */
  send(message: Message): void {
    let peer = this.#peers.get(message.to);
    if (peer === undefined) {
      if (this.#peers.size >= peersLimit) {
        this.counters.dropped += 1;
        return;
      }
      const { connect, onUnreachable, onSnapshot } = this.#options;
      const raftId = message.to;
      peer = new PeerStream({
        raftId,
        connect: () => connect(raftId),
        onUnreachable,
        onSnapshot,
        counters: this.counters,
      });
      this.#peers.set(raftId, peer);
    }
    peer.send(message);
  }

  /** Takes over a stream from another manager, whose Raft id was found from its certificate. */
  accept(socket: TLSSocket, from: number): void {
    const reader = new FrameReader(frameLimit_bytes);
    const ping = encodeFrame(frameKinds.ping, Buffer.alloc(0));
    let heard_ms = performance.now();
    const pinger = setInterval(() => {
      if (performance.now() - heard_ms > silence_ms) {
        this.counters.silentPeers += 1;
        socket.destroy();
      } else if (socket.writableLength === 0) socket.write(ping);
    }, ping_ms);
    this.#inbound.add(socket);
    socket.once('close', () => {
      clearInterval(pinger);
      this.#inbound.delete(socket);
    });
    socket.on('data', (chunk: Buffer) => {
      heard_ms = performance.now();
      try {
        for (const { kind, payload } of reader.push(chunk)) {
          if (kind === frameKinds.message) this.#receive(payload, from);
        }
      } catch (error) {
        this.counters.refusedMessages += 1;
        this.#options.log.warn({ err: error, from }, 'a manager sent what is not a Raft message');
        socket.destroy();
      }
    });
    socket.write(ping);
  }

  /** Gives up the streams to all but these members. */
  retain(raftIds: ReadonlySet<number>): void {
    for (const [raftId, peer] of this.#peers) {
      if (raftIds.has(raftId)) continue;
      peer.close();
      this.#peers.delete(raftId);
    }
  }

  close(): void {
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
    for (const socket of this.#inbound) socket.destroy();
  }

  #receive(payload: Buffer, from: number): void {
    const message = decodeMessage(payload);
    if (!isNetworkMessage(message) || message.from !== from || message.to !== this.#options.raftId) {
      this.counters.refusedMessages += 1;
      return;
    }
    this.counters.received += 1;
    this.#options.receive(message);
  }
}
