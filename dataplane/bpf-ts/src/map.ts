/** Maps: single operations, per-CPU values, and creation. Batches and iteration are in map-batch.ts. */
import type { Codec, MapLayout } from './codec.ts';
import { bytes } from './codec.ts';
import { isPerCpuType, type MapTypeName, mapFlag, mapType, nameOf } from './constants.ts';
import { BpfError, check } from './errors.ts';
import { createMap, libbpf, mapMemory, unmapMemory, viewMemory } from './ffi.ts';
import { FdHandle, fixedString, objectInfo, openPinnedFd, pinFd } from './handle.ts';
import { type BatchTarget, deleteBatch, entryChunks, updateBatch } from './map-batch.ts';
import { possibleCpus } from './probe.ts';

const INFO_SIZE = 88;
const ENOENT = 2;

/** What the kernel says of a map (struct bpf_map_info). */
export interface MapInfo {
  id: number;
  /** As in `mapType`; 'type_<n>' for newer ones. */
  type: string;
  /** At most 15 characters: the kernel cuts it. */
  name: string;
  keySize: number;
  /** Size of one value in bytes (per CPU, for per-CPU maps, before rounding up to 8). */
  valueSize: number;
  maxEntries: number;
  /** BPF_F_* flags of creation. */
  flags: number;
  btfId: number;
}

/** Whether an update may create ('noexist'), replace ('exist'), or either ('any', the default). */
export type UpdateFlag = 'any' | 'noexist' | 'exist';
const updateFlags: Record<UpdateFlag, number> = { any: 0, noexist: 1, exist: 2 };

/** What `BpfMap.create` takes (BPF_MAP_CREATE). */
export interface MapCreateOptions {
  /** At most 15 characters reach the kernel. */
  name: string;
  type: MapTypeName;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  /** BPF_F_*, see `mapFlag`. */
  flags?: number;
  /** For maps of maps: any map of the shape that the inner ones have. */
  innerMap?: { readonly fd: number };
}

/** The memory of an array, mapped: reads and writes make no system call, and are as atomic as plain memory is. */
export interface MappedArray<V> extends Disposable {
  /** Number of values. */
  readonly length: number;
  /** The value at an index. Throws RangeError outside, `BpfError` CLOSED after disposal. */
  get(index: number): V;
  /** Sets the value at an index; throws as `get`. */
  set(index: number, value: V): void;
}

const hints: Record<string, string> = {
  '7': 'the map is full (see maxEntries)',
  '1': 'it needs root, or CAP_BPF',
  '17': 'the key is there already',
};

/**
 * One map. `K` and `V` are what its codecs give; without codecs both are raw bytes.
 * Disposing closes the descriptor; programs and pins keep the map alive. A typed view made by `typed` shares the
 * descriptor: disposing one closes it for both.
 */
export class BpfMap<K = Uint8Array, V = Uint8Array> {
  readonly #handle: FdHandle;
  readonly #info: MapInfo;
  readonly #typeNumber: number;
  /** Full name where it came from an object file, else the kernel's (15 characters). */
  readonly name: string;
  /** Whether each possible CPU has a value of its own. */
  readonly isPerCpu: boolean;
  readonly keyCodec: Codec<K>;
  readonly valueCodec: Codec<V>;
  readonly #key: Uint8Array<ArrayBuffer>;
  readonly #keyView: DataView;
  readonly #value: Uint8Array<ArrayBuffer>;
  readonly #valueView: DataView;

