/** Objects and randomness for the health tests. */
import type { CheckTarget } from '../../../control/health/plan.ts';
import {
  defaultHealthCheck,
  type Endpoint,
  type Node,
  type Service,
} from '../../../control/store/objects.ts';

export function makeNode(id: string, status: Node['status'] = 'ready'): Node {
  return {
    id,
    version: 1,
    name: id,
    role: 'worker',
    slot: 1,
    raftId: 0,
    advertiseAddress: '192.0.2.1',
    controlPort: 2_377,
    meshAddress: '10.250.0.1',
    addresses: [],
    status,
    createdAt_ms: 0,
  };
}

export function makeService(change: Partial<Service> = {}): Service {
  return {
    id: 's1',
    version: 1,
    name: 'web',
    vip: null,
    publishes: [],
    hosts: [],
    check: defaultHealthCheck,
    generations: [],
    createdAt_ms: 0,
    ...change,
  };
}

export function makeEndpoint(change: Partial<Endpoint> = {}): Endpoint {
  return {
    id: 'e1',
    version: 1,
    serviceId: 's1',
    slot: 1,
    address: '127.0.0.1',
    port: 80,
    nodeId: 'n1',
    attachmentId: null,
    health: 'unknown',
    healthReason: '',
    state: 'serving',
    createdAt_ms: 0,
    ...change,
  };
}

export function makeTarget(port: number, change: Partial<CheckTarget> = {}): CheckTarget {
  return {
    endpointId: 'e1',
    address: '127.0.0.1',
    port,
    check: { ...defaultHealthCheck, kind: 'tcp' },
    host: 'web.example',
    health: 'unknown',
    ...change,
  };
}

/** Reproducible numbers in [0, 1): mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Waits until `condition` holds; rejects after ten seconds, which only bounds a failed test. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline_ms = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline_ms) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
