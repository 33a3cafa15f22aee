/** DNS over TCP: each message follows a two-byte length (RFC 1035 section 4.2.2, RFC 7766 section 8). */

/** Puts the length in front of a message. Throws a RangeError if it does not fit in 16 bits. */
export function frame(message: Buffer): Buffer {
  const prefix = Buffer.alloc(2);
  prefix.writeUInt16BE(message.length);
  return Buffer.concat([prefix, message]);
}

/**
 * Cuts a byte stream into messages, however the bytes arrive. Holds at most one message of `limit_bytes`, plus
 * the chunk it was just given.
 */
export class FrameReader {
  readonly #limit_bytes: number;
  #chunks: Buffer[] = [];
  #held_bytes = 0;
  /** Bytes needed before anything more can be read: the prefix first, then prefix and message. */
  #wanted_bytes = 2;

  constructor(limit_bytes: number) {
    this.#limit_bytes = limit_bytes;
  }

  /**
   * Takes the next bytes and returns the messages they complete; undefined if a message is empty or longer than
   * the limit, after which the stream has lost its meaning and must be closed.
   */
  push(chunk: Buffer): Buffer[] | undefined {
    this.#chunks.push(chunk);
    this.#held_bytes += chunk.length;
    if (this.#held_bytes < this.#wanted_bytes) return [];
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    const messages: Buffer[] = [];
    let at = 0;
    this.#wanted_bytes = 2;
    while (bytes.length - at >= 2) {
      const length = bytes.readUInt16BE(at);
      if (length === 0 || length > this.#limit_bytes) return undefined;
      this.#wanted_bytes = 2 + length;
      if (bytes.length - at < this.#wanted_bytes) break;
      messages.push(bytes.subarray(at + 2, at + this.#wanted_bytes));
      at += this.#wanted_bytes;
      this.#wanted_bytes = 2;
    }
    // A copy, so that a few left-over bytes do not keep a large chunk alive.
    const rest = Buffer.from(bytes.subarray(at));
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#held_bytes = rest.length;
    return messages;
  }
}