  private constructor(handle: FdHandle, name: string | undefined, codecs: [Codec<K>, Codec<V>] | undefined) {
    this.#handle = handle;
    const view = objectInfo(handle.fd, INFO_SIZE, `map '${name ?? handle.fd}'`);
    this.#typeNumber = view.getUint32(0, true);
    this.isPerCpu = isPerCpuType(this.#typeNumber);
    this.#info = {
      id: view.getUint32(4, true),
      type: nameOf(mapType, this.#typeNumber, 'type'),
      name: fixedString(view, 24, 16),
      keySize: view.getUint32(8, true),
      valueSize: view.getUint32(12, true),
      maxEntries: view.getUint32(16, true),
      flags: view.getUint32(20, true),
      btfId: view.getUint32(64, true),
    };
    this.name = name ?? this.#info.name;
    // Without codecs K and V are Uint8Array by default: the only callers that pass none are the raw ones below.
    const raw = () =>
      [bytes(this.#info.keySize), bytes(this.#info.valueSize)] as unknown as [Codec<K>, Codec<V>];
    [this.keyCodec, this.valueCodec] = codecs ?? raw();
    this.#checkSize('key', this.keyCodec.size, this.#info.keySize);
    this.#checkSize('value', this.valueCodec.size, this.#info.valueSize);
    this.#key = new Uint8Array(Math.max(this.#info.keySize, 8));
    this.#keyView = new DataView(this.#key.buffer);
    this.#value = new Uint8Array(Math.max(this.kernelValueSize, 8));
    this.#valueView = new DataView(this.#value.buffer);
  }

  /** Wraps a descriptor and takes ownership of it. */
  static fromFd(fd: number, name?: string): BpfMap {
    return new BpfMap<Uint8Array, Uint8Array>(new FdHandle(fd, `map '${name ?? fd}'`), name, undefined);
  }

  /** Makes a map without an object file, e.g. an inner map. */
  static create(options: MapCreateOptions): BpfMap {
    const { type, keySize, valueSize, maxEntries, flags = 0, innerMap } = options;
    const shortName = options.name.slice(0, 15);
    const fd = createMap(mapType[type], shortName, keySize, valueSize, maxEntries, flags, innerMap?.fd ?? 0);
    return BpfMap.fromFd(check(fd, `create ${type}`, `map '${options.name}'`, hints[-fd]), options.name);
  }

  /** Opens a pinned map, raw or (with a layout of generated code) typed. */
  static openPinned(path: string): BpfMap;
  static openPinned<K, V>(path: string, layout: MapLayout<K, V>): BpfMap<K, V>;
  static openPinned<K, V>(path: string, layout?: MapLayout<K, V>): BpfMap | BpfMap<K, V> {
    const map = BpfMap.fromFd(openPinnedFd(path, 'map'), layout?.name);
    if (layout === undefined) return map;
    try {
      return map.typed(layout.key, layout.value);
    } catch (error) {
      map[Symbol.dispose]();
      throw error;
    }
  }

  /** Opens a map by the kernel's id (needs CAP_SYS_ADMIN). Ids are what look-ups in a map of maps give. */
  static openId(id: number): BpfMap {
    return BpfMap.fromFd(check(libbpf().mapFdById(id), 'open', `map id ${id}`));
  }

  /** The same map (and descriptor) seen through codecs. Throws MAP_INCOMPATIBLE when sizes differ. */
  typed<K2, V2>(key: Codec<K2>, value: Codec<V2>): BpfMap<K2, V2> {
    return new BpfMap<K2, V2>(this.#handle, this.name, [key, value]);
  }

  /** The map's descriptor; throws CLOSED after disposal. */
  get fd(): number {
    return this.#handle.fd;
  }

  /** As the kernel described the map when it was opened; nothing of it changes in a map's life. */
  info(): MapInfo {
    return this.#info;
  }

  /** Bytes of one slot as bpf(2) copies it: per-CPU values are rounded up to 8, times the possible CPUs. */
  get kernelValueSize(): number {
    return this.isPerCpu ? this.#perCpuStride * possibleCpus() : this.#info.valueSize;
  }

  get #perCpuStride(): number {
    return Math.ceil(this.#info.valueSize / 8) * 8;
  }

  get #subject(): string {
    return `map '${this.name}'`;
  }

  #checkSize(what: string, codec: number, kernel: number): void {
    if (codec === kernel) return;
    throw new BpfError({
      operation: 'check layout',
      subject: this.#subject,
      code: 'MAP_INCOMPATIBLE',
      hint: `its ${what} has ${kernel} bytes, the codec ${codec}: generate the code anew, or the map is of another version`,
    });
  }

  #fail(operation: string, errno: number): never {
    const hint = hints[errno];
    throw new BpfError({ operation, subject: this.#subject, errno, ...(hint === undefined ? {} : { hint }) });
  }

  #requirePerCpu(wanted: boolean, operation: string): void {
    if (this.isPerCpu === wanted) return;
    const hint = wanted ? 'it is not a per-CPU map' : `it is a per-CPU map: use ${operation}PerCpu`;
    throw new BpfError({ operation, subject: this.#subject, code: 'BAD_ARGUMENT', hint });
  }

  #encodeKey(key: K): Uint8Array {
    this.keyCodec.encode(key, this.#keyView, 0);
    return this.#key;
  }

  #lookup(key: K, operation: string): boolean {
    const result = libbpf().lookup(this.fd, this.#encodeKey(key), this.#value);
    if (result === 0) return true;
    return result === -ENOENT ? false : this.#fail(operation, -result);
  }

  /** The value of a key, or undefined where there is none. */
  lookup(key: K): V | undefined {
    this.#requirePerCpu(false, 'lookup');
    return this.#lookup(key, 'lookup') ? this.valueCodec.decode(this.#valueView, 0) : undefined;
  }

  /** The values of all possible CPUs for a key, in CPU order, or undefined where there is none. */
  lookupPerCpu(key: K): V[] | undefined {
    this.#requirePerCpu(true, 'lookup');
    return this.#lookup(key, 'lookup') ? this.#decodePerCpu(this.#valueView, 0) : undefined;
  }

  #decodePerCpu(view: DataView, offset: number): V[] {
    const stride = this.#perCpuStride;
    return Array.from({ length: possibleCpus() }, (_, cpu) =>
      this.valueCodec.decode(view, offset + cpu * stride),
    );
  }

  #encodePerCpu(values: readonly V[], view: DataView, offset: number): void {
    const stride = this.#perCpuStride;
    const cpus = possibleCpus();
    if (values.length !== cpus) {
      throw new RangeError(`${this.#subject}: ${values.length} values given for ${cpus} possible CPUs`);
    }
    for (const [cpu, value] of values.entries()) this.valueCodec.encode(value, view, offset + cpu * stride);
  }

  /** Sets a key's value. Throws EEXIST or ENOENT when `flags` forbids it, E2BIG when the map is full. */
  update(key: K, value: V, options?: { flags?: UpdateFlag }): void {
    this.#requirePerCpu(false, 'update');
    this.valueCodec.encode(value, this.#valueView, 0);
    this.#update(key, options?.flags ?? 'any');
  }

  /** Sets the values of all possible CPUs; `values` has one for each. */
  updatePerCpu(key: K, values: readonly V[], options?: { flags?: UpdateFlag }): void {
    this.#requirePerCpu(true, 'update');
    this.#encodePerCpu(values, this.#valueView, 0);
    this.#update(key, options?.flags ?? 'any');
  }

  /**
   * Puts a descriptor into a slot: a map into a map of maps, a program into a prog_array, a socket into a sockmap.
   * What a look-up gives back is the object's id, not this descriptor.
   */
  updateFd(key: K, target: { readonly fd: number }, options?: { flags?: UpdateFlag }): void {
    this.#value.fill(0);
    this.#valueView.setUint32(0, target.fd, true);
    this.#update(key, options?.flags ?? 'any');
  }

  #update(key: K, flags: UpdateFlag): void {
    const result = libbpf().update(this.fd, this.#encodeKey(key), this.#value, updateFlags[flags]);
    if (result < 0) this.#fail('update', -result);
  }

  /** Removes a key; false where there was none. (Arrays cannot forget: EINVAL.) */
  delete(key: K): boolean {
    const result = libbpf().delete(this.fd, this.#encodeKey(key));
    if (result === 0) return true;
    return result === -ENOENT ? false : this.#fail('delete', -result);
  }

  get #batchTarget(): BatchTarget {
    return {
      fd: this.fd,
      subject: this.#subject,
      keySize: this.#info.keySize,
      valueSize: this.kernelValueSize,
      maxEntries: this.#info.maxEntries,
    };
  }

  /**
   * All entries, each a fresh copy. Other writers may be at work meanwhile: an entry that is there all the time is
   * given, save where the kernel walks by key (LPM tries, types without batches) and a deletion makes it start over;
   * the iteration then ends after about twice `maxEntries`, and some may come twice. Deleting what was just given is
   * safe.
   */
  *entries(): Generator<[K, V], void, void> {
    this.#requirePerCpu(false, 'entries');
    for (const chunk of entryChunks(this.#batchTarget)) {
      for (const [key, value] of chunk) {
        yield [this.keyCodec.decode(key, 0), this.valueCodec.decode(value, 0)];
      }
    }
  }

  /** As `entries`, with the values of all possible CPUs. */
  *entriesPerCpu(): Generator<[K, V[]], void, void> {
    this.#requirePerCpu(true, 'entries');
    for (const chunk of entryChunks(this.#batchTarget)) {
      for (const [key, value] of chunk) yield [this.keyCodec.decode(key, 0), this.#decodePerCpu(value, 0)];
    }
  }

  /** All keys, as `entries`. */
  *keys(): Generator<K, void, void> {
    for (const chunk of entryChunks(this.#batchTarget))
      for (const [key] of chunk) yield this.keyCodec.decode(key, 0);
  }

  /** All entries in one array, fetched in batches. */
  lookupBatch(): [K, V][] {
    return [...this.entries()];
  }

  /**
   * Sets many entries, in order, in as few system calls as the map type allows. Returns their number. On failure
   * the `BpfError` says in `done` how many were set.
   */
  updateBatch(entries: Iterable<readonly [K, V]>, options?: { flags?: UpdateFlag }): number {
    this.#requirePerCpu(false, 'update');
    return updateBatch(
      this.#batchTarget,
      entries,
      ([key, value], keys, keyOffset, values, valueOffset) => {
        this.keyCodec.encode(key, keys, keyOffset);
        this.valueCodec.encode(value, values, valueOffset);
      },
      updateFlags[options?.flags ?? 'any'],
    );
  }

  /** As `updateBatch`, with the values of all possible CPUs. */
  updateBatchPerCpu(entries: Iterable<readonly [K, readonly V[]]>): number {
    this.#requirePerCpu(true, 'update');
    return updateBatch(
      this.#batchTarget,
      entries,
      ([key, value], keys, keyOffset, values, valueOffset) => {
        this.keyCodec.encode(key, keys, keyOffset);
        this.#encodePerCpu(value, values, valueOffset);
      },
      0,
    );
  }

  /** Removes many keys; those that are not there are passed over. Returns how many were removed. */
  deleteBatch(keys: Iterable<K>): number {
    return deleteBatch(this.#batchTarget, keys, (key, view, offset) =>
      this.keyCodec.encode(key, view, offset),
    );
  }

  /** Forbids writes from user space for good (BPF_MAP_FREEZE). */
  freeze(): void {
    check(libbpf().freeze(this.fd), 'freeze', this.#subject);
  }

  /** Maps the memory of an array made with BPF_F_MMAPABLE: reads and writes without system calls. */
  mmap(): MappedArray<V> {
    const stride = this.#perCpuStride;
    if (this.#typeNumber !== mapType.array || (this.#info.flags & mapFlag.mmapable) === 0) {
      const hint = `it must be an array with BPF_F_MMAPABLE (0x${mapFlag.mmapable.toString(16)})`;
      throw new BpfError({ operation: 'mmap', subject: this.#subject, code: 'BAD_ARGUMENT', hint });
    }
    const size = stride * this.#info.maxEntries;
    const address = mapMemory(this.fd, size);
    if (address < 0n) this.#fail('mmap', Number(-address));
    const view = new DataView(viewMemory(address, size));
    const length = this.#info.maxEntries;
    let open = true;
    // Checked here, since memory that is no longer mapped would end the process.
    const offsetOf = (index: number): number => {
      if (!open) throw new BpfError({ operation: 'use memory', subject: this.#subject, code: 'CLOSED' });
      if (Number.isInteger(index) && index >= 0 && index < length) return index * stride;
      throw new RangeError(`${this.#subject}: index ${index} is not between 0 and ${length - 1}`);
    };
    return {
      length,
      get: (index) => this.valueCodec.decode(view, offsetOf(index)),
      set: (index, value) => this.valueCodec.encode(value, view, offsetOf(index)),
      [Symbol.dispose]: () => {
        if (open) unmapMemory(address, size);
        open = false;
      },
    };
  }

  /** Pins the map in a BPF file system: it then outlives this process. */
  pin(path: string): void {
    pinFd(this.fd, path, this.#subject);
  }

  /** Closes the descriptor (that of every typed view too). */
  [Symbol.dispose](): void {
    this.#handle.close();
  }
}
