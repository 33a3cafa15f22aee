/**
 * The L7 front end: many services on one port, told apart by host name (HTTP/1) or server name (TLS).
 *
 * A configuration is applied whole: routing changes for all requests between two of them, listeners that stay keep
 * their sockets, and no open connection is cut. What is under way on a removed listener or endpoint ends by itself.
 */
import type { L7Config, L7Listener } from './config.ts';
import type { AccessEvent, Backend, BackendService, L7Context, Snapshot } from './context.ts';
import { type L7Counters, newCounters } from './counters.ts';
import { defaultLimits, type L7Limits } from './limits.ts';
import { Listener } from './listener.ts';
import { Router } from './router.ts';
import { UpstreamPool } from './upstream.ts';

/** What can be set from outside; all of it has a default. */
export type L7Options = {
  limits?: Partial<L7Limits>;
  /**
   * This front end's name in Via (RFC 9110, 7.6.3), by which it also finds requests that go round in circles: it
   * should differ from node to node. Null adds no Via and finds no loops.
   */
  via?: string | null;
  /** Called once per request and per TLS connection, when it ends. Must not throw; sampling is the caller's. */
  onAccess?: (event: AccessEvent) => void;
  /** A listening socket to adopt for a listener instead of opening one; null for none. */
  adopt?: (listener: L7Listener) => number | null;
  /** Randomness in [0, 1) for balancing. */
  random?: () => number;
};

/** What became of the listeners of a configuration. Those that failed are tried again until they open. */
export type ApplyResult = { listening: L7Listener[]; failed: { listener: L7Listener; error: Error }[] };

