/** Which CPUs the parts of a benchmark run on, so that they do not push each other about. */
import { availableParallelism } from 'node:os';

/** CPU numbers by part. */
export interface CpuPlan {
  /** The load generator. */
  readonly client: readonly number[];
  /** A balancer that is a program. What the kernel does runs where the packet is. */
  readonly ingress: readonly number[];
  /** The endpoint's servers. */
  readonly endpoint: readonly number[];
}

/**
 * A CPU each, if there are three. With two, client and endpoint have one each and a program between them may use
 * whichever is free.
 */
export function planCpus(count = availableParallelism()): CpuPlan {
  if (count >= 3) return { client: [0], ingress: [1], endpoint: [2] };
  if (count === 2) return { client: [0], ingress: [0, 1], endpoint: [1] };
  return { client: [0], ingress: [0], endpoint: [0] };
}

/** A command that runs on those CPUs only (taskset(1)). */
export function pinned(
  cpus: readonly number[],
  command: string,
  args: readonly string[],
): [command: string, args: string[]] {
  return ['taskset', ['--cpu-list', cpus.join(','), command, ...args]];
}
