/**
 * The only file that calls native code: libbpf.so.1 (1.1 or later) and a few functions of libc, through koffi.
 * Functions that return int return -errno on failure, as libbpf 1.x does; those that return a pointer return
 * null and leave the reason in `lastErrno()`.
 */
import os from 'node:os';
import koffi, { type TypeObject } from 'koffi';
import { BpfError } from './errors.ts';

/** An address in this process. */
export type Pointer = bigint;

const LIBRARY = 'libbpf.so.1';
const F_DUPFD_CLOEXEC = 1030;
/** One message of libbpf is cut at this length; the verifier's log does not pass through here. */
const MESSAGE_MAX_BYTES = 8192;
/** Messages kept from one call, the last ones winning. */
const MESSAGES_MAX = 256;

interface Libbpf {
  openMem(data: Uint8Array, size: number, opts: Uint8Array): Pointer | null;
  load(object: Pointer): number;
  close(object: Pointer): void;
  objectBtf(object: Pointer): Pointer | null;
  btfRawData(btf: Pointer, size: Uint32Array): Pointer | null;

  nextProgram(object: Pointer, previous: Pointer | null): Pointer | null;
  programName(program: Pointer): string;
  programSection(program: Pointer): string;
  programType(program: Pointer): number;
  programSetType(program: Pointer, type: number): number;
  programExpectedAttachType(program: Pointer): number;
  programSetExpectedAttachType(program: Pointer, type: number): number;
  programAutoload(program: Pointer): boolean;
  programSetAutoload(program: Pointer, autoload: boolean): number;
  programInsnCount(program: Pointer): number | bigint;
  programFd(program: Pointer): number;
  programSetLogBuf(program: Pointer, buffer: Pointer, size: number): number;
  programSetLogLevel(program: Pointer, level: number): number;

  nextMap(object: Pointer, previous: Pointer | null): Pointer | null;
  mapName(map: Pointer): string;
  mapType(map: Pointer): number;
  mapKeySize(map: Pointer): number;
  mapValueSize(map: Pointer): number;
  mapMaxEntries(map: Pointer): number;
  mapFlags(map: Pointer): number;
  mapExtra(map: Pointer): number | bigint;
  mapPinPath(map: Pointer): string | null;
  mapSetPinPath(map: Pointer, path: string | null): number;
  mapIsInternal(map: Pointer): boolean;
  mapBtfKeyType(map: Pointer): number;
  mapBtfValueType(map: Pointer): number;
  mapInner(map: Pointer): Pointer | null;
  mapSetMaxEntries(map: Pointer, count: number): number;
  mapSetFlags(map: Pointer, flags: number): number;
  mapSetValueSize(map: Pointer, size: number): number;
  mapSetInnerFd(map: Pointer, fd: number): number;
  mapReuseFd(map: Pointer, fd: number): number;
  mapInitialValue(map: Pointer, size: BigUint64Array): Pointer | null;
  mapSetInitialValue(map: Pointer, data: Uint8Array, size: number): number;
  mapFd(map: Pointer): number;

  mapCreate(
    type: number,
    name: string,
    keySize: number,
    valueSize: number,
    max: number,
    opts: Uint8Array,
  ): number;
  lookup(fd: number, key: Uint8Array, value: Uint8Array): number;
  lookupAndDelete(fd: number, key: Uint8Array | null, value: Uint8Array): number;
  update(fd: number, key: Uint8Array | null, value: Uint8Array, flags: number): number;
  delete(fd: number, key: Uint8Array): number;
  nextKey(fd: number, key: Uint8Array | null, next: Uint8Array): number;
  freeze(fd: number): number;
  updateBatch(fd: number, keys: Uint8Array, values: Uint8Array, count: Uint32Array, opts: null): number;
  deleteBatch(fd: number, keys: Uint8Array, count: Uint32Array, opts: null): number;
  lookupBatch(
    fd: number,
    from: Uint8Array | null,
    next: Uint8Array,
    keys: Uint8Array,
    values: Uint8Array,
    count: Uint32Array,
    opts: null,
  ): number;

  pin(fd: number, path: string): number;
  openPinned(path: string): number;
  info(fd: number, info: Uint8Array, size: Uint32Array): number;
  mapFdById(id: number): number;
  programFdById(id: number): number;
  linkFdById(id: number): number;
  linkCreate(programFd: number, target: number, attachType: number, opts: Uint8Array | null): number;
  linkDetach(fd: number): number;
  linkUpdate(fd: number, programFd: number, opts: Uint8Array | null): number;
  programQuery(
    target: number,
    attachType: number,
    flags: number,
    attachFlags: Uint32Array,
    ids: Uint32Array,
    count: Uint32Array,
  ): number;
  enableStats(type: number): number;

