/** Gets verdicts to the store: gathered into batches, sent again while that fails, only the latest per endpoint. */
import type { HealthReport } from './plan.ts';

/** Sends reports; resolves once the store has them. The signal says that nobody waits any longer. */
export type OnReports = (reports: HealthReport[], signal: AbortSignal) => Promise<void>;

export type ReporterOptions = {
  /** How long the first report of a batch waits for others. */
  batch_ms: number;
  /** Reports in one batch, so that a Raft entry stays small. */
  maxBatch: number;
  /** Pause after the first failure; doubled each time up to `maxRetry_ms`. */
  retry_ms: number;
  maxRetry_ms: number;
  /** Time after which a batch counts as failed; sending a report twice does no harm. */
  sendTimeout_ms: number;
};

export const defaultReporterOptions: ReporterOptions = {
  batch_ms: 10,
  maxBatch: 500,
  retry_ms: 50,
  maxRetry_ms: 1_000,
  sendTimeout_ms: 5_000,
};

/**
 * Queue of reports on their way. It holds one per endpoint at most, so that it is bounded by the endpoints that
 * this node checks, however long the store cannot be reached.
 */
export class Reporter {
  readonly #send: OnReports;
  readonly #options: ReporterOptions;
  readonly #abort = new AbortController();
  readonly #random: () => number;
  readonly #waiting = new Map<string, HealthReport>();
  #sending = new Map<string, HealthReport>();
  #timer: NodeJS.Timeout | undefined;
  #isSending = false;
  #failures = 0;
  /** Batches that the store took, and those that had to be sent again. */
  sent = 0;
  failed = 0;

  constructor(send: OnReports, random: () => number, options: ReporterOptions = defaultReporterOptions) {
    this.#send = send;
    this.#random = random;
    this.#options = options;
  }

  /** Queues a report in place of any earlier one of the same endpoint. */
  add(report: HealthReport): void {
    this.#waiting.set(report.id, report);
    this.#schedule(this.#failures === 0 ? this.#options.batch_ms : undefined);
  }

  /** Forgets what waits for an endpoint that this node checks no more. */
  drop(endpointId: string): void {
    this.#waiting.delete(endpointId);
    this.#sending.delete(endpointId);
  }

  /** The report of an endpoint that is not known to have arrived, the newest first. */
  pending(endpointId: string): HealthReport | undefined {
    return this.#waiting.get(endpointId) ?? this.#sending.get(endpointId);
  }

  /** Stops sending. */
  close(): void {
    this.#abort.abort();
    clearTimeout(this.#timer);
    this.#waiting.clear();
  }

  #schedule(delay_ms = this.#backoff_ms()): void {
    if (this.#timer !== undefined || this.#isSending || this.#abort.signal.aborted) return;
    if (this.#waiting.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#sendBatch();
    }, delay_ms);
  }

  /** Full pauses vary between half and all, so that nodes do not come back in step. */
  #backoff_ms(): number {
    const doubled = this.#options.retry_ms * 2 ** Math.min(this.#failures - 1, 16);
    return Math.min(doubled, this.#options.maxRetry_ms) * (0.5 + 0.5 * this.#random());
  }

  async #sendInTime(reports: HealthReport[]): Promise<void> {
    const late = AbortSignal.timeout(this.#options.sendTimeout_ms);
    const signal = AbortSignal.any([this.#abort.signal, late]);
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    try {
      await Promise.race([this.#send(reports, signal), stopped]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #sendBatch(): Promise<void> {
    for (const [id, report] of this.#waiting) {
      if (this.#sending.size >= this.#options.maxBatch) break;
      this.#sending.set(id, report);
      this.#waiting.delete(id);
    }
    if (this.#sending.size === 0) return;
    this.#isSending = true;
    try {
      await this.#sendInTime([...this.#sending.values()]);
      this.sent += 1;
      this.#failures = 0;
    } catch {
      this.failed += 1;
      this.#failures += 1;
      // What was found since then is newer.
      for (const [id, report] of this.#sending) if (!this.#waiting.has(id)) this.#waiting.set(id, report);
    }
    this.#isSending = false;
    this.#sending = new Map();
    if (this.#abort.signal.aborted) this.#waiting.clear();
    this.#schedule(this.#failures === 0 ? 0 : undefined);
  }
}
