/** Numbers of fixed width in generated code, and the private functions that check them. */
import type { BtfType } from './btf.ts';

export type Scalar =
  | 'u8'
  | 'u16'
  | 'u32'
  | 'u64'
  | 's8'
  | 's16'
  | 's32'
  | 's64'
  | 'be16'
  | 'be32'
  | 'be64'
  | 'bool'
  | 'f32'
  | 'f64';

export type Helper = 'int' | 'int64' | 'put' | 'take' | 'each' | 'clear';

interface ScalarCode {
  type: 'number' | 'bigint' | 'boolean';
  size: number;
  helper?: Helper;
  write: (value: string, at: string) => string;
  read: (at: string) => string;
}

function integer(bits: 8 | 16 | 32, signed: boolean, little: boolean): ScalarCode {
  const kind = `${signed ? 'Int' : 'Uint'}${bits}`;
  const order = bits === 8 ? '' : `, ${little}`;
  const low = signed ? -(2 ** (bits - 1)) : 0;
  const high = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  return {
    type: 'number',
    size: bits / 8,
    helper: 'int',
    write: (value, at) => `view.set${kind}(${at}, $int(${value}, ${low}, ${high})${order})`,
    read: (at) => `view.get${kind}(${at}${order})`,
  };
}

function wide(signed: boolean, little: boolean): ScalarCode {
  const kind = signed ? 'BigInt64' : 'BigUint64';
  const low = signed ? -(1n << 63n) : 0n;
  const high = signed ? (1n << 63n) - 1n : (1n << 64n) - 1n;
  return {
    type: 'bigint',
    size: 8,
    helper: 'int64',
    write: (value, at) => `view.set${kind}(${at}, $int64(${value}, ${low}n, ${high}n), ${little})`,
    read: (at) => `view.get${kind}(${at}, ${little})`,
  };
}

function float(bits: 32 | 64): ScalarCode {
  return {
    type: 'number',
    size: bits / 8,
    write: (value, at) => `view.setFloat${bits}(${at}, ${value}, true)`,
    read: (at) => `view.getFloat${bits}(${at}, true)`,
  };
}

/** The code of each scalar. */
export const scalars: Readonly<Record<Scalar, ScalarCode>> = {
  u8: integer(8, false, true),
  u16: integer(16, false, true),
  u32: integer(32, false, true),
  u64: wide(false, true),
  s8: integer(8, true, true),
  s16: integer(16, true, true),
  s32: integer(32, true, true),
  s64: wide(true, true),
  be16: integer(16, false, false),
  be32: integer(32, false, false),
  be64: wide(false, false),
  bool: {
    type: 'boolean',
    size: 1,
    write: (value, at) => `view.setUint8(${at}, ${value} ? 1 : 0)`,
    read: (at) => `view.getUint8(${at}) !== 0`,
  },
  f32: float(32),
  f64: float(64),
};

/** Which scalar a BTF type is; undefined for widths that JavaScript has no number for (__int128). */
export function scalarOf(type: BtfType, typedefs: readonly string[]): Scalar | undefined {
  if (type.kind === 'ptr') return 'u64';
  const size = 'size' in type ? type.size : 0;
  if (type.kind === 'float') return size === 4 ? 'f32' : size === 8 ? 'f64' : undefined;
  if (type.kind !== 'int' && type.kind !== 'enum') return undefined;
  if (type.kind === 'int' && type.isBool) return 'bool';
  const bits = size * 8;
  if (bits > 64) return undefined;
  if (typedefs.some((name) => /^_*be(16|32|64)$/.test(name)) && bits > 8) return `be${bits}` as Scalar;
  return `${type.signed ? 's' : 'u'}${bits}` as Scalar;
}

const texts: Readonly<Record<Helper, string>> = {
  int: `function $int(value: number, low: number, high: number): number {
  if (value >= low && value <= high && Number.isInteger(value)) return value;
  throw new RangeError(\`\${value} is not an integer between \${low} and \${high}\`);
}`,
  int64: `function $int64(value: bigint, low: bigint, high: bigint): bigint {
  if (value >= low && value <= high) return value;
  throw new RangeError(\`\${value} is not between \${low} and \${high}\`);
}`,
  put: `function $put(view: DataView, at: number, value: Uint8Array, size: number): void {
  if (value.length !== size) throw new RangeError(\`\${value.length} bytes given, \${size} needed\`);
  new Uint8Array(view.buffer, view.byteOffset + at, size).set(value);
}`,
  take: `function $take(view: DataView, at: number, size: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, size).slice();
}`,
  each: `function $each<T>(items: readonly T[], count: number, write: (item: T, i: number) => void): void {
  if (items.length !== count) throw new RangeError(\`\${items.length} items given, \${count} needed\`);
  items.forEach(write);
}`,
  clear: `function $clear(view: DataView, at: number, size: number): void {
  new Uint8Array(view.buffer, view.byteOffset + at, size).fill(0);
}`,
};

/** The text of a private function of generated modules. */
export function helperText(name: Helper): string {
  return texts[name];
}
