/** Writes interfaces and codecs of BTF types, each type after those that it contains. */
import type { Btf, BtfComposite, BtfMember } from './btf.ts';
import { BpfError } from './errors.ts';
import { type Helper, helperText, type Scalar, scalarOf, scalars } from './generate-scalars.ts';

/** How a type appears in TypeScript, and the code that reads and writes it. */
export interface Value {
  /** TypeScript type. */
  type: string;
  /** Bytes. */
  size: number;
  /** C type, for comments. */
  c: string;
  /** Statement that writes `value` at `at` of `view`. */
  encode: (value: string, at: string) => string;
  /** Expression that reads at `at` of `view`. */
  decode: (at: string) => string;
  /** Expression of a Codec. */
  codec: () => string;
  /** How many loops are nested in `encode` and `decode`: their variables are numbered by it. */
  loops?: number;
}

interface Field {
  name: string;
  /** Offset in the struct, in bytes. */
  offset: number;
  value: Value;
  bits?: { shift: number; width: number; signed: boolean };
}

/** Names that TypeScript keeps for itself among those that C allows. */
const RESERVED: ReadonlySet<string> = new Set(
  'await class const debugger delete export extends false function import in instanceof let new null package private protected public super this throw true try typeof var with yield arguments eval any never string number boolean bigint symbol object unknown undefined'.split(
    ' ',
  ),
);

function at(base: string, offset: number): string {
  return offset === 0 ? base : `${base} + ${offset}`;
}

function indent(text: string, by: string): string {
  return text.replaceAll(/^(?=.)/gm, by);
}

/** Collects the texts of all types asked for. */
export class TypeWriter {
  /** Texts in order of dependency. */
  readonly texts: string[] = [];
  readonly #btf: Btf;
  readonly #prefix: string;
  readonly #composites = new Map<number, Value>();
  readonly #names = new Set<string>();
  readonly #helpers = new Set<Helper>();
  readonly #codecs = new Map<string, string>();

  constructor(btf: Btf, prefix: string) {
    this.#btf = btf;
    this.#prefix = prefix;
  }

  /** A C name as exported: with the prefix, and kept clear of TypeScript's own words. */
  exportName(name: string): string {
    const full = `${this.#prefix}${name}`;
    return RESERVED.has(full) ? `${full}_` : full;
  }

  /** Whether anything needs the Codec type. */
  get usesCodec(): boolean {
    return this.texts.length > 0 || this.#codecs.size > 0;
  }

