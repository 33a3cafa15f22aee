/**
 * Collection specs: what an object file holds, as a description that can be edited before anything is loaded.
 */
import fs from 'node:fs';
import path from 'node:path';
import { Btf } from './btf.ts';
import type { Collection } from './collection.ts';
import { mapType, nameOf, programType } from './constants.ts';
import { BpfError } from './errors.ts';
import { copyFrom, lastErrno, libbpf, openObject, type Pointer, withMessages } from './ffi.ts';
import { type LoadOptions, loadCollection } from './load.ts';
import { type ConstantSpec, constantsOf, encodeConstant } from './variables.ts';

/** A map as the object file declares it. `maxEntries`, `flags`, `pinning` and `innerMap` may be changed. */
export interface MapSpec {
  readonly name: string;
  /** As in `mapType`. */
  readonly type: string;
  readonly keySize: number;
  readonly valueSize: number;
  maxEntries: number;
  /** BPF_F_* flags, see `mapFlag`. */
  flags: number;
  /** 'byName': kept in `pinPath` under its name, and taken from there when it is there already. */
  pinning: 'none' | 'byName';
  /** True for .rodata, .data, .bss and .kconfig, which are keyed by their section's name. */
  readonly isInternal: boolean;
  /** BTF ids of key and value, 0 where the declaration has no types. */
  readonly btfKeyId: number;
  readonly btfValueId: number;
  /** For maps of maps: the declared shape of the inner maps. */
  readonly inner?: Omit<MapSpec, 'inner' | 'innerMap'>;
  /** For maps of maps: a map whose shape the inner ones shall have, instead of the declared one. */
  innerMap?: { readonly fd: number };
}

/** A program of the object file. `autoload` and `expectedAttachType` may be changed. */
export interface ProgramSpec {
  readonly name: string;
  /** ELF section, e.g. 'xdp', 'tcx/ingress', 'cgroup/connect4'. */
  readonly section: string;
  /** As in `programType`. */
  readonly type: string;
  /** enum bpf_attach_type, see `attachType`. */
  expectedAttachType: number;
  readonly instructionCount: number;
  /** False: leave it out of `load`. */
  autoload: boolean;
}

/** Names internal maps by their section: libbpf puts (part of) the object's name before it. */
export function mapKey(name: string, isInternal: boolean): string {
  return isInternal ? name.slice(Math.max(0, name.search(/\.(rodata|data|bss|kconfig)/))) : name;
}

/** Sections that libbpf before 1.3 does not know, with the type and attach type that they mean. */
const newerSections: Record<string, { type: number; attachType: number }> = {
  'tcx/ingress': { type: programType.sched_cls, attachType: 46 },
  'tcx/egress': { type: programType.sched_cls, attachType: 47 },
  'tc/ingress': { type: programType.sched_cls, attachType: 0 },
  'tc/egress': { type: programType.sched_cls, attachType: 0 },
};

/** The type and attach type of a section that libbpf itself may not know. */
export function newerSection(section: string): { type: number; attachType: number } | undefined {
  return newerSections[section];
}

/** The contents of one object file. Nothing is loaded, and nothing held, until `load`. */
export class CollectionSpec {
  /** Short name, after the file; it becomes part of the kernel's names for .rodata and the like. */
  readonly name: string;
  /** The object file's bytes. */
  readonly image: Uint8Array;
  readonly maps: ReadonlyMap<string, MapSpec>;
  readonly programs: ReadonlyMap<string, ProgramSpec>;
  /** `const volatile` globals of .rodata, by name. */
  readonly constants: ReadonlyMap<string, ConstantSpec>;
  /** The object's types; undefined when it was compiled without -g. */
  readonly btf: Btf | undefined;
  readonly #constantValues = new Map<string, { spec: ConstantSpec; data: Uint8Array }>();

  private constructor(image: Uint8Array, name: string) {
    this.name = name;
    this.image = image;
    using object = new OpenObject(image, name);
    this.maps = readMaps(object.pointer);
    this.programs = readPrograms(object.pointer);
    this.btf = readBtf(object.pointer);
    this.constants = this.btf === undefined ? new Map() : constantsOf(this.btf);
  }

  /** Reads an object file made by `clang -g -target bpf`. */
  static fromFile(file: string): CollectionSpec {
    return new CollectionSpec(fs.readFileSync(file), path.basename(file).replace(/(\.bpf)?\.o$/, ''));
  }

  /** As `fromFile`, from memory; `name` as there. */
  static fromBuffer(image: Uint8Array, name = 'object'): CollectionSpec {
    return new CollectionSpec(image, name);
  }

