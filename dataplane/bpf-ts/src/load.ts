/** Loading a collection spec into the kernel, with libbpf's loader. */
import fs from 'node:fs';
import path from 'node:path';
import { isBpffs } from './bpffs.ts';
import { Collection } from './collection.ts';
import { mapFlag, programType } from './constants.ts';
import { BpfError, check } from './errors.ts';
import {
  allocateNative,
  copyFrom,
  duplicateFd,
  freeNative,
  libbpf,
  nativeString,
  type Pointer,
  withMessages,
} from './ffi.ts';
import { BpfMap } from './map.ts';
import { hasTcx } from './probe.ts';
import { BpfProgram } from './program.ts';
import {
  type CollectionSpec,
  type MapSpec,
  newerSection,
  OpenObject,
  objectMaps,
  objectPrograms,
} from './spec.ts';

/** The most that kernels take (UINT_MAX >> 8); untouched pages of it cost nothing. */
const LOG_BUFFER_BYTES = (1 << 24) - 1;
/** Lines of the verifier's log that go into an error. */
const LOG_TAIL_LINES = 60;

export interface LoadOptions {
  /** Directory in a BPF file system for maps with `pinning: 'byName'`: taken from there, or made and pinned. */
  pinPath?: string;
  /**
   * Maps to use instead of making new ones: by name, or a directory where they are pinned by name (those that are
   * not there are made). A map of another shape is refused with MAP_INCOMPATIBLE.
   */
  reuseMaps?: ReadonlyMap<string, BpfMap<never, never> | BpfMap> | string;
  /** 0 (default): log on failure only. 1, 2: also on success (2: each instruction). 4: statistics only. */
  verifierLogLevel?: number;
}

/** Loads; on failure nothing stays behind. */
export function loadCollection(spec: CollectionSpec, options: LoadOptions): Collection {
  using cleanup = new DisposableStack();
  const object = cleanup.use(new OpenObject(spec.image, spec.name)).pointer;
  const toPin = prepareMaps(spec, object, options, cleanup);
  applyConstants(spec, object);
  const logs = preparePrograms(spec, object, options.verifierLogLevel ?? 0, cleanup);
  const { result, messages } = withMessages(() => libbpf().load(object));
  if (result < 0) throw loadError(spec, -result, messages, logs.shared);
  return collect(spec, object, toPin, logs.each);
}

/** Sets sizes, flags and inner maps, and hands over maps that exist. Returns what to pin where. */
function prepareMaps(
  spec: CollectionSpec,
  object: Pointer,
  options: LoadOptions,
  cleanup: DisposableStack,
): Map<string, string> {
  const bpf = libbpf();
  const toPin = new Map<string, string>();
  for (const { key, pointer } of objectMaps(object)) {
    const map = spec.maps.get(key);
    if (map === undefined) continue;
    const subject = `map '${key}'`;
    // Pinning is done here, not by libbpf: it refuses pinned devmaps on newer kernels, and says less when it refuses.
    check(bpf.mapSetPinPath(pointer, null), 'clear pin path', subject);
    if (!map.isInternal) {
      check(bpf.mapSetMaxEntries(pointer, map.maxEntries), 'set max entries', subject);
      check(bpf.mapSetFlags(pointer, map.flags), 'set flags', subject);
    }
    if (map.innerMap !== undefined)
      check(bpf.mapSetInnerFd(pointer, map.innerMap.fd), 'set inner map', subject);
    const existing = existingMap(map, options, cleanup);
    if (existing !== undefined) {
      requireSameShape(map, existing);
      check(bpf.mapReuseFd(pointer, existing.fd), 'reuse', subject);
    } else if (map.pinning === 'byName') {
      toPin.set(key, pinFile(map, options));
    }
  }
  return toPin;
}