  ringNew(mapFd: number, callback: Pointer, context: null, opts: null): Pointer | null;
  ringFree(ring: Pointer): void;
  ringConsume(ring: Pointer): number;
  ringEpollFd(ring: Pointer): number;

  possibleCpus(): number;
  majorVersion(): number;
  minorVersion(): number;
}

interface Native {
  readonly bpf: Libbpf;
  readonly setPrint: (callback: Pointer | null) => Pointer | null;
  readonly testRun: (programFd: number, opts: Uint8Array) => number;
  readonly tcHookCreate: (hook: Uint8Array) => number;
  readonly tcHookDestroy: (hook: Uint8Array) => number;
  readonly tcAttach: (hook: Uint8Array, opts: Uint8Array) => number;
  readonly tcDetach: (hook: Uint8Array, opts: Uint8Array) => number;
  readonly tcQuery: (hook: Uint8Array, opts: Uint8Array) => number;
  readonly linkUpdateAsync: (
    fd: number,
    programFd: number,
    opts: null,
    done: (error: unknown, result: number) => void,
  ) => void;
  readonly vsnprintf: (out: Uint8Array, size: number, format: Pointer, args: Pointer) => number;
  readonly memcpy: (to: Uint8Array, from: Pointer, size: number) => Pointer;
  readonly memset: (at: Pointer, byte: number, size: number) => Pointer;
  readonly fcntl: (fd: number, command: number, type: 'int', argument: number) => number;
  readonly mount: (source: string, target: string, type: string, flags: number, data: null) => number;
  readonly umount2: (target: string, flags: number) => number;
  readonly setns: (fd: number, type: number) => number;
  readonly mmap: (
    at: null,
    size: number,
    protection: number,
    flags: number,
    fd: number,
    offset: number,
  ) => Pointer;
  readonly munmap: (at: Pointer, size: number) => number;
  readonly printCallbackType: TypeObject;
  readonly ringCallbackType: TypeObject;
}

let loaded: Native | undefined;

function loadLibrary(): ReturnType<typeof koffi.load> {
  if (os.endianness() !== 'LE') {
    throw new BpfError({
      operation: 'start',
      code: 'BAD_ARGUMENT',
      hint: 'only little-endian machines are supported',
    });
  }
  try {
    return koffi.load(LIBRARY);
  } catch (cause) {
    throw new BpfError({
      operation: `load ${LIBRARY}`,
      code: 'LIBBPF_MISSING',
      hint: `it is not installed here; on Debian and Ubuntu: apt install libbpf1 (${String(cause)})`,
      cause,
    });
  }
}

