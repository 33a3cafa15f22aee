/** Reading and writing the codec's primitives within bounds. */

/**
 * - `TRUNCATED`: the bytes end too early.
 * - `TRAILING_BYTES`: more bytes than the value has.
 * - `BAD_VERSION`, `BAD_KIND`: not written by this codec, or for something else.
 * - `BAD_VALUE`: a number, a name or a flag out of range.
 * - `TOO_LARGE`: over a named limit.
 */
export type CodecErrorCode =
  | 'TRUNCATED'
  | 'TRAILING_BYTES'
  | 'BAD_VERSION'
  | 'BAD_KIND'
  | 'BAD_VALUE'
  | 'TOO_LARGE';

/** Bytes that cannot be decoded, or a value that cannot be encoded. */
export class RaftCodecError extends Error {
  override readonly name = 'RaftCodecError';
  readonly code: CodecErrorCode;

  constructor(code: CodecErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Bytes in a varint of 53 bits: 7 groups of 7 bits and one of 4. */
const MAX_VARINT_BYTES = 8;

/** Small results are cut from slabs of this size: allocating each one by itself is what costs most. */
const SLAB_BYTES = 65_536;
/** A result above this size gets memory of its own. */
const MAX_FROM_SLAB_BYTES = 4_096;
/** The writing buffer is given back when a large value has made it grow beyond this. */
const MAX_KEPT_BYTES = 1_048_576;

let slab = new Uint8Array(SLAB_BYTES);
let slabUsed = 0;

/** Memory for a result. That from a slab is never handed out twice. */
function allocate(length: number): Uint8Array {
  if (length > MAX_FROM_SLAB_BYTES) return new Uint8Array(length);
  if (slabUsed + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    slabUsed = 0;
  }
  slabUsed += length;
  return slab.subarray(slabUsed - length, slabUsed);
}

/** Appends primitives to a buffer that grows, and is used again for the next value. */
export class Writer {
  #bytes: Uint8Array = new Uint8Array(SLAB_BYTES);
  #length = 0;

  /** Begins a value; one that was begun and not finished is forgotten. */
  start(): void {
    this.#length = 0;
    if (this.#bytes.length > MAX_KEPT_BYTES) this.#bytes = new Uint8Array(SLAB_BYTES);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  /** A safe, non-negative integer: 7 bits per byte, least significant first, high bit set but for the last. */
  number(value: number, name: string): void {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new RaftCodecError('BAD_VALUE', `${name} ${value} is not an integer between 0 and 2^53 - 1`);
    }
    this.#reserve(MAX_VARINT_BYTES);
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.#length] = (rest % 128) + 128;
      this.#length += 1;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length] = rest;
    this.#length += 1;
  }

  /** Bytes after their length. */
  bytes(value: Uint8Array): void {
    this.number(value.length, 'length');
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** What was written since `start`, as bytes of its own. */
  finish(): Uint8Array {
    const bytes = allocate(this.#length);
    bytes.set(this.#bytes.subarray(0, this.#length));
    return bytes;
  }

  #reserve(count: number): void {
    const need = this.#length + count;
    if (need <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(need, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** Takes primitives off a buffer, and never reads past its end. */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  byte(name: string): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw new RaftCodecError('TRUNCATED', `the bytes end before ${name}`);
    this.#at += 1;
    return value;
  }

  /** A safe, non-negative integer. Only its shortest form is accepted. */
  number(name: string): number {
    let value = 0;
    let scale = 1;
    for (let read = 1; read <= MAX_VARINT_BYTES; read += 1) {
      const byte = this.byte(name);
      value += (byte % 128) * scale;
      if (byte < 128) {
        if (!Number.isSafeInteger(value)) throw new RaftCodecError('BAD_VALUE', `${name} is above 2^53 - 1`);
        if (byte === 0 && read > 1) throw new RaftCodecError('BAD_VALUE', `${name} is padded with zeroes`);
        return value;
      }
      scale *= 128;
    }
    throw new RaftCodecError('BAD_VALUE', `${name} is longer than ${MAX_VARINT_BYTES} bytes`);
  }

  /** How many elements follow: at most `max`, and no more than could fit into the bytes that are left. */
  count(name: string, max: number, minBytesEach: number): number {
    const count = this.number(name);
    if (count > max) throw new RaftCodecError('TOO_LARGE', `${count} ${name} are more than ${max}`);
    if (count * minBytesEach > this.remaining) {
      throw new RaftCodecError('TRUNCATED', `${count} ${name} do not fit into ${this.remaining} bytes`);
    }
    return count;
  }

  /** Bytes after their length, as a view into the input. */
  bytes(name: string): Uint8Array {
    const length = this.number(`length of ${name}`);
    if (length > this.remaining) {
      throw new RaftCodecError('TRUNCATED', `${name} of ${length} bytes does not fit into ${this.remaining}`);
    }
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  /** Asserts that nothing is left. */
  end(): void {
    if (this.remaining > 0)
      throw new RaftCodecError('TRAILING_BYTES', `${this.remaining} bytes are left over`);
  }
}
