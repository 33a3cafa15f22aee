/** Frames on a stream: length (4 bytes, big-endian, of kind and payload), kind (1 byte), payload. */

const header_bytes = 5;

/** A received frame. The payload is a copy of its own. */
export type Frame = { kind: number; payload: Buffer };

/** The bytes of a frame. */
export function encodeFrame(kind: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(header_bytes + payload.length);
  frame.writeUInt32BE(payload.length + 1, 0);
  frame.writeUInt8(kind, 4);
  frame.set(payload, header_bytes);
  return frame;
}

/** Cuts a stream into frames; holds at most one frame of `limit_bytes` and what came with its last piece. */
export class FrameReader {
  readonly #limit_bytes: number;
  #chunks: Buffer[] = [];
  #size_bytes = 0;
  #needed_bytes = header_bytes;

  constructor(limit_bytes: number) {
    this.#limit_bytes = limit_bytes;
  }

  /** Takes what was received and gives the frames that are complete. Throws RangeError for one that is too long. */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#size_bytes += chunk.length;
    if (this.#size_bytes < this.#needed_bytes) return [];
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    const frames: Frame[] = [];
    for (;;) {
      if (rest.length < header_bytes) {
        this.#needed_bytes = header_bytes;
        break;
      }
      const length = rest.readUInt32BE(0);
      if (length < 1 || length > this.#limit_bytes) {
        throw new RangeError(`a frame of ${length} bytes; from 1 to ${this.#limit_bytes} are allowed`);
      }
      if (rest.length < length + 4) {
        this.#needed_bytes = length + 4;
        break;
      }
      frames.push({ kind: rest.readUInt8(4), payload: Buffer.from(rest.subarray(header_bytes, length + 4)) });
      rest = rest.subarray(length + 4);
    }
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#size_bytes = rest.length;
    return frames;
  }
}