function declare(): Native {
  const lib = loadLibrary();
  const libc = koffi.load(null);
  const ptr = 'void *';
  const printCallbackType = koffi.pointer(koffi.proto('int', ['int', ptr, ptr]));
  const ringCallbackType = koffi.pointer(koffi.proto('int', [ptr, ptr, 'size_t']));

  const fn = lib.func.bind(lib) as unknown as (name: string, result: string, args: unknown[]) => never;
  const linkUpdate = lib.func('bpf_link_update', 'int', ['int', 'int', ptr]);
  const bpf: Libbpf = {
    openMem: fn('bpf_object__open_mem', ptr, [ptr, 'size_t', ptr]),
    load: fn('bpf_object__load', 'int', [ptr]),
    close: fn('bpf_object__close', 'void', [ptr]),
    objectBtf: fn('bpf_object__btf', ptr, [ptr]),
    btfRawData: fn('btf__raw_data', ptr, [ptr, ptr]),

    nextProgram: fn('bpf_object__next_program', ptr, [ptr, ptr]),
    programName: fn('bpf_program__name', 'str', [ptr]),
    programSection: fn('bpf_program__section_name', 'str', [ptr]),
    programType: fn('bpf_program__type', 'int', [ptr]),
    programSetType: fn('bpf_program__set_type', 'int', [ptr, 'int']),
    programExpectedAttachType: fn('bpf_program__expected_attach_type', 'int', [ptr]),
    programSetExpectedAttachType: fn('bpf_program__set_expected_attach_type', 'int', [ptr, 'int']),
    programAutoload: fn('bpf_program__autoload', 'bool', [ptr]),
    programSetAutoload: fn('bpf_program__set_autoload', 'int', [ptr, 'bool']),
    programInsnCount: fn('bpf_program__insn_cnt', 'size_t', [ptr]),
    programFd: fn('bpf_program__fd', 'int', [ptr]),
    programSetLogBuf: fn('bpf_program__set_log_buf', 'int', [ptr, ptr, 'size_t']),
    programSetLogLevel: fn('bpf_program__set_log_level', 'int', [ptr, 'uint32_t']),

    nextMap: fn('bpf_object__next_map', ptr, [ptr, ptr]),
    mapName: fn('bpf_map__name', 'str', [ptr]),
    mapType: fn('bpf_map__type', 'int', [ptr]),
    mapKeySize: fn('bpf_map__key_size', 'uint32_t', [ptr]),
    mapValueSize: fn('bpf_map__value_size', 'uint32_t', [ptr]),
    mapMaxEntries: fn('bpf_map__max_entries', 'uint32_t', [ptr]),
    mapFlags: fn('bpf_map__map_flags', 'uint32_t', [ptr]),
    mapExtra: fn('bpf_map__map_extra', 'uint64_t', [ptr]),
    mapPinPath: fn('bpf_map__pin_path', 'str', [ptr]),
    mapSetPinPath: fn('bpf_map__set_pin_path', 'int', [ptr, 'str']),
    mapIsInternal: fn('bpf_map__is_internal', 'bool', [ptr]),
    mapBtfKeyType: fn('bpf_map__btf_key_type_id', 'uint32_t', [ptr]),
    mapBtfValueType: fn('bpf_map__btf_value_type_id', 'uint32_t', [ptr]),
    mapInner: fn('bpf_map__inner_map', ptr, [ptr]),
    mapSetMaxEntries: fn('bpf_map__set_max_entries', 'int', [ptr, 'uint32_t']),
    mapSetFlags: fn('bpf_map__set_map_flags', 'int', [ptr, 'uint32_t']),
    mapSetValueSize: fn('bpf_map__set_value_size', 'int', [ptr, 'uint32_t']),
    mapSetInnerFd: fn('bpf_map__set_inner_map_fd', 'int', [ptr, 'int']),
    mapReuseFd: fn('bpf_map__reuse_fd', 'int', [ptr, 'int']),
    mapInitialValue: fn('bpf_map__initial_value', ptr, [ptr, ptr]),
    mapSetInitialValue: fn('bpf_map__set_initial_value', 'int', [ptr, ptr, 'size_t']),
    mapFd: fn('bpf_map__fd', 'int', [ptr]),

    mapCreate: fn('bpf_map_create', 'int', ['int', 'str', 'uint32_t', 'uint32_t', 'uint32_t', ptr]),
    lookup: fn('bpf_map_lookup_elem', 'int', ['int', ptr, ptr]),
    lookupAndDelete: fn('bpf_map_lookup_and_delete_elem', 'int', ['int', ptr, ptr]),
    update: fn('bpf_map_update_elem', 'int', ['int', ptr, ptr, 'uint64_t']),
    delete: fn('bpf_map_delete_elem', 'int', ['int', ptr]),
    nextKey: fn('bpf_map_get_next_key', 'int', ['int', ptr, ptr]),
    freeze: fn('bpf_map_freeze', 'int', ['int']),
    updateBatch: fn('bpf_map_update_batch', 'int', ['int', ptr, ptr, ptr, ptr]),
    deleteBatch: fn('bpf_map_delete_batch', 'int', ['int', ptr, ptr, ptr]),
    lookupBatch: fn('bpf_map_lookup_batch', 'int', ['int', ptr, ptr, ptr, ptr, ptr, ptr]),

    pin: fn('bpf_obj_pin', 'int', ['int', 'str']),
    openPinned: fn('bpf_obj_get', 'int', ['str']),
    info: fn('bpf_obj_get_info_by_fd', 'int', ['int', ptr, ptr]),
    mapFdById: fn('bpf_map_get_fd_by_id', 'int', ['uint32_t']),
    programFdById: fn('bpf_prog_get_fd_by_id', 'int', ['uint32_t']),
    linkFdById: fn('bpf_link_get_fd_by_id', 'int', ['uint32_t']),
    linkCreate: fn('bpf_link_create', 'int', ['int', 'int', 'int', ptr]),
    linkDetach: fn('bpf_link_detach', 'int', ['int']),
    linkUpdate: linkUpdate as never,
    programQuery: fn('bpf_prog_query', 'int', ['int', 'int', 'uint32_t', ptr, ptr, ptr]),
    enableStats: fn('bpf_enable_stats', 'int', ['int']),

    ringNew: fn('ring_buffer__new', ptr, ['int', ringCallbackType as never, ptr, ptr]),
    ringFree: fn('ring_buffer__free', 'void', [ptr]),
    ringConsume: fn('ring_buffer__consume', 'int', [ptr]),
    ringEpollFd: fn('ring_buffer__epoll_fd', 'int', [ptr]),

    possibleCpus: fn('libbpf_num_possible_cpus', 'int', []),
    majorVersion: fn('libbpf_major_version', 'uint32_t', []),
    minorVersion: fn('libbpf_minor_version', 'uint32_t', []),
  };
  return {
    bpf,
    printCallbackType,
    ringCallbackType,
    setPrint: fn('libbpf_set_print', ptr, [printCallbackType]),
    testRun: fn('bpf_prog_test_run_opts', 'int', ['int', ptr]),
    tcHookCreate: fn('bpf_tc_hook_create', 'int', [ptr]),
    tcHookDestroy: fn('bpf_tc_hook_destroy', 'int', [ptr]),
    tcAttach: fn('bpf_tc_attach', 'int', [ptr, ptr]),
    tcDetach: fn('bpf_tc_detach', 'int', [ptr, ptr]),
    tcQuery: fn('bpf_tc_query', 'int', [ptr, ptr]),
    linkUpdateAsync: linkUpdate.async,
    vsnprintf: libc.func('vsnprintf', 'int', [ptr, 'size_t', ptr, ptr]) as never,
    memcpy: libc.func('memcpy', ptr, [ptr, ptr, 'size_t']) as never,
    memset: libc.func('memset', ptr, [ptr, 'int', 'size_t']) as never,
    fcntl: libc.func('fcntl', 'int', ['int', 'int', '...']) as never,
    mount: libc.func('mount', 'int', ['str', 'str', 'str', 'unsigned long', ptr]) as never,
    umount2: libc.func('umount2', 'int', ['str', 'int']) as never,
    setns: libc.func('setns', 'int', ['int', 'int']) as never,
    mmap: libc.func('mmap', 'intptr_t', [ptr, 'size_t', 'int', 'int', 'int', 'int64_t']) as never,
    munmap: libc.func('munmap', 'int', [ptr, 'size_t']) as never,
  };
}

