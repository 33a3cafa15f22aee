/** Runs the checks of one node: when each is due, not too many at a time, changes handed to the reporter. */
import { isDeepStrictEqual } from 'node:util';
import { HealthMachine, type Outcome } from './machine.ts';
import type { CheckTarget, HealthReport, Plan } from './plan.ts';
import { type Probe, probe as socketProbe } from './probe.ts';
import { defaultReporterOptions, type OnReports, Reporter, type ReporterOptions } from './reporter.ts';

export type CheckerOptions = {
  /** Called with changes of health; while it rejects, they are sent again, newest state only. */
  onReports: OnReports;
  /** Ends everything when aborted. */
  signal?: AbortSignal;
  /** Checks running at a time; those due beyond that wait their turn. */
  maxConcurrent?: number;
  reporter?: Partial<ReporterOptions>;
  probe?: Probe;
  /** Uniform in [0, 1): jitter. */
  random?: () => number;
};

/** What the checker counts. */
export type CheckerCounters = {
  checks: number;
  failures: number;
  /** Checks that this node could not make; they change no verdict. */
  inconclusive: number;
  transitions: number;
  /** Checks that had to wait because too many were running. */
  delayed: number;
};

type Entry = {
  target: CheckTarget;
  machine: HealthMachine;
  timer: NodeJS.Timeout | undefined;
  /** Ends the check that runs when the endpoint is no longer this node's. */
  abort: AbortController;
};

const maxTimer_ms = 2 ** 31 - 1;

/** Checks the endpoints of a plan until it is closed. */
export class HealthChecker implements Disposable {
  readonly counters: CheckerCounters = {
    checks: 0,
    failures: 0,
    inconclusive: 0,
    transitions: 0,
    delayed: 0,
  };
  readonly #probe: Probe;
  readonly #random: () => number;
  readonly #maxConcurrent: number;
  readonly #reporter: Reporter;
  readonly #entries = new Map<string, Entry>();
  /** Entries that are due and wait for a free place, in order; bounded by the entries there are. */
  readonly #due = new Set<Entry>();
  #running = 0;
  #closed = false;

  constructor(options: CheckerOptions) {
    this.#probe = options.probe ?? socketProbe;
    this.#random = options.random ?? Math.random;
    this.#maxConcurrent = options.maxConcurrent ?? 64;
    this.#reporter = new Reporter(options.onReports, this.#random, {
      ...defaultReporterOptions,
      ...options.reporter,
    });
    if (options.signal?.aborted) this.close();
    else options.signal?.addEventListener('abort', () => this.close(), { once: true });
  }

  /** Endpoints under check. */
  get size(): number {
    return this.#entries.size;
  }

  /** Verdict of this node on an endpoint, undefined if it does not check it. */
  health(endpointId: string): CheckTarget['health'] | undefined {
    return this.#entries.get(endpointId)?.machine.health;
  }

  /**
   * Takes over a new plan. What has not changed goes on without a break; an endpoint whose check or address
   * changed starts counting anew from the verdict that it had. Where the store shows another verdict although no
   * report is on its way (another node's late report may have overwritten it), the one found here is reported
   * again, or the store's taken over if no checks of this node bear out its own.
   */
  setPlan(plan: Plan): void {
    if (this.#closed) return;
    const wanted = new Map(plan.targets.map((target) => [target.endpointId, target]));
    for (const [id, entry] of this.#entries) {
      if (wanted.has(id)) continue;
      this.#stop(entry);
      this.#entries.delete(id);
      this.#reporter.drop(id);
    }
    for (const target of wanted.values()) this.#take(target);
    for (const report of plan.resets) this.#report(report);
  }

  /** Stops all checks and reports. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const entry of this.#entries.values()) this.#stop(entry);
    this.#entries.clear();
    this.#reporter.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #take(target: CheckTarget): void {
    const known = this.#entries.get(target.endpointId);
    if (known === undefined) {
      this.#begin(target, target.health);
    } else if (!isDeepStrictEqual({ ...known.target, health: target.health }, target)) {
      this.#stop(known);
      this.#begin(target, known.machine.health);
    } else {
      known.target = target;
    }
    const machine = this.#entries.get(target.endpointId)?.machine;
    if (machine === undefined || machine.health === target.health) return;
    if (this.#reporter.pending(target.endpointId) !== undefined) return;
    if (machine.confirmed) {
      this.#report({ id: target.endpointId, health: machine.health, reason: machine.reason });
    } else {
      machine.adopt(target.health);
    }
  }

  #begin(target: CheckTarget, health: CheckTarget['health']): void {
    const machine = new HealthMachine(target.endpointId, target.check, health, performance.now());
    const entry: Entry = { target, machine, timer: undefined, abort: new AbortController() };
    this.#entries.set(target.endpointId, entry);
    this.#schedule(entry);
  }

  #stop(entry: Entry): void {
    clearTimeout(entry.timer);
    this.#due.delete(entry);
    entry.abort.abort();
  }

  #schedule(entry: Entry): void {
    const delay_ms = Math.min(Math.max(0, entry.machine.dueAt_ms - performance.now()), maxTimer_ms);
    entry.timer = setTimeout(() => {
      this.#due.add(entry);
      if (this.#running >= this.#maxConcurrent) this.counters.delayed += 1;
      this.#runDue();
    }, delay_ms);
  }

  #runDue(): void {
    for (const entry of this.#due) {
      if (this.#running >= this.#maxConcurrent) return;
      this.#due.delete(entry);
      void this.#run(entry);
    }
  }

  async #run(entry: Entry): Promise<void> {
    this.#running += 1;
    this.counters.checks += 1;
    entry.machine.started(performance.now());
    const outcome = await this.#probeGuarded(entry);
    this.#running -= 1;
    if (!entry.abort.signal.aborted) {
      if (outcome.kind === 'fail') this.counters.failures += 1;
      if (outcome.kind === 'inconclusive') this.counters.inconclusive += 1;
      const transition = entry.machine.finished(outcome, performance.now(), this.#random);
      if (transition !== undefined) {
        this.counters.transitions += 1;
        this.#report({ id: entry.target.endpointId, ...transition });
      }
      this.#schedule(entry);
    }
    this.#runDue();
  }

  async #probeGuarded(entry: Entry): Promise<Outcome> {
    try {
      return await this.#probe(entry.target, entry.abort.signal);
    } catch (error) {
      return { kind: 'inconclusive', reason: `this node cannot check: ${String(error)}` };
    }
  }

  #report(report: HealthReport): void {
    this.#reporter.add(report);
  }
}