  /** Private functions and codecs that the texts call. */
  helperTexts(): string[] {
    const helpers = [...this.#helpers].sort().map((name) => helperText(name));
    const codecs = [...this.#codecs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
    return [...helpers, ...codecs];
  }

  /** A type by BTF id; `fallbackName` names it where C does not. */
  value(id: number, fallbackName: string): Value {
    const resolved = this.#btf.resolveId(id);
    const type = this.#btf.type(resolved);
    const typedefs = this.#btf.typedefNames(id);
    switch (type.kind) {
      case 'int':
      case 'enum':
      case 'ptr':
      case 'float': {
        const scalar = scalarOf(type, typedefs);
        const c = typedefs[0] ?? (type.kind === 'enum' ? `enum ${type.name}` : type.name || 'pointer');
        return scalar === undefined ? this.raw(this.#btf.sizeOf(id), c) : { ...this.scalar(scalar), c };
      }
      case 'array':
        return this.#array(type.elementId, type.count, fallbackName);
      case 'struct':
      case 'union': {
        const known = this.#composites.get(resolved);
        if (known !== undefined) return known;
        const name = type.name || typedefs.at(-1) || fallbackName;
        const made = type.kind === 'struct' ? this.#struct(type, name) : this.#union(type, name);
        this.#composites.set(resolved, made);
        return made;
      }
      default:
        throw new BpfError({
          operation: 'generate',
          subject: `type '${type.name || fallbackName}'`,
          code: 'BAD_OBJECT',
          hint: `a ${type.kind} has no value`,
        });
    }
  }

  /** Raw bytes. */
  raw(size: number, c = `${size} bytes`): Value {
    return this.#withCodec({
      type: 'Uint8Array',
      size,
      c,
      encode: (value, where) => {
        this.#helpers.add('put');
        return `$put(view, ${where}, ${value}, ${size});`;
      },
      decode: (where) => {
        this.#helpers.add('take');
        return `$take(view, ${where}, ${size})`;
      },
      codec: () => `$bytes${size}`,
    });
  }

  /** A number of a fixed width. */
  scalar(name: Scalar): Value {
    const { type, size, helper, write, read } = scalars[name];
    return this.#withCodec({
      type,
      size,
      c: name,
      encode: (value, where) => {
        if (helper !== undefined) this.#helpers.add(helper);
        return `${write(value, where)};`;
      },
      decode: read,
      codec: () => `$${name}`,
    });
  }

  /** Makes `codec()` emit the private constant that it names, once. */
  #withCodec(value: Value): Value {
    const name = value.codec();
    return {
      ...value,
      codec: () => {
        if (!this.#codecs.has(name)) this.#codecs.set(name, codecText(name, value));
        return name;
      },
    };
  }

  #array(elementId: number, count: number, fallbackName: string): Value {
    const element = this.#btf.resolve(elementId);
    if (element.kind === 'int' && element.size === 1 && !element.isBool) {
      return this.raw(count, `${element.name}[${count}]`);
    }
    const value = this.value(elementId, fallbackName);
    const name = `$array_${fallbackName}`;
    const loops = (value.loops ?? 0) + 1;
    const [item, i]: [string, string] = loops === 1 ? ['item', 'i'] : [`item${loops}`, `i${loops}`];
    const step = (where: string): string => `${where} + ${i} * ${value.size}`;
    return this.#withCodec({
      type: `${value.type}[]`,
      size: value.size * count,
      c: `${value.c}[${count}]`,
      loops,
      encode: (array, where) => {
        this.#helpers.add('each');
        const body = indent(value.encode(item, step(where)), '  ');
        return `$each(${array}, ${count}, (${item}, ${i}) => {\n${body}\n});`;
      },
      decode: (where) => `Array.from({ length: ${count} }, (_, ${i}) => ${value.decode(step(where))})`,
      codec: () => name,
    });
  }

  #claim(name: string): string {
    const exported = this.exportName(name);
    if (this.#names.has(exported)) {
      const hint = 'two types of the object want this name: give one of them another in C';
      throw new BpfError({ operation: 'generate', subject: `'${exported}'`, code: 'BAD_OBJECT', hint });
    }
    this.#names.add(exported);
    return exported;
  }

  /** The fields of a struct; those of anonymous structs in it become its own. */
  #fields(type: BtfComposite, owner: string, base: number): Field[] {
    return type.members.flatMap((member): Field[] => {
      const offset = base + Math.floor(member.bitOffset / 8);
      const inner = this.#btf.resolve(member.typeId);
      if (member.bitSize > 0) {
        // Unnamed bitfields are padding.
        return member.name === '' ? [] : [this.#bitfield(member, owner, base, type.size)];
      }
      if (member.name !== '') {
        return [{ name: member.name, offset, value: this.value(member.typeId, `${owner}_${member.name}`) }];
      }
      if (inner.kind === 'struct') return this.#fields(inner, owner, offset);
      if (inner.kind === 'union') {
        const name = joinedName(inner, '_or_');
        return [{ name, offset, value: this.value(member.typeId, `${owner}_${name}`) }];
      }
      return [];
    });
  }

  #bitfield(member: BtfMember, owner: string, base: number, structSize: number): Field {
    const type = this.#btf.resolve(member.typeId);
    const unit = this.#btf.sizeOf(member.typeId);
    const start = Math.floor(member.bitOffset / (unit * 8)) * unit;
    const shift = member.bitOffset - start * 8;
    if (shift + member.bitSize > unit * 8 || start + unit > structSize) {
      const hint = 'bitfields that cross their unit (packed structs) are not supported';
      throw new BpfError({
        operation: 'generate',
        subject: `'${owner}.${member.name}'`,
        code: 'BAD_OBJECT',
        hint,
      });
    }
    const signed = (type.kind === 'int' || type.kind === 'enum') && type.signed;
    const scalar = this.scalar(`u${unit * 8}` as Scalar);
    const c = `${this.value(member.typeId, member.name).c}:${member.bitSize}`;
    const bits = { shift, width: member.bitSize, signed };
    return { name: member.name, offset: base + start, value: { ...scalar, c }, bits };
  }

  #struct(type: BtfComposite, cName: string): Value {
    const name = this.#claim(cName);
    const fields = this.#fields(type, cName, 0);
    const gaps = paddingOf(fields, type.size);
    if (gaps.length > 0) this.#helpers.add('clear');
    const members = fields.map(
      ({ name: field, value, offset }) => `  /** ${value.c} at ${offset} */\n  ${field}: ${value.type};`,
    );
    const writes = [
      ...gaps.map(([from, size]) => `$clear(view, ${at('offset', from)}, ${size});`),
      ...fields.map((field) => this.#writeField(field)),
    ];
    const reads = fields.map((field) => `    ${field.name}: ${readField(field)},`);
    const unused = fields.length === 0 ? '_' : '';
    this.texts.push(
      [
        `export const ${name}_size = ${type.size};`,
        `/** struct ${cName} */`,
        `export interface ${name} {\n${members.join('\n')}\n}`,
        `export const ${name}_codec: Codec<${name}> = {`,
        `  size: ${name}_size,`,
        `  encode(${unused}value, ${writes.length === 0 ? '_' : ''}view, ${writes.length === 0 ? '_' : ''}offset) {`,
        indent(writes.join('\n'), '    '),
        `  },`,
        `  decode: (${unused}view, ${unused}offset) => ({`,
        ...reads,
        `  }),`,
        `};`,
      ]
        .filter((line) => line !== '')
        .join('\n'),
    );
    return {
      type: name,
      size: type.size,
      c: `struct ${cName}`,
      encode: (value, where) => `${name}_codec.encode(${value}, view, ${where});`,
      decode: (where) => `${name}_codec.decode(view, ${where})`,
      codec: () => `${name}_codec`,
    };
  }

  /** A union is its raw bytes; `<name>_as` has a codec for each way to read them. */
  #union(type: BtfComposite, cName: string): Value {
    const name = this.#claim(`${cName}_as`);
    const views = type.members.map((member) => {
      const inner = this.#btf.resolve(member.typeId);
      const anonymous = inner.kind === 'struct' || inner.kind === 'union' ? joinedName(inner, '_and_') : '';
      const field = member.name || anonymous;
      return `  ${field}: ${this.value(member.typeId, `${cName}_${field}`).codec()},`;
    });
    const doc = `/** Ways to read the ${type.size} bytes of union ${cName}: with decodeBytes, and encodeBytes(codec, value, ${type.size}). */`;
    this.texts.push(`${doc}\nexport const ${name} = {\n${views.join('\n')}\n} as const;`);
    return this.raw(type.size, `union ${cName}`);
  }

  #writeField({ name, offset, value, bits }: Field): string {
    const where = at('offset', offset);
    if (bits === undefined) return value.encode(`value.${name}`, where);
    return writeBits(this.#helpers, `value.${name}`, where, value, bits);
  }
}