function native(): Native {
  if (loaded === undefined) {
    loaded = declare();
    // libbpf would write to stderr by itself; what matters reaches the caller in errors.
    loaded.setPrint(null);
  }
  return loaded;
}

/** libbpf's functions, loaded at first use. Throws `BpfError` LIBBPF_MISSING when there is no libbpf. */
export function libbpf(): Libbpf {
  return loaded === undefined ? native().bpf : loaded.bpf;
}

/** errno of the last call that returned null. */
export function lastErrno(): number {
  return koffi.errno();
}

type StructField = [offset: number, type: 'u32' | 'u64', value: number | bigint];

/**
 * A C struct of libbpf's `*_opts` kind, by the offsets of its fields (64-bit Linux): `size` bytes, of which the first
 * eight say `size`. libbpf takes shorter structs than its own, and longer ones whose rest is zero.
 */
function structBytes(
  size: number,
  ...fields: StructField[]
): { bytes: Uint8Array; u32: (at: number) => number } {
  const data = new Uint8Array(size);
  const view = new DataView(data.buffer);
  view.setBigUint64(0, BigInt(size), true);
  for (const [offset, type, value] of fields) {
    if (type === 'u32') view.setUint32(offset, Number(value), true);
    else view.setBigUint64(offset, BigInt(value), true);
  }
  return { bytes: data, u32: (at) => view.getUint32(at, true) };
}

/** Opens an object image under a name (libbpf takes internal maps' names from it); null on failure. */
export function openObject(image: Uint8Array, name: string): Pointer | null {
  const nameBytes = Buffer.from(`${name}\0`);
  const opts = structBytes(16, [8, 'u64', koffi.address(nameBytes)]);
  const object = libbpf().openMem(image, image.length, opts.bytes);
  // The struct holds an address only: using the string's bytes here keeps them from being collected before.
  return nameBytes.length > 0 ? object : null;
}