  /**
   * Sets `const volatile` globals before loading, so that the verifier can drop what they switch off. Numbers are
   * checked against the variable's type, bytes against its size. Throws `BpfError` BAD_ARGUMENT, naming the variable.
   */
  setConstants(values: Readonly<Record<string, number | bigint | boolean | Uint8Array>>): void {
    for (const [name, value] of Object.entries(values)) {
      const spec = this.constants.get(name);
      if (spec === undefined || this.btf === undefined) {
        const known = [...this.constants.keys()].join(', ') || 'none';
        const hint = `the object has no 'const volatile' of that name (it has: ${known})`;
        throw new BpfError({ operation: 'set', subject: `constant '${name}'`, code: 'BAD_ARGUMENT', hint });
      }
      this.#constantValues.set(name, { spec, data: encodeConstant(this.btf, spec, value) });
    }
  }

  /** The constants set so far, as the bytes to write into their sections. */
  get constantValues(): ReadonlyMap<string, { spec: ConstantSpec; data: Uint8Array }> {
    return this.#constantValues;
  }

  /** Loads maps and programs into the kernel. May be called more than once. Throws `BpfError`; see `LoadOptions`. */
  load(options: LoadOptions = {}): Collection {
    return loadCollection(this, options);
  }
}

/** An object that libbpf has opened and not yet closed. */
export class OpenObject {
  readonly pointer: Pointer;

  constructor(image: Uint8Array, name: string) {
    const { result, messages } = withMessages(() => {
      const pointer = openObject(image, name);
      return { pointer, errno: pointer === null ? lastErrno() : 0 };
    });
    if (result.pointer === null) {
      const hint = messages.join('; ') || 'is it an eBPF object file?';
      throw new BpfError({
        operation: 'open',
        subject: `object '${name}'`,
        code: 'BAD_OBJECT',
        errno: result.errno,
        hint,
      });
    }
    this.pointer = result.pointer;
  }

  [Symbol.dispose](): void {
    libbpf().close(this.pointer);
  }
}

/** Walks libbpf's maps of an open object. */
export function* objectMaps(object: Pointer): Generator<{ key: string; pointer: Pointer }, void, void> {
  const bpf = libbpf();
  for (let at = bpf.nextMap(object, null); at !== null; at = bpf.nextMap(object, at)) {
    yield { key: mapKey(bpf.mapName(at), bpf.mapIsInternal(at)), pointer: at };
  }
}

/** Walks libbpf's programs of an open object. */
export function* objectPrograms(object: Pointer): Generator<{ name: string; pointer: Pointer }, void, void> {
  const bpf = libbpf();
  for (let at = bpf.nextProgram(object, null); at !== null; at = bpf.nextProgram(object, at)) {
    yield { name: bpf.programName(at), pointer: at };
  }
}

function readMap(map: Pointer, key: string): MapSpec {
  const bpf = libbpf();
  return {
    name: key,
    type: nameOf(mapType, bpf.mapType(map), 'type'),
    keySize: bpf.mapKeySize(map),
    valueSize: bpf.mapValueSize(map),
    maxEntries: bpf.mapMaxEntries(map),
    flags: bpf.mapFlags(map),
    pinning: bpf.mapPinPath(map) === null ? 'none' : 'byName',
    isInternal: bpf.mapIsInternal(map),
    btfKeyId: bpf.mapBtfKeyType(map),
    btfValueId: bpf.mapBtfValueType(map),
  };
}

function readMaps(object: Pointer): Map<string, MapSpec> {
  const maps = new Map<string, MapSpec>();
  for (const { key, pointer } of objectMaps(object)) {
    const inner = libbpf().mapInner(pointer);
    const spec = readMap(pointer, key);
    maps.set(key, inner === null ? spec : { ...spec, inner: readMap(inner, libbpf().mapName(inner)) });
  }
  return maps;
}

function readPrograms(object: Pointer): Map<string, ProgramSpec> {
  const bpf = libbpf();
  const programs = new Map<string, ProgramSpec>();
  for (const { name, pointer } of objectPrograms(object)) {
    const section = bpf.programSection(pointer);
    const known = bpf.programType(pointer);
    const newer = known === programType.unspec ? newerSection(section) : undefined;
    programs.set(name, {
      name,
      section,
      type: nameOf(programType, newer?.type ?? known, 'type'),
      expectedAttachType: newer?.attachType ?? bpf.programExpectedAttachType(pointer),
      instructionCount: Number(bpf.programInsnCount(pointer)),
      autoload: bpf.programAutoload(pointer),
    });
  }
  return programs;
}

function readBtf(object: Pointer): Btf | undefined {
  const bpf = libbpf();
  const btf = bpf.objectBtf(object);
  if (btf === null) return undefined;
  const size = new Uint32Array(1);
  // libbpf has filled in the offsets of global variables, which clang leaves zero.
  const raw = bpf.btfRawData(btf, size);
  return raw === null ? undefined : new Btf(copyFrom(raw, size[0] ?? 0));
}
