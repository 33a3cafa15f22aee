/**
 * A reader of BTF, the kernel's type format (Documentation/bpf/btf.rst): what an object file says of its
 * structs, enums and global variables. Read-only and little-endian.
 */
import { BpfError } from './errors.ts';

const BTF_MAGIC = 0xeb9f;
/** More types than any object file has; a bound on what a malformed blob can make us do. */
const TYPES_MAX = 1_000_000;
/** Depth of typedef and qualifier chains that we follow before calling them a loop. */
const CHAIN_MAX = 64;

export interface BtfMember {
  name: string;
  typeId: number;
  bitOffset: number;
  /** 0 for a plain member, else the bitfield's width. */
  bitSize: number;
}
export interface BtfInt {
  kind: 'int';
  name: string;
  size: number;
  bits: number;
  signed: boolean;
  isBool: boolean;
  isChar: boolean;
}
export interface BtfComposite {
  kind: 'struct' | 'union';
  name: string;
  size: number;
  members: BtfMember[];
}
export interface BtfEnum {
  kind: 'enum';
  name: string;
  size: number;
  signed: boolean;
  values: { name: string; value: bigint }[];
}
export interface BtfArray {
  kind: 'array';
  name: string;
  elementId: number;
  count: number;
}
export interface BtfReference {
  kind: 'ptr' | 'typedef' | 'volatile' | 'const' | 'restrict' | 'func' | 'type_tag' | 'var';
  name: string;
  typeId: number;
}
export interface BtfDatasec {
  kind: 'datasec';
  name: string;
  size: number;
  variables: { typeId: number; offset: number; size: number }[];
}
export interface BtfOther {
  kind: 'void' | 'fwd' | 'func_proto' | 'float' | 'decl_tag';
  name: string;
  size: number;
}
export type BtfType = BtfInt | BtfComposite | BtfEnum | BtfArray | BtfReference | BtfDatasec | BtfOther;

function malformed(what: string): BpfError {
  return new BpfError({ operation: 'read BTF', code: 'BAD_OBJECT', hint: what });
}

const references: Record<number, BtfReference['kind']> = {
  2: 'ptr',
  8: 'typedef',
  9: 'volatile',
  10: 'const',
  11: 'restrict',
  12: 'func',
  18: 'type_tag',
};

/** The types of one object, by id. Id 0 is void. */
export class Btf {
  readonly types: readonly BtfType[];

  /** Parses raw BTF (the `.BTF` section). Throws `BpfError` BAD_OBJECT when it is malformed. */
  constructor(raw: Uint8Array) {
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    try {
      this.types = parseTypes(view, raw);
    } catch (error) {
      if (error instanceof RangeError) throw malformed(`it ends too early (${raw.length} bytes)`);
      throw error;
    }
  }

  /** The type of an id; throws on an unknown one. */
  type(id: number): BtfType {
    const found = this.types[id];
    if (found === undefined) throw malformed(`type id ${id} does not exist`);
    return found;
  }

  /** Follows typedefs, qualifiers and tags to the type proper. */
  resolve(id: number): BtfType {
    return this.type(this.resolveId(id));
  }

  /** As `resolve`, but gives the id. */
  resolveId(id: number): number {
    let at = id;
    for (let depth = 0; depth < CHAIN_MAX; depth++) {
      const type = this.type(at);
      if (!isChain(type)) return at;
      at = type.typeId;
    }
    throw malformed(`a chain of typedefs from type ${id} does not end`);
  }

  /** Names of the typedefs between an id and its type proper, outermost first. */
  typedefNames(id: number): string[] {
    const names: string[] = [];
    let at = id;
    for (let depth = 0; depth < CHAIN_MAX; depth++) {
      const type = this.type(at);
      if (!isChain(type)) return names;
      if (type.kind === 'typedef') names.push(type.name);
      at = type.typeId;
    }
    throw malformed(`a chain of typedefs from type ${id} does not end`);
  }

  /** Size in bytes of a value of this type. */
  sizeOf(id: number): number {
    const type = this.resolve(id);
    if (type.kind === 'array') return type.count * this.sizeOf(type.elementId);
    if (type.kind === 'ptr') return 8;
    if ('size' in type) return type.size;
    throw malformed(`type '${type.name}' (${type.kind}) has no size`);
  }

  /** The id of the struct, union, enum or typedef of that name. */
  find(name: string): number | undefined {
    const kinds = new Set(['struct', 'union', 'enum', 'typedef']);
    const id = this.types.findIndex((type) => type.name === name && kinds.has(type.kind));
    return id < 0 ? undefined : id;
  }
}

