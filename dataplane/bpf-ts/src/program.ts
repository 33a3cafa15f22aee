/** Loaded programs: pinning, information, and BPF_PROG_TEST_RUN. */
import { nameOf, programType } from './constants.ts';
import { BpfError, check } from './errors.ts';
import { libbpf, runTest } from './ffi.ts';
import { FdHandle, fixedString, objectInfo, openPinnedFd, pinFd } from './handle.ts';

const INFO_SIZE = 232;
/** Attempts at a test run that signals or a busy machine interrupt, before the error is passed on. */
const TEST_RUN_ATTEMPTS_MAX = 16;
/** Room for what a program adds to a packet, when the caller names no output size. */
const DATA_OUT_EXTRA_BYTES = 512;

/** What the kernel says of a program (struct bpf_prog_info). */
export interface ProgramInfo {
  id: number;
  /** As in `programType`; 'type_<n>' for newer ones. */
  type: string;
  /** At most 15 characters: the kernel cuts it. */
  name: string;
  /** SHA-derived tag of the instructions, in hex. */
  tag: string;
  jitedBytes: number;
  xlatedBytes: number;
  /** Instructions that the verifier went through; 0 on kernels before 5.16. */
  verifiedInstructions: number;
  /** Runs and their total time; counted while `enableRunStats()` or sysctl kernel.bpf_stats_enabled is on. */
  runCount: bigint;
  runTimeNs: bigint;
  /** Runs skipped because the program was running already on that CPU. */
  recursionMisses: bigint;
  btfId: number;
}

/** What `testRun` takes (BPF_PROG_TEST_RUN). */
export interface TestRunOptions {
  /** The packet, from the Ethernet header on: at least 14 bytes for xdp and sched_cls. */
  data?: Uint8Array;
  /** The context struct (`xdp_md`, `__sk_buff`), where the program type takes one. */
  ctx?: Uint8Array;
  /** Runs the program so often; `durationNs` is the mean. Default 1. */
  repeat?: number;
  /** Room for the packet that comes out. Default: `data` and 512 bytes more. */
  dataOutSize?: number;
  /** Room for the context that comes out. Default: as `ctx`. */
  ctxOutSize?: number;
  /** BPF_F_TEST_*: 1 run on `cpu`, 2 XDP live frames. */
  flags?: number;
  cpu?: number;
  batchSize?: number;
}

export interface TestRunResult {
  /** The program's return value, as unsigned 32 bits. */
  retval: number;
  /** The packet after the (last) run. */
  dataOut: Uint8Array;
  /** The context after the (last) run. */
  ctxOut: Uint8Array;
  /** Mean time of a run, in nanoseconds. */
  durationNs: number;
}

/** A loaded program. Disposing closes the descriptor; links and pins keep the program alive. */
export class BpfProgram {
  readonly #handle: FdHandle;
  /** Full name where it came from an object file, else the kernel's (15 characters). */
  readonly name: string;

  /** Takes ownership of `fd`. */
  constructor(fd: number, name?: string) {
    this.#handle = new FdHandle(fd, `program '${name ?? fd}'`);
    this.name = name ?? this.info().name;
  }

  /** The program's descriptor; throws CLOSED after disposal. */
  get fd(): number {
    return this.#handle.fd;
  }

  get #subject(): string {
    return `program '${this.name}'`;
  }

  /** Asks the kernel. */
  info(): ProgramInfo {
    const view = objectInfo(this.fd, INFO_SIZE, `program '${this.name ?? this.fd}'`);
    const tag = Buffer.from(view.buffer, 8, 8).toString('hex');
    return {
      id: view.getUint32(4, true),
      type: nameOf(programType, view.getUint32(0, true), 'type'),
      name: fixedString(view, 64, 16),
      tag,
      jitedBytes: view.getUint32(16, true),
      xlatedBytes: view.getUint32(20, true),
      verifiedInstructions: view.getUint32(216, true),
      runTimeNs: view.getBigUint64(192, true),
      runCount: view.getBigUint64(200, true),
      recursionMisses: view.getBigUint64(208, true),
      btfId: view.getUint32(128, true),
    };
  }

  /** Pins the program in a BPF file system: it then outlives this process. */
  pin(path: string): void {
    pinFd(this.fd, path, this.#subject);
  }

  /** Opens a pinned program. */
  static openPinned(path: string): BpfProgram {
    return new BpfProgram(openPinnedFd(path, 'program'));
  }

  /** Opens a loaded program by the kernel's id (needs CAP_SYS_ADMIN). */
  static openId(id: number): BpfProgram {
    return new BpfProgram(check(libbpf().programFdById(id), 'open', `program id ${id}`));
  }

  /**
   * Runs the program once or more on a packet of the caller's making, without a network device.
   * Starts over when a signal interrupts it (EINTR, EAGAIN), so that with `repeat` above 1 the program may run more
   * often than asked; `repeat` 1 is exact. Throws `BpfError` ENOSPC when `dataOutSize` is too small.
   */
  testRun(options: TestRunOptions = {}): TestRunResult {
    const dataIn = options.data ?? null;
    const ctxIn = options.ctx ?? null;
    const dataOut = sized(
      options.dataOutSize ?? (dataIn === null ? 0 : dataIn.length + DATA_OUT_EXTRA_BYTES),
    );
    const ctxOut = sized(options.ctxOutSize ?? ctxIn?.length ?? 0);
    const { flags = 0, repeat = 1, cpu = 0, batchSize = 0 } = options;
    // Live frames leave through a device: the kernel refuses output buffers.
    const XDP_LIVE_FRAMES = 2;
    const live = (flags & XDP_LIVE_FRAMES) !== 0;
    const buffers = {
      dataIn,
      ctxIn,
      repeat,
      flags,
      cpu,
      batchSize,
      dataOut: live ? null : dataOut,
      ctxOut: live ? null : ctxOut,
    };
    for (let attempt = 1; ; attempt++) {
      const run = runTest(this.fd, buffers);
      const interrupted = run.error === -4 || run.error === -11;
      if (interrupted && attempt < TEST_RUN_ATTEMPTS_MAX) continue;
      if (run.error < 0) {
        throw new BpfError({
          operation: 'test run',
          subject: this.#subject,
          errno: -run.error,
          ...(run.error === -28 ? { hint: `dataOutSize is too small: ${run.dataSize} bytes came out` } : {}),
        });
      }
      return {
        retval: run.retval,
        dataOut: dataOut === null || live ? new Uint8Array(0) : dataOut.subarray(0, run.dataSize),
        ctxOut: ctxOut === null || live ? new Uint8Array(0) : ctxOut.subarray(0, run.ctxSize),
        durationNs: run.durationNs,
      };
    }
  }

  /** Closes the descriptor. */
  [Symbol.dispose](): void {
    this.#handle.close();
  }
}

function sized(size: number): Uint8Array | null {
  return size > 0 ? new Uint8Array(size) : null;
}

/**
 * Turns on counting of program runs (BPF_ENABLE_STATS) until disposed; the kernel must be 5.8 or later.
 * It costs some ten nanoseconds for every run of every program on the machine.
 */
export function enableRunStats(): Disposable {
  const handle = new FdHandle(check(libbpf().enableStats(0), 'enable run statistics'), 'run statistics');
  return { [Symbol.dispose]: () => handle.close() };
}
