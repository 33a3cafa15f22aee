/**
 * How far a message's body reaches (RFC 9112, sections 6 and 7). The machine looks at bytes as they pass and says
 * how many of them belong to the message; it changes and keeps none of them.
 */
import { isForbiddenByte, parseFieldLine } from './grammar.ts';
import type { L7Limits } from './limits.ts';

/** How a body's end is found. `none` has no body at all. */
export type Framing =
  | { kind: 'none' }
  | { kind: 'length'; length: number }
  | { kind: 'chunked' }
  | { kind: 'until-close' };

/** Why a chunked body is refused. */
export type BodyError =
  | 'chunk-size'
  | 'chunk-size-too-large'
  | 'chunk-extension'
  | 'chunk-extensions-too-long'
  | 'chunk-end'
  | 'trailer-line'
  | 'trailer-too-long'
  | 'trailer-framing-field';

/** Called with the range of each run of body data (without chunk framing) in the bytes just pushed. */
export type OnBodyData = (start: number, end: number) => void;

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
/** 13 hexadecimal digits are 2^52. */
const chunkSizeDigits = 13;

type ChunkState =
  | 'size'
  | 'space'
  | 'extension'
  | 'size-lf'
  | 'data'
  | 'data-cr'
  | 'data-lf'
  | 'trailer'
  | 'trailer-lf';

/** Fields that would change the message after the fact (RFC 9110, 6.5.1). */
const framingFields = new Set(['content-length', 'transfer-encoding', 'host', 'trailer', 'connection']);

/** Follows one body to its end. */
export class BodyReader {
  readonly #kind: Framing['kind'];
  readonly #limits: L7Limits;
  /** Bytes left of the body, or of the current chunk's data. */
  #left: number;
  #state: ChunkState = 'size';
  #digits = 0;
  #extensions_bytes = 0;
  #trailer_bytes = 0;
  #trailerFields = 0;
  #trailerLine = '';
  #done: boolean;
  #error: BodyError | null = null;

  constructor(framing: Framing, limits: L7Limits) {
    this.#kind = framing.kind;
    this.#limits = limits;
    this.#left = framing.kind === 'length' ? framing.length : 0;
    this.#done = framing.kind === 'none' || (framing.kind === 'length' && framing.length === 0);
  }

  /** Whether the body's last byte has been seen. */
  get done(): boolean {
    return this.#done;
  }

  /** Why the body is not one; nothing after it belongs to anything. */
  get error(): BodyError | null {
    return this.#error;
  }

  /** Takes the next bytes and returns how many of them belong to this body (0 once it is done or in error). */
  push(bytes: Uint8Array, onData?: OnBodyData): number {
    if (this.#done || this.#error !== null) return 0;
    if (this.#kind === 'until-close') {
      onData?.(0, bytes.length);
      return bytes.length;
    }
    if (this.#kind === 'length') {
      const used = Math.min(this.#left, bytes.length);
      this.#left -= used;
      this.#done = this.#left === 0;
      onData?.(0, used);
      return used;
    }
    return this.#pushChunked(bytes, onData);
  }

  /** The connection ended: whether the body is whole. Only `until-close` ends this way. */
  end(): boolean {
    if (this.#kind === 'until-close') this.#done = true;
    return this.#done;
  }

  #pushChunked(bytes: Uint8Array, onData?: OnBodyData): number {
    let i = 0;
    while (i < bytes.length && !this.#done && this.#error === null) {
      if (this.#state === 'data') {
        const used = Math.min(this.#left, bytes.length - i);
        onData?.(i, i + used);
        this.#left -= used;
        i += used;
        if (this.#left === 0) this.#state = 'data-cr';
        continue;
      }
      this.#error = this.#step(bytes[i] as number);
      if (this.#error === null) i += 1;
    }
    return i;
  }

  /** One byte of chunk framing; what is wrong with it, or null. */
  #step(byte: number): BodyError | null {
    switch (this.#state) {
      case 'size':
        return this.#size(byte);
      case 'space':
        if (byte === SEMICOLON) this.#state = 'extension';
        else if (byte !== 0x20 && byte !== 0x09) return 'chunk-size';
        return this.#countExtension();
      case 'extension':
        if (byte === CR) return this.#next('size-lf');
        return isForbiddenByte[byte] === 1 ? 'chunk-extension' : this.#countExtension();
      case 'size-lf':
        if (byte !== LF) return 'chunk-size';
        this.#digits = 0;
        return this.#next(this.#left === 0 ? 'trailer' : 'data');
      case 'data-cr':
        return byte === CR ? this.#next('data-lf') : 'chunk-end';
      case 'data-lf':
        return byte === LF ? this.#next('size') : 'chunk-end';
      default:
        return this.#trailer(byte);
    }
  }

  #next(state: ChunkState): null {
    this.#state = state;
    return null;
  }

  #size(byte: number): BodyError | null {
    const digit = hexDigit(byte);
    if (digit !== -1) {
      this.#digits += 1;
      if (this.#digits > chunkSizeDigits) return 'chunk-size-too-large';
      this.#left = this.#left * 16 + digit;
      return null;
    }
    if (this.#digits === 0) return 'chunk-size';
    if (byte === CR) return this.#next('size-lf');
    if (byte === SEMICOLON) this.#state = 'extension';
    else if (byte === 0x20 || byte === 0x09) this.#state = 'space';
    else return 'chunk-size';
    return this.#countExtension();
  }

  #countExtension(): BodyError | null {
    this.#extensions_bytes += 1;
    return this.#extensions_bytes > this.#limits.chunkExtensionsSize_bytes
      ? 'chunk-extensions-too-long'
      : null;
  }

  #trailer(byte: number): BodyError | null {
    this.#trailer_bytes += 1;
    if (this.#trailer_bytes > this.#limits.trailerSize_bytes) return 'trailer-too-long';
    if (this.#state === 'trailer-lf') {
      this.#state = 'trailer';
      return byte === LF ? this.#trailerLineEnd() : 'trailer-line';
    }
    if (byte === CR) return this.#next('trailer-lf');
    if (isForbiddenByte[byte] === 1) return 'trailer-line';
    this.#trailerLine += String.fromCharCode(byte);
    return null;
  }

  #trailerLineEnd(): BodyError | null {
    if (this.#trailerLine === '') {
      this.#done = true;
      return null;
    }
    const field = parseFieldLine(this.#trailerLine);
    this.#trailerLine = '';
    this.#trailerFields += 1;
    if (typeof field === 'string') return 'trailer-line';
    if (framingFields.has(field.lower)) return 'trailer-framing-field';
    return this.#trailerFields > this.#limits.trailerFields ? 'trailer-too-long' : null;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
