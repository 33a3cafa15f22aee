/**
 * From bytes to the lines of a message head (RFC 9112, section 2). Works byte by byte, so that the result is the
 * same however the bytes were cut, and copies only when a head comes in more than one piece.
 *
 * Lines end in CRLF and nothing else: a bare LF or CR is refused, because peers disagree on what it means.
 */
import { type FieldLineError, type HeaderField, isForbiddenByte, parseFieldLine } from './grammar.ts';
import type { L7Limits } from './limits.ts';

const CR = 0x0d;
const LF = 0x0a;

/** Short fixed name of what is wrong with a head; the text for people is beside it in `HeadError`. */
export type HeadErrorCode =
  | FieldLineError
  | 'bare-lf'
  | 'bare-cr'
  | 'control-character'
  | 'empty-start-line'
  | 'start-line-too-long'
  | 'head-too-long'
  | 'too-many-fields'
  | 'request-line'
  | 'method'
  | 'method-too-long'
  | 'method-connect'
  | 'method-trace'
  | 'target'
  | 'target-form'
  | 'version'
  | 'version-unsupported'
  | 'host-missing'
  | 'host-duplicate'
  | 'host-invalid'
  | 'content-length'
  | 'content-length-duplicate'
  | 'content-length-with-transfer-encoding'
  | 'transfer-encoding'
  | 'transfer-encoding-not-final'
  | 'transfer-encoding-unsupported'
  | 'transfer-encoding-version'
  | 'expectation'
  | 'status-line';

/** A refused head: the status to answer with, a fixed code, and one sentence. */
export type HeadError = { status: number; code: HeadErrorCode; reason: string };

/** Makes a `HeadError`. */
export function headError(status: number, code: HeadErrorCode, reason: string): HeadError {
  return { status, code, reason };
}

/** What a reader says after some bytes: wait for more, a whole head, or why not. */
export type HeadResult<Head> =
  | { state: 'more' }
  | { state: 'head'; head: Head; consumed: number }
  | { state: 'error'; error: HeadError };

/** The lines of a head, start line parsed. */
export type HeadLines<Start> = { start: Start; fields: HeaderField[] };

const more: { state: 'more' } = { state: 'more' };

const fieldReasons: Record<FieldLineError, string> = {
  'obs-fold': 'a header line begins with white space (line folding)',
  'missing-colon': 'a header line has no colon',
  'space-before-colon': 'there is white space between a header name and its colon',
  'field-name': 'a header name has characters that are not allowed in one',
};

/** Differences between reading requests and responses. */
export type HeadReaderOptions<Start> = {
  limits: L7Limits;
  parseStartLine: (line: string) => Start | HeadError;
  startLineSize_bytes: number;
  /** Status for a start line that is too long. */
  startLineStatus: number;
};

/**
 * Reads one head after another. `push` bytes until it gives a head; `consumed` is how many bytes of that last
 * piece belong to it. After an error the reader stays in error.
 */
export class HeadReader<Start extends object> {
  readonly #options: HeadReaderOptions<Start>;
  /** Bytes of an unfinished head from former pieces; null when there are none. */
  #held: Buffer | null = null;
  #heldLength = 0;
  #scanned = 0;
  #lineStart = 0;
  #skippedEmptyLine = false;
  #start: Start | null = null;
  #fields: HeaderField[] = [];
  #error: HeadError | null = null;

  constructor(options: HeadReaderOptions<Start>) {
    this.#options = options;
  }

  /** Whether part of a head has been read. */
  get begun(): boolean {
    return this.#scanned > 0;
  }

