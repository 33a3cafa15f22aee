import { MalformedMessageError } from '../errors.ts';

/**
 * Reads numbers and slices off a buffer, in host byte order unless a name says otherwise. Every read is checked
 * against the bounds; going past them throws MalformedMessageError with the name of the field.
 */
export class Cursor {
  readonly #data: Buffer;
  #offset: number;
  readonly #end: number;

  /** @param data what to read; @param start first byte; @param end one past the last byte */
  constructor(data: Buffer, start = 0, end = data.length) {
    if (start < 0 || end > data.length || start > end) {
      throw new MalformedMessageError(
        `range ${start}..${end} is outside of a buffer of ${data.length} bytes`,
      );
    }
    this.#data = data;
    this.#offset = start;
    this.#end = end;
  }

  /** Where the next read starts, from the start of the buffer. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes left to read. */
  get remaining(): number {
    return this.#end - this.#offset;
  }

  #take(size: number, field: string): number {
    if (size > this.remaining) {
      throw new MalformedMessageError(
        `${field} needs ${size} bytes at offset ${this.#offset}, but only ${this.remaining} are left`,
      );
    }
    const at = this.#offset;
    this.#offset += size;
    return at;
  }

  /** An unsigned 8-bit number. */
  u8(field: string): number {
    return this.#data.readUInt8(this.#take(1, field));
  }

  /** An unsigned 16-bit number. */
  u16(field: string): number {
    return this.#data.readUInt16LE(this.#take(2, field));
  }

  /** An unsigned 32-bit number. */
  u32(field: string): number {
    return this.#data.readUInt32LE(this.#take(4, field));
  }

  /** A signed 32-bit number. */
  s32(field: string): number {
    return this.#data.readInt32LE(this.#take(4, field));
  }

  /** A view of the next bytes. */
  bytes(size: number, field: string): Buffer {
    const at = this.#take(size, field);
    return this.#data.subarray(at, at + size);
  }

  /** Passes over bytes; at the very end, missing alignment padding is no error. */
  skipPadding(size: number): void {
    this.#offset += Math.min(size, this.remaining);
  }
}
