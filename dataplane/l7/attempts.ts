/**
 * From a service to a connection to one of its endpoints: chooses, connects, and goes on to the next one when that
 * fails, within the limits. Used for requests and for spliced TLS connections alike.
 */
import { chooseEndpoint } from './balance.ts';
import type { Backend, BackendService, L7Context } from './context.ts';
import type { UpstreamConnection, UpstreamUser } from './upstream.ts';

/** Why there is no connection. */
export type NoConnection = 'no-endpoint' | 'busy' | 'attempts-used' | 'retries-limit';

/** The attempts of one request. Its load counts on the chosen endpoint until `finish`. */
export class Attempts {
  readonly #context: L7Context;
  readonly #service: BackendService;
  readonly #tried = new Set<Backend>();
  #count = 0;
  #retrying = false;
  #backend: Backend | null = null;

  constructor(context: L7Context, service: BackendService) {
    this.#context = context;
    this.#service = service;
  }

  /** The endpoint in use, or the last one tried. */
  get backend(): Backend | null {
    return this.#last;
  }

  #last: Backend | null = null;

  /**
   * The next connection, pooled (and then already connected) if `pooled` allows, else a new one that calls `user`.
   * `avoid` leaves out the endpoint that just failed.
   */
  next(
    user: UpstreamUser,
    options: { pooled: boolean; avoid: boolean },
  ): { connection: UpstreamConnection } | { failure: NoConnection } {
    const { counters, limits, now_ms, random } = this.#context;
    if (options.avoid && this.#backend !== null) this.#tried.add(this.#backend);
    const retry = this.#count > 0;
    this.finish();
    if (this.#count >= limits.attemptsPerRequest) return { failure: 'attempts-used' };
    if (retry && counters.retries_pending_open >= limits.retriesPending) {
      counters.retries_refused_limit += 1;
      return { failure: 'retries-limit' };
    }
    let busy = false;
    // Each turn adds one endpoint to those tried, so it ends.
    for (;;) {
      const backend = chooseEndpoint(this.#service.backends, now_ms(), random, this.#tried);
      if (backend === null) {
        if (busy) return { failure: 'busy' };
        return { failure: this.#tried.size > 0 ? 'attempts-used' : 'no-endpoint' };
      }
      const connection = (options.pooled ? backend.pool.takeIdle(user) : null) ?? backend.pool.connect(user);
      if (connection !== null) {
        this.#begin(backend, retry);
        return { connection };
      }
      this.#tried.add(backend);
      busy = true;
    }
  }

  /** A retry has its connection: it no longer counts as pending. */
  connected(): void {
    if (!this.#retrying) return;
    this.#retrying = false;
    this.#context.counters.retries_pending_open -= 1;
  }

  /** The endpoint is no longer busy with this. May be called more than once. */
  finish(): void {
    this.connected();
    if (this.#backend === null) return;
    this.#backend.load.outstanding -= 1;
    this.#backend = null;
  }

  #begin(backend: Backend, retry: boolean): void {
    this.#count += 1;
    this.#backend = backend;
    this.#last = backend;
    backend.load.outstanding += 1;
    if (!retry) return;
    this.#retrying = true;
    this.#context.counters.retries += 1;
    this.#context.counters.retries_pending_open += 1;
  }
}