function codecText(name: string, value: Value): string {
  const body = value.encode('value', 'offset');
  return [
    `const ${name}: Codec<${value.type}> = {`,
    `  size: ${value.size},`,
    `  encode(value, view, offset) {\n${indent(body, '    ')}\n  },`,
    `  decode: (view, offset) => ${value.decode('offset')},`,
    `};`,
  ].join('\n');
}

function joinedName(type: BtfComposite, by: string): string {
  const names = type.members.map(({ name }) => name).filter((name) => name !== '');
  return names.join(by) || 'anonymous';
}

/** Byte ranges that no plain field covers: padding, and what bitfields share. They are cleared first. */
function paddingOf(fields: readonly Field[], size: number): [from: number, size: number][] {
  const covered = new Uint8Array(size);
  for (const { offset, value, bits } of fields)
    if (bits === undefined) covered.fill(1, offset, offset + value.size);
  const gaps: [number, number][] = [];
  let from = covered.indexOf(0);
  while (from >= 0) {
    const end = covered.indexOf(1, from);
    gaps.push([from, (end < 0 ? size : end) - from]);
    from = end < 0 ? -1 : covered.indexOf(0, end);
  }
  return gaps;
}

type Bits = NonNullable<Field['bits']>;

function writeBits(helpers: Set<Helper>, value: string, where: string, unit: Value, bits: Bits): string {
  const { shift, width, signed } = bits;
  const wide = unit.size === 8;
  helpers.add(wide ? 'int64' : 'int');
  const low = signed ? -(1n << BigInt(width - 1)) : 0n;
  const high = signed ? (1n << BigInt(width - 1)) - 1n : (1n << BigInt(width)) - 1n;
  if (wide) {
    const checked = `BigInt.asUintN(${width}, $int64(${value}, ${low}n, ${high}n))`;
    return `view.setBigUint64(${where}, view.getBigUint64(${where}, true) | (${checked} << ${shift}n), true);`;
  }
  const mask = `0x${((1n << BigInt(width)) - 1n).toString(16)}`;
  const set = unit.size === 1 ? 'Uint8' : `Uint${unit.size * 8}`;
  const little = unit.size === 1 ? '' : ', true';
  const part = `(($int(${value}, ${low}, ${high}) & ${mask}) << ${shift})`;
  return `view.set${set}(${where}, (view.get${set}(${where}${little}) | ${part}) >>> 0${little});`;
}

function readField({ offset, value, bits }: Field): string {
  const raw = value.decode(at('offset', offset));
  if (bits === undefined) return raw;
  const { shift, width, signed } = bits;
  if (value.size === 8) return `BigInt.as${signed ? 'Int' : 'Uint'}N(${width}, ${raw} >> ${shift}n)`;
  if (signed) return `(${raw} << ${32 - shift - width}) >> ${32 - width}`;
  return width === 32 ? raw : `(${raw} >>> ${shift}) & 0x${(2 ** width - 1).toString(16)}`;
}