function pinFile(map: MapSpec, options: LoadOptions): string {
  const { pinPath } = options;
  const refuse = (hint: string): never => {
    throw new BpfError({ operation: 'pin', subject: `map '${map.name}'`, code: 'BAD_ARGUMENT', hint });
  };
  if (pinPath === undefined)
    return refuse(`it is pinned by name: give load() a pinPath, or set pinning to 'none'`);
  if (!isBpffs(pinPath)) return refuse(`${pinPath} is not in a BPF file system: call ensureBpffs first`);
  return path.join(pinPath, map.name);
}

type AnyMap = Pick<BpfMap, 'fd' | 'info'>;

function existingMap(map: MapSpec, options: LoadOptions, cleanup: DisposableStack): AnyMap | undefined {
  const { reuseMaps } = options;
  const open = (file: string): BpfMap | undefined =>
    fs.existsSync(file) ? cleanup.use(BpfMap.openPinned(file)) : undefined;
  if (typeof reuseMaps === 'string' && !map.isInternal) {
    const found = open(path.join(reuseMaps, map.name));
    if (found !== undefined) return found;
  } else if (typeof reuseMaps === 'object') {
    const found = reuseMaps.get(map.name);
    if (found !== undefined) return found;
  }
  return map.pinning === 'byName' ? open(pinFile(map, options)) : undefined;
}

/** Flags that the kernel adds by itself to maps of some types. */
function comparableFlags(type: string, flags: number): number {
  return type === 'devmap' || type === 'devmap_hash' ? flags & ~mapFlag.rdonlyProg : flags;
}

function requireSameShape(map: MapSpec, existing: AnyMap): void {
  const found = existing.info();
  const wanted: [string, string | number, string | number][] = [
    ['type', map.type, found.type],
    ['key size', map.keySize, found.keySize],
    ['value size', map.valueSize, found.valueSize],
    ['flags', comparableFlags(map.type, map.flags), comparableFlags(map.type, found.flags)],
  ];
  // libbpf rounds ring buffers up to pages and a power of two; 0 means as many entries as there are CPUs.
  const rounded = map.type === 'ringbuf' && found.maxEntries >= map.maxEntries;
  if (map.maxEntries !== 0 && !rounded) wanted.push(['max entries', map.maxEntries, found.maxEntries]);
  const differences = wanted.filter(([, want, have]) => want !== have);
  if (differences.length === 0) return;
  throw new BpfError({
    operation: 'reuse',
    subject: `map '${map.name}'`,
    code: 'MAP_INCOMPATIBLE',
    hint: `${differences.map(([what, want, have]) => `${what} is ${have}, the object wants ${want}`).join('; ')}`,
  });
}

function applyConstants(spec: CollectionSpec, object: Pointer): void {
  const bpf = libbpf();
  const sections = new Map([...objectMaps(object)].map(({ key, pointer }) => [key, pointer]));
  for (const [section, pointer] of sections) {
    const values = [...spec.constantValues.values()].filter((value) => value.spec.section === section);
    if (values.length === 0) continue;
    const size = new BigUint64Array(1);
    const initial = bpf.mapInitialValue(pointer, size);
    if (initial === null) {
      throw new BpfError({
        operation: 'set constants',
        subject: `section '${section}'`,
        code: 'BAD_OBJECT',
        hint: 'it is empty',
      });
    }
    const data = copyFrom(initial, Number(size[0] ?? 0n));
    for (const value of values) data.set(value.data, value.spec.offset);
    check(bpf.mapSetInitialValue(pointer, data, data.length), 'set constants', `section '${section}'`);
  }
}

interface LogBuffers {
  /** The buffer that a refused program's log is in. */
  shared: Pointer;
  /** With a log level: one buffer for each program. */
  each: Map<string, Pointer>;
}