/** Copies `size` bytes of native memory. */
export function copyFrom(pointer: Pointer, size: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size);
  if (size > 0) native().memcpy(out, pointer, size);
  return out;
}

/** Runs `body` and returns, with its result, the messages that libbpf printed meanwhile. */
export function withMessages<T>(body: () => T): { result: T; messages: string[] } {
  const { setPrint, vsnprintf, printCallbackType } = native();
  const messages: string[] = [];
  const line = Buffer.alloc(MESSAGE_MAX_BYTES);
  const LEVEL_DEBUG = 2;
  const print = (level: number, format: Pointer, args: Pointer): number => {
    if (level >= LEVEL_DEBUG) return 0;
    // A va_list travels as a pointer on x86-64 and arm64 alike.
    const length = vsnprintf(line, line.length, format, args);
    messages.push(line.toString('utf8', 0, Math.min(Math.max(length, 0), line.length - 1)).trimEnd());
    if (messages.length > MESSAGES_MAX) messages.shift();
    return 0;
  };
  const callback = koffi.register(print, printCallbackType);
  setPrint(callback);
  try {
    return { result: body(), messages };
  } finally {
    setPrint(null);
    koffi.unregister(callback);
  }
}

/** Native memory that stays in place across calls, zeroed. Free it with `freeNative`. */
export function allocateNative(size: number): Pointer {
  const pointer: Pointer = koffi.alloc('uint8_t', size);
  // The first byte is enough: it ends a log that was never written.
  native().memset(pointer, 0, 1);
  return pointer;
}

/** Frees what `allocateNative` gave. */
export function freeNative(pointer: Pointer): void {
  koffi.free(pointer);
}

/** Reads a NUL-terminated string of native memory. */
export function nativeString(pointer: Pointer): string {
  return koffi.decode.string(pointer);
}

/** Duplicates a descriptor, close-on-exec. Returns the new one or -errno. */
export function duplicateFd(fd: number): number {
  const copy = native().fcntl(fd, F_DUPFD_CLOEXEC, 'int', 3);
  return copy < 0 ? -koffi.errno() : copy;
}

/** BPF_MAP_CREATE; returns the descriptor or -errno. */
export function createMap(
  type: number,
  name: string,
  keySize: number,
  valueSize: number,
  maxEntries: number,
  flags: number,
  innerMapFd: number,
): number {
  const opts = structBytes(48, [24, 'u32', innerMapFd], [28, 'u32', flags]);
  return libbpf().mapCreate(type, name, keySize, valueSize, maxEntries, opts.bytes);
}

/** BPF_LINK_CREATE with flags (XDP_FLAGS_* for xdp); returns the descriptor or -errno. */
export function createLink(programFd: number, target: number, attachType: number, flags: number): number {
  const opts = flags === 0 ? null : structBytes(16, [8, 'u32', flags]).bytes;
  return libbpf().linkCreate(programFd, target, attachType, opts);
}

/** BPF_LINK_UPDATE on the thread pool; resolves to 0 or -errno. */
export function updateLinkAsync(fd: number, programFd: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  native().linkUpdateAsync(fd, programFd, null, (error, result) => {
    if (error === null || error === undefined) resolve(result);
    else reject(error);
  });
  return promise;
}

/** What BPF_PROG_TEST_RUN takes and gives. */
export interface TestRunBuffers {
  dataIn: Uint8Array | null;
  dataOut: Uint8Array | null;
  ctxIn: Uint8Array | null;
  ctxOut: Uint8Array | null;
  repeat: number;
  flags: number;
  cpu: number;
  batchSize: number;
}

/** BPF_PROG_TEST_RUN; `error` is 0 or -errno, the sizes are those that the kernel wrote. */
export function runTest(programFd: number, run: TestRunBuffers) {
  const address = (buffer: Uint8Array | null): bigint => (buffer === null ? 0n : koffi.address(buffer));
  const opts = structBytes(
    80,
    [8, 'u64', address(run.dataIn)],
    [16, 'u64', address(run.dataOut)],
    [24, 'u32', run.dataIn?.length ?? 0],
    [28, 'u32', run.dataOut?.length ?? 0],
    [32, 'u64', address(run.ctxIn)],
    [40, 'u64', address(run.ctxOut)],
    [48, 'u32', run.ctxIn?.length ?? 0],
    [52, 'u32', run.ctxOut?.length ?? 0],
    [60, 'u32', run.repeat],
    [68, 'u32', run.flags],
    [72, 'u32', run.cpu],
    [76, 'u32', run.batchSize],
  );
  const error = native().testRun(programFd, opts.bytes);
  return {
    error,
    retval: opts.u32(56),
    durationNs: opts.u32(64),
    dataSize: opts.u32(28),
    ctxSize: opts.u32(52),
  };
}

