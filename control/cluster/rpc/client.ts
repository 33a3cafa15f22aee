/** The calling side: one connection to one node, made when it is needed. */
import type { TLSSocket } from 'node:tls';
import { deserialiseError, type ShoalError, shoalError } from '../../errors.ts';
import { encodeFrame, FrameReader } from '../../raft/frames.ts';
import { type Answer, jsonBytes, parseJson, rpcKinds, rpcLimits } from './protocol.ts';

type Waiting = { resolve: (value: unknown) => void; reject: (error: Error) => void; timer: NodeJS.Timeout };

/** Time without calls after which a connection is closed. */
const idle_ms = 30_000;

/** Calls to one node. */
export class RpcClient {
  readonly #connect: () => Promise<TLSSocket>;
  readonly #name: string;
  #socket: Promise<TLSSocket> | null = null;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #heard_ms = 0;
  #closed = false;

  /** `name` is who is called, for messages. */
  constructor(name: string, connect: () => Promise<TLSSocket>) {
    this.#name = name;
    this.#connect = connect;
  }

  /**
   * Calls a method. Throws what the other side threw; UNREACHABLE when the call was not sent; TIMEOUT when it was, and
   * there is no answer.
   */
  async call(method: string, params: unknown, timeout_ms: number): Promise<unknown> {
    if (this.#waiting.size >= rpcLimits.callsPerConnection) {
      throw shoalError('OVERLOADED', { what: `calls to ${this.#name}`, limit: rpcLimits.callsPerConnection });
    }
    const deadline_ms = performance.now() + timeout_ms;
    const socket = await within(this.#open(), timeout_ms, () =>
      shoalError('UNREACHABLE', {
        address: this.#name,
        reason: `no connection within ${Math.round(timeout_ms)} ms`,
      }),
    );
    const id = this.#nextId;
    this.#nextId += 1;
    const sent_ms = performance.now();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => {
          this.#waiting.delete(id);
          reject(shoalError('TIMEOUT', { reason: `${this.#name} did not answer "${method}"` }));
          // A peer that vanished must not hold later calls in TCP's retransmissions: the next one connects anew.
          if (this.#heard_ms < sent_ms) socket.destroy();
        },
        Math.max(1, deadline_ms - performance.now()),
      );
      this.#waiting.set(id, { resolve, reject, timer });
      socket.write(encodeFrame(rpcKinds.call, jsonBytes({ id, method, params })));
    });
  }

  close(): void {
    this.#closed = true;
    this.#socket?.then(
      (socket) => socket.destroy(),
      () => undefined,
    );
  }

  #open(): Promise<TLSSocket> {
    if (this.#closed)
      return Promise.reject(
        shoalError('UNREACHABLE', { address: this.#name, reason: 'this node is closing' }),
      );
    this.#socket ??= this.#connect().then(
      (socket) => {
        this.#attach(socket);
        return socket;
      },
      (error) => {
        this.#socket = null;
        throw error;
      },
    );
    return this.#socket;
  }

  #attach(socket: TLSSocket): void {
    const reader = new FrameReader(rpcLimits.answerFrame_bytes);
    socket.setTimeout(idle_ms, () => {
      if (this.#waiting.size === 0) socket.destroy();
    });
    socket.once('close', () => {
      this.#socket = null;
      this.#failAll();
    });
    socket.on('data', (chunk: Buffer) => {
      this.#heard_ms = performance.now();
      try {
        for (const { kind, payload } of reader.push(chunk)) {
          if (kind === rpcKinds.value || kind === rpcKinds.error)
            this.#answered(parseJson(payload) as Answer);
        }
      } catch {
        socket.destroy();
      }
    });
    if (socket.destroyed) this.#socket = null;
    if (this.#closed) socket.destroy();
  }

  #answered(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    if (waiting === undefined) return;
    this.#waiting.delete(answer.id);
    clearTimeout(waiting.timer);
    if (answer.error === undefined) waiting.resolve(answer.value);
    else waiting.reject(deserialiseError(answer.error));
  }

  #failAll(): void {
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(shoalError('TIMEOUT', { reason: `the connection to ${this.#name} was lost` }));
    }
    this.#waiting.clear();
  }
}

/** `promise`, or the error made by `late` once the time is over. */
export function within<T>(promise: Promise<T>, timeout_ms: number, late: () => ShoalError): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), Math.max(1, timeout_ms));
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