function preparePrograms(
  spec: CollectionSpec,
  object: Pointer,
  logLevel: number,
  cleanup: DisposableStack,
): LogBuffers {
  const bpf = libbpf();
  const allocate = (): Pointer => cleanup.adopt(allocateNative(LOG_BUFFER_BYTES), freeNative);
  const shared = allocate();
  const each = new Map<string, Pointer>();
  for (const { name, pointer } of objectPrograms(object)) {
    const program = spec.programs.get(name);
    if (program === undefined) continue;
    const subject = `program '${name}'`;
    check(bpf.programSetAutoload(pointer, program.autoload), 'set autoload', subject);
    if (!program.autoload) continue;
    const newer = newerSection(program.section);
    if (bpf.programType(pointer) === programType.unspec && newer !== undefined) {
      check(bpf.programSetType(pointer, newer.type), 'set type', subject);
    }
    // Kernels without tcx know no such attach type; there the program becomes a clsact filter.
    const tcxOnly = newer !== undefined && newer.attachType !== 0 && !hasTcx();
    const expected = tcxOnly ? 0 : program.expectedAttachType;
    check(bpf.programSetExpectedAttachType(pointer, expected), 'set attach type', subject);
    const buffer = logLevel > 0 ? allocate() : shared;
    if (logLevel > 0) each.set(name, buffer);
    check(bpf.programSetLogBuf(pointer, buffer, LOG_BUFFER_BYTES), 'set log buffer', subject);
    check(bpf.programSetLogLevel(pointer, logLevel), 'set log level', subject);
  }
  return { shared, each };
}

function loadError(
  spec: CollectionSpec,
  errno: number,
  messages: readonly string[],
  shared: Pointer,
): BpfError {
  const text = messages.join('\n');
  const program = /prog '([^']+)': (?:BPF program load failed|failed to load)/.exec(text)?.[1];
  const EPERM = 1;
  const log = program === undefined ? '' : tail(nativeString(shared));
  const hint =
    errno === EPERM && log === ''
      ? 'it needs root, or CAP_BPF with CAP_NET_ADMIN and CAP_PERFMON'
      : log === ''
        ? messages.slice(-5).join('; ')
        : `the verifier refused it`;
  return new BpfError({
    operation: 'load',
    subject: program === undefined ? `object '${spec.name}'` : `program '${program}'`,
    errno,
    ...(hint === '' ? {} : { hint }),
    ...(log === '' ? {} : { log }),
  });
}

function tail(log: string): string {
  const lines = log.trimEnd().split('\n');
  const cut = lines.length - LOG_TAIL_LINES;
  return cut > 0 ? [`... ${cut} lines before`, ...lines.slice(cut)].join('\n') : lines.join('\n');
}

/** Takes a descriptor of its own of everything loaded, and pins what is to be pinned. */
function collect(
  spec: CollectionSpec,
  object: Pointer,
  toPin: ReadonlyMap<string, string>,
  logs: ReadonlyMap<string, Pointer>,
): Collection {
  const bpf = libbpf();
  using undo = new DisposableStack();
  const maps = new Map<string, BpfMap>();
  for (const { key, pointer } of objectMaps(object)) {
    const fd = bpf.mapFd(pointer);
    if (fd < 0) continue;
    const map = undo.use(BpfMap.fromFd(check(duplicateFd(fd), 'duplicate descriptor', `map '${key}'`), key));
    maps.set(key, map);
    const file = toPin.get(key);
    if (file === undefined) continue;
    map.pin(file);
    undo.defer(() => fs.rmSync(file, { force: true }));
  }
  const programs = new Map<string, BpfProgram>();
  for (const { name, pointer } of objectPrograms(object)) {
    const fd = bpf.programFd(pointer);
    if (fd < 0 || spec.programs.get(name)?.autoload !== true) continue;
    const copy = check(duplicateFd(fd), 'duplicate descriptor', `program '${name}'`);
    programs.set(name, undo.use(new BpfProgram(copy, name)));
  }
  const texts = new Map([...logs].map(([name, pointer]) => [name, nativeString(pointer)]));
  const collection = new Collection(maps, programs, texts);
  undo.move();
  return collection;
}