  push(chunk: Uint8Array): HeadResult<HeadLines<Start>> {
    if (this.#error !== null) return { state: 'error', error: this.#error };
    const heldBefore = this.#heldLength;
    const bytes = this.#view(chunk);
    const length = heldBefore === 0 ? chunk.length : this.#heldLength;
    const end = this.#scan(bytes, length);
    if (typeof end === 'object') {
      this.#error = end;
      this.#held = null;
      return { state: 'error', error: end };
    }
    if (end === -1) {
      if (heldBefore === 0 && length > 0) this.#hold(chunk);
      return more;
    }
    const start = this.#start;
    if (start === null) throw new Error('a head ended before its start line');
    const lines = { start, fields: this.#fields };
    this.#reset();
    return { state: 'head', head: lines, consumed: end - heldBefore };
  }

  /** Scans on to the head's end and returns it, or -1 for more, or the error. */
  #scan(bytes: Uint8Array, length: number): number | HeadError {
    const { limits, startLineSize_bytes, startLineStatus } = this.#options;
    let i = this.#scanned;
    for (; i < length; i += 1) {
      const byte = bytes[i] as number;
      if (i >= limits.headSize_bytes) {
        return headError(431, 'head-too-long', `the head is longer than ${limits.headSize_bytes} bytes`);
      }
      if (this.#start === null && i - this.#lineStart >= startLineSize_bytes + 2) {
        return headError(
          startLineStatus,
          'start-line-too-long',
          `the first line is longer than ${startLineSize_bytes} bytes`,
        );
      }
      const afterCr = i > this.#lineStart && bytes[i - 1] === CR;
      if (byte === LF) {
        if (!afterCr) return headError(400, 'bare-lf', 'a line ends in LF without CR');
        const from = this.#lineStart;
        this.#lineStart = i + 1;
        if (i - 1 === from && this.#start !== null) return i + 1;
        const error = this.#line(latin1(bytes, from, i - 1));
        if (error !== null) return error;
      } else if (afterCr) {
        return headError(400, 'bare-cr', 'there is a CR that no LF follows');
      } else if (isForbiddenByte[byte] === 1 && byte !== CR) {
        return headError(400, 'control-character', `there is a control character (0x${byte.toString(16)})`);
      }
    }
    this.#scanned = i;
    return -1;
  }

  #line(line: string): HeadError | null {
    if (this.#start === null) {
      if (line === '' && !this.#skippedEmptyLine) {
        // RFC 9112, 2.2: one empty line before a request is ignored.
        this.#skippedEmptyLine = true;
        return null;
      }
      if (line === '') return headError(400, 'empty-start-line', 'the first line is empty');
      const start = this.#options.parseStartLine(line);
      if ('status' in start && 'code' in start) return start as HeadError;
      this.#start = start as Start;
      return null;
    }
    const field = parseFieldLine(line);
    if (typeof field === 'string') return headError(400, field, fieldReasons[field]);
    if (this.#fields.length >= this.#options.limits.headerFields) {
      const count = this.#options.limits.headerFields;
      return headError(431, 'too-many-fields', `there are more than ${count} header lines`);
    }
    this.#fields.push(field);
    return null;
  }

  /** The bytes to scan: the piece itself, or the held bytes with the piece behind them. */
  #view(chunk: Uint8Array): Uint8Array {
    if (this.#held === null) return chunk;
    this.#hold(chunk);
    return this.#held;
  }

  #hold(chunk: Uint8Array): void {
    // What lies beyond the limit is never scanned, so one byte more than the limit is all there is to keep.
    const room = this.#options.limits.headSize_bytes + 1 - this.#heldLength;
    const piece = chunk.length > room ? chunk.subarray(0, room) : chunk;
    const needed = this.#heldLength + piece.length;
    if (this.#held === null || this.#held.length < needed) {
      const grown = Buffer.allocUnsafe(Math.max(1_024, needed, (this.#held?.length ?? 0) * 2));
      if (this.#held !== null) this.#held.copy(grown, 0, 0, this.#heldLength);
      this.#held = grown;
    }
    this.#held.set(piece, this.#heldLength);
    this.#heldLength = needed;
  }

  #reset(): void {
    this.#held = null;
    this.#heldLength = 0;
    this.#scanned = 0;
    this.#lineStart = 0;
    this.#skippedEmptyLine = false;
    this.#start = null;
    this.#fields = [];
  }
}

function latin1(bytes: Uint8Array, from: number, to: number): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString('latin1', from, to);
}
