/** The store as a stream from a manager to a worker: the worker's end. It goes from manager to manager as needed. */
import type { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { deserialiseError } from '../errors.ts';
import type { Identity } from '../pki/identity.ts';
import { connectAsMember, protocols } from '../pki/tls.ts';
import { encodeFrame, FrameReader } from '../raft/frames.ts';
import type { State } from '../store/state.ts';
import type { ChangeBatch } from '../store/watch.ts';
import type { Directory } from './directory.ts';
import { type Answer, jsonBytes, parseJson, rpcKinds, rpcLimits, streamTiming } from './rpc/protocol.ts';
import type { StreamPing } from './watch-stream.ts';

const backoff_ms = { first: 30, most: 1_000 } as const;

export type FollowerOptions = {
  state: State;
  directory: Directory;
  identity: Identity;
  localAddress: string;
  log: Logger;
  /** Who leads, as the manager says. */
  onLeader: (nodeId: string | null) => void;
};

/** Keeps a worker's replica. */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #closing = new AbortController();
  #socket: TLSSocket | null = null;
  #running: Promise<void> | null = null;
  readonly counters = { streams: 0, failures: 0, snapshots: 0, batches: 0 };

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#socket?.destroy();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    for (let turn = Math.floor(Math.random() * 64); !signal.aborted; turn += 1) {
      const managers = this.#options.directory.managers();
      const manager = managers[turn % Math.max(1, managers.length)];
      const before = this.counters.batches + this.counters.snapshots;
      try {
        if (manager !== undefined) await this.#follow(manager);
      } catch (error) {
        this.counters.failures += 1;
        this.#options.log.debug({ err: error, manager }, 'the stream from a manager ended');
      }
      failures = this.counters.batches + this.counters.snapshots > before ? 0 : Math.min(failures + 1, 10);
      if (!signal.aborted) await pause(Math.min(backoff_ms.most, backoff_ms.first * 2 ** failures), signal);
    }
  }

  /** Follows one manager until the stream ends. */
  async #follow(manager: { nodeId: string; address: string; controlPort: number }): Promise<void> {
    const { identity, localAddress, state } = this.#options;
    const destination = { address: manager.address, port: manager.controlPort, localAddress };
    const socket = await connectAsMember(destination, identity, protocols.control, manager.nodeId);
    this.#socket = socket;
    if (this.#closing.signal.aborted) socket.destroy();
    this.counters.streams += 1;
    const reader = new FrameReader(rpcLimits.answerFrame_bytes);
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(streamTiming.silence_ms, () => socket.destroy());
      socket.once('close', () => resolve());
      socket.on('data', (chunk: Buffer) => {
        try {
          for (const { kind, payload } of reader.push(chunk)) this.#take(kind, payload);
        } catch (error) {
          socket.destroy();
          reject(error);
        }
      });
      const params = { from: state.version };
      socket.write(encodeFrame(rpcKinds.call, jsonBytes({ id: 1, method: 'watch', params })));
    });
  }

  #take(kind: number, payload: Buffer): void {
    const { state, onLeader, directory } = this.#options;
    if (kind === rpcKinds.ping) onLeader((parseJson(payload) as StreamPing).leader);
    else if (kind === rpcKinds.snapshot) {
      state.load(payload);
      this.counters.snapshots += 1;
      directory.remember();
    } else if (kind === rpcKinds.event) {
      const batch = parseJson(payload) as ChangeBatch;
      state.follow(batch);
      this.counters.batches += 1;
      if (batch.changes.some((change) => change.kind === 'node')) directory.remember();
    } else if (kind === rpcKinds.error) throw deserialiseError((parseJson(payload) as Answer).error);
  }
}

function pause(time_ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, time_ms * (0.5 + Math.random() / 2));
    signal.addEventListener('abort', done, { once: true });
  });
}
