/**
 * Linearizable reads that wait until a quorum confirms that this node is still the leader (dissertation 6.4).
 * Reads are numbered; a heartbeat carries the number of the newest, and answering it confirms all up to there.
 */

import type { JointConfig } from './quorum.ts';
import { type Message, NO_BYTES } from './types.ts';

/** Bytes of a read's number in a heartbeat, little-endian. */
const POSITION_BYTES = 8;

/** A read and the commit index at which it may be served. */
export interface PendingRead {
  readonly request: Message;
  readonly index: number;
}

/** The queue of unconfirmed reads of one leader in one term. */
export class ReadOnly {
  /** The newest read that each member has confirmed. */
  readonly #acks = new Map<number, number>();
  readonly #unconfirmed: PendingRead[] = [];
  /** How many reads were confirmed, and left `#unconfirmed`, before. */
  #confirmed = 0;

  /** How many reads are waiting. */
  get length(): number {
    return this.#unconfirmed.length;
  }

  /** Queues a read that may be served at `commitIndex`. */
  add(request: Message, commitIndex: number): void {
    this.#unconfirmed.push({ request, index: commitIndex });
  }

  /** What a heartbeat carries: the number of the newest read, or nothing if none is waiting. */
  heartbeatContext(): Uint8Array {
    if (this.#unconfirmed.length === 0) return NO_BYTES;
    const context = new Uint8Array(POSITION_BYTES);
    const position = BigInt(this.#confirmed + this.#unconfirmed.length);
    new DataView(context.buffer).setBigUint64(0, position, true);
    return context;
  }

  /** A member answered a heartbeat. A context that no leader wrote is ignored. */
  acknowledge(from: number, context: Uint8Array): void {
    if (context.length !== POSITION_BYTES) return;
    const view = new DataView(context.buffer, context.byteOffset, context.byteLength);
    const position = Number(view.getBigUint64(0, true));
    this.#acks.set(from, Math.max(this.#acks.get(from) ?? 0, position));
  }

  /** Takes out the reads that a quorum has confirmed. */
  takeConfirmed(voters: JointConfig): PendingRead[] {
    const confirmed = voters.committedIndex((id) => this.#acks.get(id));
    const count = Math.min(confirmed - this.#confirmed, this.#unconfirmed.length);
    if (count <= 0) return [];
    this.#confirmed += count;
    return this.#unconfirmed.splice(0, count);
  }
}
