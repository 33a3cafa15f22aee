import { MalformedMessageError } from '../errors.ts';
import { Cursor } from './cursor.ts';

const HEADER_SIZE_BYTES = 4;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const INITIAL_SIZE_BYTES = 128;
const MAX_ATTRIBUTE_SIZE_BYTES = 0xffff;
/** How many attributes one level may have: far above what the kernel sends, and a bound all the same. */
export const MAX_ATTRIBUTES = 16_384;

/** Rounds up to the four-byte alignment of netlink. */
export function align(size_bytes: number): number {
  return (size_bytes + 3) & ~3;
}

/** One attribute (struct nlattr / rtattr) as received. */
export interface Attribute {
  /** The type, without the NESTED and NET_BYTEORDER flags. */
  readonly type: number;
  readonly data: Buffer;
  /** Offset of the attribute's header in the buffer that was parsed. */
  readonly offset: number;
}

/** The attributes of one level of a message, in the order received. */
export class Attributes {
  readonly #list: readonly Attribute[];
  readonly #byType = new Map<number, Attribute>();

  private constructor(list: readonly Attribute[]) {
    this.#list = list;
    for (const attribute of list) this.#byType.set(attribute.type, attribute);
  }

  /**
   * Parses a run of attributes.
   * @param data the buffer; @param start offset of the first header; @param end one past the last byte
   * @throws MalformedMessageError when a length contradicts the bounds
   */
  static parse(data: Buffer, start = 0, end = data.length): Attributes {
    const cursor = new Cursor(data, start, end);
    const list: Attribute[] = [];
    // Up to three bytes of padding may stay behind the last attribute.
    while (cursor.remaining >= HEADER_SIZE_BYTES) {
      const offset = cursor.offset;
      const length = cursor.u16('attribute length');
      const type = cursor.u16('attribute type') & NLA_TYPE_MASK;
      if (length < HEADER_SIZE_BYTES) {
        throw new MalformedMessageError(`attribute ${type} at offset ${offset} claims a length of ${length}`);
      }
      if (list.length >= MAX_ATTRIBUTES) {
        throw new MalformedMessageError(`more than ${MAX_ATTRIBUTES} attributes in one level`);
      }
      list.push({ type, offset, data: cursor.bytes(length - HEADER_SIZE_BYTES, `attribute ${type}`) });
      cursor.skipPadding(align(length) - length);
    }
    return new Attributes(list);
  }

  /** All attributes, in order. */
  [Symbol.iterator](): Iterator<Attribute> {
    return this.#list[Symbol.iterator]();
  }

  /** The data of the last attribute of a type. */
  get(type: number): Buffer | undefined {
    return this.#byType.get(type)?.data;
  }

  /** Whether there is an attribute of the type. */
  has(type: number): boolean {
    return this.#byType.has(type);
  }

  #sized(type: number, size: number): Buffer | undefined {
    const data = this.get(type);
    if (data !== undefined && data.length < size) {
      throw new MalformedMessageError(`attribute ${type} has ${data.length} bytes where ${size} are needed`);
    }
    return data;
  }

  /** An unsigned 8-bit value. */
  u8(type: number): number | undefined {
    return this.#sized(type, 1)?.readUInt8(0);
  }

  /** An unsigned 16-bit value. */
  u16(type: number): number | undefined {
    return this.#sized(type, 2)?.readUInt16LE(0);
  }

  /** An unsigned 16-bit value in network byte order. */
  u16be(type: number): number | undefined {
    return this.#sized(type, 2)?.readUInt16BE(0);
  }

  /** An unsigned 32-bit value. */
  u32(type: number): number | undefined {
    return this.#sized(type, 4)?.readUInt32LE(0);
  }

  /** A signed 32-bit value. */
  s32(type: number): number | undefined {
    return this.#sized(type, 4)?.readInt32LE(0);
  }

  /** A string, up to its first zero byte. */
  string(type: number): string | undefined {
    const data = this.get(type);
    if (data === undefined) return undefined;
    const end = data.indexOf(0);
    return data.toString('utf8', 0, end < 0 ? data.length : end);
  }

  /** The attributes nested inside of one. */
  nested(type: number): Attributes | undefined {
    const data = this.get(type);
    return data === undefined ? undefined : Attributes.parse(data);
  }
}

/** Builds a message body: a fixed header followed by attributes, nested to any depth. */
export class AttributeWriter {
  // From Node's pool, which Buffer.alloc never uses: batches make very many of these.
  #buffer = Buffer.allocUnsafe(INITIAL_SIZE_BYTES).fill(0);
  #size = 0;

  #reserve(size: number): number {
    const at = this.#size;
    const end = at + align(size);
    if (end > this.#buffer.length) {
      const grown = Buffer.alloc(Math.max(end, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, this.#size);
      this.#buffer = grown;
    }
    this.#size = end;
    return at;
  }

  /** Appends a fixed header, padded to four bytes. */
  header(bytes: Buffer): this {
    const at = this.#reserve(bytes.length);
    bytes.copy(this.#buffer, at);
    return this;
  }

  #open(type: number, size: number): number {
    const length = HEADER_SIZE_BYTES + size;
    if (length > MAX_ATTRIBUTE_SIZE_BYTES) {
      throw new RangeError(
        `attribute ${type} has ${size} bytes, at most ${MAX_ATTRIBUTE_SIZE_BYTES - HEADER_SIZE_BYTES} fit`,
      );
    }
    const at = this.#reserve(length);
    this.#buffer.writeUInt16LE(length, at);
    this.#buffer.writeUInt16LE(type, at + 2);
    return at + HEADER_SIZE_BYTES;
  }

  /** An attribute with the given bytes. */
  bytes(type: number, data: Buffer): this {
    const at = this.#open(type, data.length);
    data.copy(this.#buffer, at);
    return this;
  }

  /** An attribute without data, whose presence is the information. */
  flag(type: number): this {
    this.#open(type, 0);
    return this;
  }

  /** An unsigned 8-bit value. */
  u8(type: number, value: number): this {
    const at = this.#open(type, 1);
    this.#buffer.writeUInt8(value, at);
    return this;
  }

  /** An unsigned 16-bit value. */
  u16(type: number, value: number): this {
    const at = this.#open(type, 2);
    this.#buffer.writeUInt16LE(value, at);
    return this;
  }

  /** An unsigned 16-bit value in network byte order. */
  u16be(type: number, value: number): this {
    const at = this.#open(type, 2);
    this.#buffer.writeUInt16BE(value, at);
    return this;
  }

  /** An unsigned 32-bit value. */
  u32(type: number, value: number): this {
    const at = this.#open(type, 4);
    this.#buffer.writeUInt32LE(value, at);
    return this;
  }

  /** A string with its closing zero byte. */
  string(type: number, value: string): this {
    if (value.includes('\0'))
      throw new RangeError(`attribute ${type}: the string ${JSON.stringify(value)} has a zero byte`);
    return this.bytes(type, Buffer.from(`${value}\0`, 'utf8'));
  }

  /** An attribute that holds what `fill` writes. */
  nest(type: number, fill: (writer: AttributeWriter) => void): this {
    const start = this.#reserve(HEADER_SIZE_BYTES);
    fill(this);
    const length = this.#size - start;
    if (length > MAX_ATTRIBUTE_SIZE_BYTES)
      throw new RangeError(`nested attribute ${type} has ${length} bytes`);
    this.#buffer.writeUInt16LE(length, start);
    this.#buffer.writeUInt16LE(type | NLA_F_NESTED, start + 2);
    return this;
  }

  /** The bytes written so far. The writer is not to be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#size);
  }
}