/** A running front end. Has no listeners until a configuration is applied. */
export class L7Server {
  readonly #options: L7Options;
  readonly #context: L7Context;
  readonly #counters: L7Counters = newCounters();
  readonly #listeners = new Map<string, Listener>();
  /** Removed listeners with connections that are still open. */
  readonly #draining = new Set<Listener>();
  readonly #pools = new Map<string, UpstreamPool>();
  #wanted: L7Listener[] = [];
  #failed: ApplyResult['failed'] = [];
  #snapshot: Snapshot = { router: Router.compile([]), services: new Map() };
  #applying: Promise<unknown> = Promise.resolve();
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: L7Options = {}) {
    this.#options = options;
    this.#context = {
      limits: { ...defaultLimits, ...options.limits },
      counters: this.#counters,
      via: options.via === undefined ? 'shoal' : options.via,
      now_ms: () => performance.now(),
      random: options.random ?? Math.random,
      onAccess: options.onAccess ?? null,
      snapshot: () => this.#snapshot,
    };
  }

  /**
   * Makes `config` the one in force. Rejects, changing nothing, if it is not valid (a host, a weight, a route to a
   * service that is not in it). A listener that cannot be opened is no such error: it is reported, and tried again.
   */
  apply(config: L7Config): Promise<ApplyResult> {
    const result = this.#applying.then(() => this.#apply(config));
    this.#applying = result.catch(() => {});
    return result;
  }

  /** Listeners that could not be opened at the last attempt. */
  get failed(): ApplyResult['failed'] {
    return [...this.#failed];
  }

  /** A copy of all counters. */
  counters(): L7Counters {
    return { ...this.#counters };
  }

  /**
   * Stops accepting, lets requests and spliced connections end for up to `deadline_ms`, then cuts what is left.
   * Resolves with the number of connections cut.
   */
  async close(deadline_ms: number): Promise<number> {
    this.#closed = true;
    await this.#applying;
    if (this.#retry !== null) clearTimeout(this.#retry);
    for (const key of [...this.#listeners.keys()]) this.#stop(key);
    const until = performance.now() + deadline_ms;
    while (this.#counters.connections_open > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(20, deadline_ms)));
    }
    const cut = this.#counters.connections_open;
    for (const listener of this.#draining) listener.destroy();
    for (const pool of this.#pools.values()) pool.retire();
    return cut;
  }

  async #apply(config: L7Config): Promise<ApplyResult> {
    if (this.#closed) throw new Error('the L7 front end is closed: make a new one to apply a configuration');
    checkConfig(config);
    const router = Router.compile(config.routes);
    this.#snapshot = { router, services: this.#services(config) };
    this.#retirePools();
    this.#wanted = config.listeners;
    const wanted = new Set(config.listeners.map(listenerKey));
    for (const key of [...this.#listeners.keys()]) if (!wanted.has(key)) this.#stop(key);
    return this.#open();
  }

  /** Opens the wanted listeners that are not open. */
  async #open(): Promise<ApplyResult> {
    const result: ApplyResult = { listening: [], failed: [] };
    for (const wanted of this.#wanted) {
      const key = listenerKey(wanted);
      const present = this.#listeners.get(key);
      if (present !== undefined) {
        present.protocol = wanted.protocol;
        result.listening.push(wanted);
        continue;
      }
      const listener = new Listener(this.#context, wanted);
      try {
        await listener.open(this.#options.adopt?.(wanted) ?? null);
        this.#listeners.set(key, listener);
        result.listening.push(wanted);
      } catch (error) {
        this.#counters.listen_failures += 1;
        result.failed.push({ listener: wanted, error: error as Error });
      }
    }
    this.#failed = result.failed;
    this.#scheduleRetry(result.failed.length > 0);
    return result;
  }

  #scheduleRetry(needed: boolean): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    if (!needed || this.#closed) return;
    this.#retry = setTimeout(() => {
      this.#applying = this.#applying.then(() => (this.#closed ? null : this.#open()));
    }, this.#context.limits.listenRetry_ms);
    this.#retry.unref();
  }

  #stop(key: string): void {
    const listener = this.#listeners.get(key);
    if (listener === undefined) throw new Error(`no listener ${key} to stop`);
    this.#listeners.delete(key);
    for (const old of this.#draining) if (old.size === 0) this.#draining.delete(old);
    this.#draining.add(listener);
    listener.stop();
  }

  #services(config: L7Config): Map<string, BackendService> {
    const services = new Map<string, BackendService>();
    for (const [id, { name, endpoints }] of Object.entries(config.services)) {
      const backends: Backend[] = endpoints.map(({ id: endpointId, address, port, weight }) => {
        const pool = this.#pool(address, port);
        return { id: endpointId, weight: weight ?? 1, load: pool.load, pool };
      });
      services.set(id, { id, name, backends });
    }
    return services;
  }

  #pool(address: string, port: number): UpstreamPool {
    const key = `${address} ${port}`;
    const pool = this.#pools.get(key) ?? new UpstreamPool(address, port, this.#context);
    this.#pools.set(key, pool);
    return pool;
  }

  /** Pools that no service names close what is idle, and are forgotten once nothing is open. */
  #retirePools(): void {
    const named = new Set<UpstreamPool>();
    for (const service of this.#snapshot.services.values()) {
      for (const backend of service.backends) named.add(backend.pool);
    }
    for (const [key, pool] of this.#pools) {
      if (named.has(pool)) {
        pool.revive();
        continue;
      }
      pool.retire();
      if (pool.open === 0) this.#pools.delete(key);
    }
  }
}

function listenerKey({ address, port }: L7Listener): string {
  return `${address ?? '*'} ${port}`;
}

function checkConfig(config: L7Config): void {
  for (const { host, service } of config.routes) {
    if (!Object.hasOwn(config.services, service)) {
      throw new Error(
        `the route for host ${host} names service ${service}, which the configuration does not have`,
      );
    }
  }
  for (const { name, endpoints } of Object.values(config.services)) {
    for (const { id, weight } of endpoints) {
      if (weight !== undefined && !(weight > 0 && Number.isFinite(weight))) {
        throw new Error(
          `endpoint ${id} of service ${name} has weight ${weight}; it must be a positive number`,
        );
      }
    }
  }
}