function isChain(type: BtfType): type is BtfReference {
  switch (type.kind) {
    case 'typedef':
    case 'volatile':
    case 'const':
    case 'restrict':
    case 'type_tag':
    case 'var':
      return true;
    default:
      return false;
  }
}

function parseTypes(view: DataView, raw: Uint8Array): BtfType[] {
  if (view.getUint16(0, true) !== BTF_MAGIC) throw malformed('wrong magic number, or big-endian');
  const headerSize = view.getUint32(4, true);
  const typesStart = headerSize + view.getUint32(8, true);
  const typesEnd = typesStart + view.getUint32(12, true);
  const stringsStart = headerSize + view.getUint32(16, true);
  const stringsEnd = stringsStart + view.getUint32(20, true);
  if (typesEnd > raw.length || stringsEnd > raw.length) throw malformed('its sections exceed it');
  const decoder = new TextDecoder();
  const string = (offset: number): string => {
    const start = stringsStart + offset;
    const end = raw.indexOf(0, start);
    if (start >= stringsEnd || end < 0 || end >= stringsEnd)
      throw malformed(`string at ${offset} is outside`);
    return decoder.decode(raw.subarray(start, end));
  };
  const types: BtfType[] = [{ kind: 'void', name: 'void', size: 0 }];
  let at = typesStart;
  while (at < typesEnd) {
    if (types.length > TYPES_MAX) throw malformed(`more than ${TYPES_MAX} types`);
    const parsed = parseType(view, at, string);
    types.push(parsed.type);
    at = parsed.next;
  }
  return types;
}

function parseType(
  view: DataView,
  at: number,
  string: (offset: number) => string,
): { type: BtfType; next: number } {
  const u32 = (offset: number): number => view.getUint32(offset, true);
  const name = string(u32(at));
  const info = u32(at + 4);
  const kind = (info >>> 24) & 0x1f;
  const count = info & 0xffff;
  const flag = info >>> 31 === 1;
  const sizeOrType = u32(at + 8);
  const body = at + 12;
  const reference = references[kind];
  if (reference !== undefined) return { type: { kind: reference, name, typeId: sizeOrType }, next: body };
  switch (kind) {
    case 1: {
      const encoding = u32(body);
      const has = (bit: number): boolean => ((encoding >>> 24) & bit) !== 0;
      const type: BtfInt = {
        kind: 'int',
        name,
        size: sizeOrType,
        bits: encoding & 0xff,
        signed: has(1),
        isChar: has(2),
        isBool: has(4),
      };
      return { type, next: body + 4 };
    }
    case 3:
      return { type: { kind: 'array', name, elementId: u32(body), count: u32(body + 8) }, next: body + 12 };
    case 4:
    case 5: {
      const members: BtfMember[] = [];
      for (let i = 0; i < count; i++) {
        const member = body + i * 12;
        const offset = u32(member + 8);
        members.push({
          name: string(u32(member)),
          typeId: u32(member + 4),
          bitOffset: flag ? offset & 0xffffff : offset,
          bitSize: flag ? offset >>> 24 : 0,
        });
      }
      const type: BtfComposite = { kind: kind === 4 ? 'struct' : 'union', name, size: sizeOrType, members };
      return { type, next: body + count * 12 };
    }
    case 6:
    case 19: {
      const stride = kind === 6 ? 8 : 12;
      const values: BtfEnum['values'] = [];
      for (let i = 0; i < count; i++) {
        const entry = body + i * stride;
        const low = BigInt(u32(entry + 4));
        const unsigned = kind === 6 ? low : low | (BigInt(u32(entry + 8)) << 32n);
        const value = flag ? BigInt.asIntN(kind === 6 ? 32 : 64, unsigned) : unsigned;
        values.push({ name: string(u32(entry)), value });
      }
      return {
        type: { kind: 'enum', name, size: sizeOrType, signed: flag, values },
        next: body + count * stride,
      };
    }
    case 7:
      return { type: { kind: 'fwd', name, size: 0 }, next: body };
    case 13:
      return { type: { kind: 'func_proto', name, size: 0 }, next: body + count * 8 };
    case 14:
      return { type: { kind: 'var', name, typeId: sizeOrType }, next: body + 4 };
    case 15: {
      const variables: BtfDatasec['variables'] = [];
      for (let i = 0; i < count; i++) {
        const entry = body + i * 12;
        variables.push({ typeId: u32(entry), offset: u32(entry + 4), size: u32(entry + 8) });
      }
      return { type: { kind: 'datasec', name, size: sizeOrType, variables }, next: body + count * 12 };
    }
    case 16:
      return { type: { kind: 'float', name, size: sizeOrType }, next: body };
    case 17:
      return { type: { kind: 'decl_tag', name, size: 0 }, next: body + 4 };
    default:
      throw malformed(`unknown kind ${kind}`);
  }
}
