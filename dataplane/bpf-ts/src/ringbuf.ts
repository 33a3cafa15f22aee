/** Reading BPF_MAP_TYPE_RINGBUF on the event loop, through libbpf's ring_buffer__* functions. */
import { BpfError } from './errors.ts';
import { copyFrom, lastErrno, libbpf, type Pointer, ringCallback, watchReadable } from './ffi.ts';

/** Records handed over before other work of the event loop gets a turn. */
const RECORDS_PER_WAKE_MAX = 512;
/** What our callback returns to make libbpf stop; any negative number does. */
const STOP = -125;

export interface RingBufferOptions {
  /** Records for one wake-up of the event loop. Default 512. */
  recordsPerWake?: number;
  /** Told of what `onRecord` throws; without it the error is thrown to the process as uncaught. */
  onError?: (error: unknown) => void;
  /** Whether the reader keeps the process alive. Default true. */
  keepAlive?: boolean;
}

/**
 * Reads a ring buffer as long as it is not disposed. `onRecord` gets each record as a copy of its own, in the order in
 * which programs submitted them. If user space is slow the kernel's `bpf_ringbuf_reserve` fails: programs
 * should count that.
 */
export class RingBuffer {
  readonly #ring: Pointer;
  readonly #release: () => void;
  readonly #watch: { close: () => void; unref: () => void };
  readonly #options: RingBufferOptions;
  #open = true;
  #seen = 0;
  #failure: { error: unknown } | undefined;
  #scheduled: NodeJS.Immediate | undefined;
  #consuming = false;

  constructor(
    map: { readonly fd: number; readonly name: string },
    onRecord: (record: Uint8Array) => void,
    options: RingBufferOptions = {},
  ) {
    this.#options = options;
    const max = options.recordsPerWake ?? RECORDS_PER_WAKE_MAX;
    const callback = ringCallback((data, size) => {
      this.#seen++;
      try {
        onRecord(copyFrom(data, size));
      } catch (error) {
        this.#failure = { error };
        return STOP;
      }
      return this.#open && this.#seen < max ? 0 : STOP;
    });
    const ring = libbpf().ringNew(map.fd, callback.pointer, null, null);
    if (ring === null) {
      const errno = lastErrno();
      callback.release();
      throw new BpfError({ operation: 'open ring buffer', subject: `map '${map.name}'`, errno });
    }
    this.#ring = ring;
    this.#release = callback.release;
    this.#watch = watchReadable(libbpf().ringEpollFd(ring), () => this.#wake());
    if (options.keepAlive === false) this.#watch.unref();
  }

  /** Hands over what is there now, at most one wake-up's worth, without waiting. Returns the number of records. */
  consume(): number {
    if (!this.#open) throw new BpfError({ operation: 'consume', subject: 'ring buffer', code: 'CLOSED' });
    if (this.#consuming) return 0;
    this.#seen = 0;
    this.#failure = undefined;
    this.#consuming = true;
    const result = libbpf().ringConsume(this.#ring);
    this.#consuming = false;
    if (!this.#open) this.#free();
    const failure: { error: unknown } | undefined = this.#failure;
    if (result < 0 && result !== STOP)
      throw new BpfError({ operation: 'consume', subject: 'ring buffer', errno: -result });
    if (result === STOP && this.#open) this.#again();
    if (failure !== undefined) throw (failure as { error: unknown }).error;
    return this.#seen;
  }

  #again(): void {
    // epoll is edge-triggered here: what was left behind raises no new event.
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.#wake();
    });
  }

  #wake(): void {
    if (!this.#open) return;
    try {
      this.consume();
    } catch (error) {
      if (this.#options.onError === undefined) throw error;
      this.#options.onError(error);
    }
  }

  #free(): void {
    libbpf().ringFree(this.#ring);
    this.#release();
  }

  /** Stops reading; records not read yet stay in the map. Safe to call from `onRecord`. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    if (this.#scheduled !== undefined) clearImmediate(this.#scheduled);
    this.#watch.close();
    if (!this.#consuming) this.#free();
  }
}
