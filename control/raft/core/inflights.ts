/** The window of append messages on their way to one follower, bounded by count and by bytes. */

import { invariantBroken } from './errors.ts';

/** A ring of (last index, bytes) per message, in the order of sending. Grows on demand up to its limit. */
export class Inflights {
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  /** Parallel rings of equal length, at most `#maxMessages`. */
  #indexes: number[] = [];
  #sizes: number[] = [];
  /** Position of the oldest message. Invariant: 0 when empty. */
  #start = 0;
  #count = 0;
  #bytes = 0;

  /** `maxMessages` at least 1; `maxBytes` may be Infinity. */
  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** True if no more may be sent. The last message may overshoot the byte limit. */
  get full(): boolean {
    return this.#count === this.#maxMessages || this.#bytes >= this.#maxBytes;
  }

  /** Records a message that ends at `index`, which must not be below that of the message before it. */
  add(index: number, bytes: number): void {
    if (this.full)
      invariantBroken(`an append ending at index ${index} was sent into a full in-flight window`);
    if (this.#count === this.#indexes.length) this.#grow();
    const at = (this.#start + this.#count) % this.#indexes.length;
    this.#indexes[at] = index;
    this.#sizes[at] = bytes;
    this.#count += 1;
    this.#bytes += bytes;
  }

  /** Forgets the messages that end at or before `index`: the follower has them. */
  freeUpTo(index: number): void {
    while (this.#count > 0 && (this.#indexes[this.#start] ?? 0) <= index) {
      this.#bytes -= this.#sizes[this.#start] ?? 0;
      this.#start = (this.#start + 1) % this.#indexes.length;
      this.#count -= 1;
    }
    if (this.#count === 0) this.#start = 0;
  }

  /** Forgets all messages. */
  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const size = Math.min(this.#maxMessages, Math.max(1, this.#indexes.length * 2));
    const indexes: number[] = new Array(size).fill(0);
    const sizes: number[] = new Array(size).fill(0);
    for (let n = 0; n < this.#count; n += 1) {
      const from = (this.#start + n) % this.#indexes.length;
      indexes[n] = this.#indexes[from] ?? 0;
      sizes[n] = this.#sizes[from] ?? 0;
    }
    this.#indexes = indexes;
    this.#sizes = sizes;
    this.#start = 0;
  }
}