/** A clsact hook: 1 for ingress, 2 for egress (enum bpf_tc_attach_point). */
export interface TcHook {
  ifindex: number;
  attachPoint: 1 | 2;
}

/** A filter on a hook, by the handle and priority that the kernel knows it by; 0 lets the kernel choose. */
export interface TcFilter {
  handle: number;
  priority: number;
}

const tcHookStruct = (hook: TcHook) =>
  structBytes(24, [8, 'u32', hook.ifindex], [12, 'u32', hook.attachPoint]);

const tcOptsStruct = (filter: TcFilter, programFd: number, flags: number) =>
  structBytes(
    32,
    [8, 'u32', programFd],
    [12, 'u32', flags],
    [20, 'u32', filter.handle],
    [24, 'u32', filter.priority],
  );

/** Makes the clsact qdisc; 0 or -errno (-EEXIST when it is there). */
export function createTcHook(hook: TcHook): number {
  return native().tcHookCreate(tcHookStruct(hook).bytes);
}

/** Attaches or (with `replace`) exchanges a clsact filter; the filter's handle and priority come back. */
export function attachTc(hook: TcHook, filter: TcFilter, programFd: number, replace: boolean) {
  const opts = tcOptsStruct(filter, programFd, replace ? 1 : 0);
  const error = native().tcAttach(tcHookStruct(hook).bytes, opts.bytes);
  return { error, handle: opts.u32(20), priority: opts.u32(24) };
}

/** Detaches a clsact filter; 0 or -errno. */
export function detachTc(hook: TcHook, filter: TcFilter): number {
  return native().tcDetach(tcHookStruct(hook).bytes, tcOptsStruct(filter, 0, 0).bytes);
}

/** Asks which program a clsact filter runs. */
export function queryTc(hook: TcHook, filter: TcFilter): { error: number; programId: number } {
  const opts = tcOptsStruct(filter, 0, 0);
  const error = native().tcQuery(tcHookStruct(hook).bytes, opts.bytes);
  return { error, programId: opts.u32(16) };
}

/** Registers a ring buffer's sample callback; `release` frees its slot. */
export function ringCallback(onSample: (data: Pointer, size: number) => number): {
  pointer: Pointer;
  release: () => void;
} {
  const pointer = koffi.register(
    (_context: Pointer | null, data: Pointer, size: number | bigint) => onSample(data, Number(size)),
    native().ringCallbackType,
  );
  return { pointer, release: () => koffi.unregister(pointer) };
}

/** Watches a descriptor for input on the event loop (uv_poll). Call `close` when done. */
export function watchReadable(fd: number, onReadable: () => void): { close: () => void; unref: () => void } {
  return koffi.node.poll(fd, { readable: true }, onReadable);
}

/** mount(2); 0 or -errno. */
export function mount(source: string, target: string, type: string): number {
  return native().mount(source, target, type, 0, null) < 0 ? -koffi.errno() : 0;
}

/** umount2(2); 0 or -errno. */
export function unmount(target: string): number {
  return native().umount2(target, 0) < 0 ? -koffi.errno() : 0;
}

/** setns(2) of the calling thread into a network namespace; 0 or -errno. */
export function setNetworkNamespace(fd: number): number {
  const CLONE_NEWNET = 0x40000000;
  return native().setns(fd, CLONE_NEWNET) < 0 ? -koffi.errno() : 0;
}

/** Maps a descriptor's memory, shared. Returns its address, or -errno as a negative number. */
export function mapMemory(fd: number, size: number): Pointer {
  const PROT_READ = 1;
  const PROT_WRITE = 2;
  const MAP_SHARED = 1;
  const at = BigInt(native().mmap(null, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  return at === -1n ? BigInt(-koffi.errno()) : at;
}

/** An ArrayBuffer over native memory, without a copy: unusable once that memory is gone. */
export function viewMemory(pointer: Pointer, size: number): ArrayBuffer {
  return koffi.view(pointer, size);
}

/** munmap(2); 0 or -errno. */
export function unmapMemory(pointer: Pointer, size: number): number {
  return native().munmap(pointer, size) < 0 ? -koffi.errno() : 0;
}
