/** Global constants of an object file: where they are, and how values become their bytes. */
import type { Btf } from './btf.ts';
import { BpfError } from './errors.ts';

/** A `const volatile` global variable. */
export interface ConstantSpec {
  readonly name: string;
  /** '.rodata' or '.rodata.<suffix>'. */
  readonly section: string;
  /** Offset in the section, in bytes. */
  readonly offset: number;
  /** Size in bytes. */
  readonly size: number;
  /** BTF id of its type. */
  readonly typeId: number;
}

/** The variables of all .rodata sections, by name. */
export function constantsOf(btf: Btf): Map<string, ConstantSpec> {
  const constants = new Map<string, ConstantSpec>();
  for (const type of btf.types) {
    if (type.kind !== 'datasec' || !type.name.startsWith('.rodata')) continue;
    for (const { typeId, offset, size } of type.variables) {
      const { name } = btf.type(typeId);
      constants.set(name, { name, section: type.name, offset, size, typeId });
    }
  }
  return constants;
}

/** The bytes of a constant. Throws `BpfError` BAD_ARGUMENT when the value does not fit the variable. */
export function encodeConstant(
  btf: Btf,
  spec: ConstantSpec,
  value: number | bigint | boolean | Uint8Array,
): Uint8Array {
  const refuse = (hint: string): never => {
    throw new BpfError({ operation: 'set', subject: `constant '${spec.name}'`, code: 'BAD_ARGUMENT', hint });
  };
  if (value instanceof Uint8Array) {
    if (value.length !== spec.size) refuse(`${value.length} bytes given, the variable has ${spec.size}`);
    return value.slice();
  }
  const type = btf.resolve(spec.typeId);
  if (type.kind !== 'int' && type.kind !== 'enum')
    return refuse(`it is a ${type.kind}: give its ${spec.size} bytes`);
  if (typeof value === 'number' && !Number.isSafeInteger(value)) refuse(`${value} is not a safe integer`);
  const number = BigInt(value);
  const isBool = type.kind === 'int' && type.isBool;
  const bits = BigInt(isBool ? 1 : type.size * 8);
  const low = type.signed && !isBool ? -(1n << (bits - 1n)) : 0n;
  const high = type.signed && !isBool ? (1n << (bits - 1n)) - 1n : (1n << bits) - 1n;
  if (number < low || number > high) refuse(`${number} is not between ${low} and ${high}`);
  const names = btf.typedefNames(spec.typeId);
  const bigEndian = names.some((name) => /^__be(16|32|64)$/.test(name));
  const out = new Uint8Array(spec.size);
  let rest = BigInt.asUintN(type.size * 8, number);
  for (let i = 0; i < type.size; i++) {
    out[bigEndian ? type.size - 1 - i : i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return out;
}
