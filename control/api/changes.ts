/** The way of a change through the API, and the answer to who has it. */
import { shoalError } from '../errors.ts';
import type { Command } from '../store/commands.ts';
import { apiLimits } from './limits.ts';
import { requireMember } from './lookup.ts';
import type { ClusterServices } from './services.ts';

/**
 * Proposes a change. This node's replica has it when the promise resolves, so that what is read next shows it.
 *
 * @throws NOT_INITIALISED, whatever refused the change, or TIMEOUT when its outcome is not known
 */
export async function propose(cluster: ClusterServices, command: Command): Promise<unknown> {
  requireMember(cluster);
  return await cluster.propose(command, { timeout_ms: apiLimits.proposeTime_ms });
}

/** As {@link propose}, for a change whose value is the object that it made or changed. */
export async function change<T extends { version: number }>(
  cluster: ClusterServices,
  command: Command,
): Promise<T> {
  const value = await propose(cluster, command);
  if (typeof (value as Partial<T> | null | undefined)?.version !== 'number') {
    throw shoalError('INTERNAL', { reason: `${command.type} returned no object` });
  }
  return value as T;
}

/** Which nodes' data planes have a change, by name. */
export type Convergence = { applied: string[]; missing: string[] };

/**
 * Waits until the data planes of all ready nodes have what this node's replica has now, at most `wait_ms`; names
 * those that do and those that do not. If nobody can tell, all count as missing: the change itself is made, and must not look refused.
 */
export async function convergence(cluster: ClusterServices, wait_ms: number): Promise<Convergence> {
  const ready = cluster.state.list('node').filter((node) => node.status === 'ready');
  const { applied, missing } = await cluster
    .waitApplied(cluster.state.version, { timeout_ms: wait_ms })
    .catch(() => ({ applied: [], missing: ready.map((node) => node.id) }));
  const name = (id: string) => cluster.state.get('node', id)?.name ?? id;
  return { applied: applied.map(name).sort(), missing: missing.map(name).sort() };
}
