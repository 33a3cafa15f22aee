/**
 * The sets of endpoints that a service had before: what lets a flow that began under one of them find its endpoint.
 *
 * A generation is a sorted list of endpoint slots. Every node computes the same Maglev table from it.
 */
import { type Endpoint, eligible, limits, type Service } from './objects.ts';
import type { Tables } from './tables.ts';

/** Slots of a service's endpoints that may be given new connections, sorted. */
export function eligibleSlots(tables: Tables, serviceId: string): number[] {
  return tables
    .endpointsOf(serviceId)
    .filter((endpoint) => eligible(endpoint, (id) => tables.get('node', id)))
    .map((endpoint) => endpoint.slot)
    .sort((a, b) => a - b);
}

/** True if two generations are the same set. */
export function sameSet(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((slot, position) => slot === b[position]);
}

/**
 * The remembered generations after the current set went from `former` to `current`: the former one comes first,
 * each set is there once, the current one not at all, and the oldest fall off at the limit.
 */
export function nextGenerations(
  remembered: readonly (readonly number[])[],
  former: readonly number[],
  current: readonly number[],
): number[][] {
  const next: number[][] = [];
  for (const set of [former, ...remembered]) {
    if (set.length === 0 || sameSet(set, current) || next.some((other) => sameSet(other, set))) continue;
    next.push([...set]);
  }
  return next.slice(0, limits.generationsPerService);
}

/** Remembers the eligible sets of services before a change, and brings their generations up to date after it. */
export class GenerationKeeper {
  readonly #tables: Tables;
  readonly #before = new Map<string, number[]>();

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  /** To be called before anything changes that an endpoint's eligibility depends on. */
  watch(serviceId: string): void {
    if (!this.#before.has(serviceId)) this.#before.set(serviceId, eligibleSlots(this.#tables, serviceId));
  }

  /** Pushes former sets, and deletes removed endpoints that no generation names any more. */
  settle(): void {
    for (const [serviceId, former] of this.#before) {
      const service = this.#tables.get('service', serviceId);
      if (service === undefined) continue;
      const current = eligibleSlots(this.#tables, serviceId);
      const updated = sameSet(former, current)
        ? service
        : this.#tables.put('service', {
            ...service,
            generations: nextGenerations(service.generations, former, current),
          });
      this.#sweep(updated);
    }
    this.#before.clear();
  }

  #sweep(service: Service): void {
    const named = new Set(service.generations.flat());
    const gone = (endpoint: Endpoint) => endpoint.state === 'removed' && !named.has(endpoint.slot);
    for (const endpoint of this.#tables.endpointsOf(service.id).filter(gone)) {
      this.#tables.delete('endpoint', endpoint.id);
    }
  }
}
