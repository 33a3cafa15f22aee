/**
 * Codecs turn keys and values of maps into bytes and back. Generated code implements `Codec` for the structs
 * of an object file; the ones here are for plain numbers and byte strings. All are little-endian, as are the
 * machines that this package runs on, save those whose name begins with `be`.
 */

/** Reads and writes one fixed-size C value. */
export interface Codec<T> {
  /** Size in bytes, as the kernel sees it. */
  readonly size: number;
  /** Writes every one of the `size` bytes at `offset`. Throws RangeError when a number does not fit. */
  encode(value: T, view: DataView, offset: number): void;
  /** Reads a value; what it returns shares no memory with `view`. */
  decode(view: DataView, offset: number): T;
}

/** What generated code says of a map: its name, and how its keys and values are coded. */
export interface MapLayout<K, V> {
  readonly name: string;
  readonly key: Codec<K>;
  readonly value: Codec<V>;
}

type NumberGetter = 'getUint8' | 'getUint16' | 'getUint32' | 'getInt8' | 'getInt16' | 'getInt32';
type NumberSetter = 'setUint8' | 'setUint16' | 'setUint32' | 'setInt8' | 'setInt16' | 'setInt32';

function numberCodec(bits: 8 | 16 | 32, signed: boolean, littleEndian: boolean): Codec<number> {
  const kind = `${signed ? 'Int' : 'Uint'}${bits}`;
  const get = `get${kind}` as NumberGetter;
  const set = `set${kind}` as NumberSetter;
  const low = signed ? -(2 ** (bits - 1)) : 0;
  const high = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  return {
    size: bits / 8,
    encode(value, view, offset) {
      if (!Number.isInteger(value) || value < low || value > high) {
        throw new RangeError(`${value} is not an integer between ${low} and ${high}`);
      }
      view[set](offset, value, littleEndian);
    },
    decode: (view, offset) => view[get](offset, littleEndian),
  };
}

function bigintCodec(signed: boolean, littleEndian: boolean): Codec<bigint> {
  const low = signed ? -(1n << 63n) : 0n;
  const high = signed ? (1n << 63n) - 1n : (1n << 64n) - 1n;
  return {
    size: 8,
    encode(value, view, offset) {
      if (value < low || value > high) throw new RangeError(`${value} is not between ${low} and ${high}`);
      view.setBigUint64(offset, BigInt.asUintN(64, value), littleEndian);
    },
    decode: (view, offset) =>
      signed ? view.getBigInt64(offset, littleEndian) : view.getBigUint64(offset, littleEndian),
  };
}

export const u8: Codec<number> = numberCodec(8, false, true);
export const u16: Codec<number> = numberCodec(16, false, true);
export const u32: Codec<number> = numberCodec(32, false, true);
export const u64: Codec<bigint> = bigintCodec(false, true);
export const s8: Codec<number> = numberCodec(8, true, true);
export const s16: Codec<number> = numberCodec(16, true, true);
export const s32: Codec<number> = numberCodec(32, true, true);
export const s64: Codec<bigint> = bigintCodec(true, true);
/** Big-endian on the wire and in the kernel (`__be16`), a plain number here. */
export const be16: Codec<number> = numberCodec(16, false, false);
export const be32: Codec<number> = numberCodec(32, false, false);
export const be64: Codec<bigint> = bigintCodec(false, false);

/** Exactly `size` raw bytes. `decode` copies. */
export function bytes(size: number): Codec<Uint8Array> {
  return {
    size,
    encode(value, view, offset) {
      if (value.length !== size) throw new RangeError(`${value.length} bytes given, ${size} needed`);
      new Uint8Array(view.buffer, view.byteOffset + offset, size).set(value);
    },
    decode: (view, offset) => new Uint8Array(view.buffer, view.byteOffset + offset, size).slice(),
  };
}

/** Encodes one value into fresh bytes: `size` of them (the codec's size unless more is asked), zero-padded. */
export function encodeBytes<T>(codec: Codec<T>, value: T, size: number = codec.size): Uint8Array {
  if (size < codec.size) throw new RangeError(`${size} bytes are too few for a value of ${codec.size}`);
  const out = new Uint8Array(size);
  codec.encode(value, new DataView(out.buffer), 0);
  return out;
}

/** Decodes one value from the start of `data`, e.g. one view of a union's raw bytes, or a ring buffer's record. */
export function decodeBytes<T>(codec: Codec<T>, data: Uint8Array): T {
  if (data.length < codec.size) {
    throw new RangeError(`${data.length} bytes are too few for a value of ${codec.size}`);
  }
  return codec.decode(new DataView(data.buffer, data.byteOffset, data.length), 0);
}
