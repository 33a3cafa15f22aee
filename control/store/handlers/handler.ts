/** What the handlers of commands share. */
import { shoalError } from '../../errors.ts';
import type { GenerationKeeper } from '../generations.ts';
import type { Cluster } from '../objects.ts';
import type { Tables } from '../tables.ts';

/** The store as a handler sees it: within a transaction that is rolled back if the handler throws. */
export type Context = { tables: Tables; generations: GenerationKeeper };

/** The cluster object. Throws NOT_INITIALISED before `cluster.init`. */
export function clusterOf(context: Context): Cluster {
  const cluster = context.tables.cluster();
  if (cluster === undefined) throw shoalError('NOT_INITIALISED');
  return cluster;
}

/** Throws VERSION_CONFLICT if the writer saw another version than the present one. */
export function checkVersion(
  object: { version: number },
  expected: number | undefined,
  subject: { kind: string; name: string },
): void {
  if (expected !== undefined && expected !== object.version) {
    throw shoalError('VERSION_CONFLICT', { ...subject, expected, actual: object.version });
  }
}

/** Throws NAME_IN_USE if an object of this kind has the name or the id already. */
export function checkNew(
  context: Context,
  kind: 'node' | 'service' | 'network',
  name: string,
  id: string,
): void {
  if (context.tables.byName(kind, name) !== undefined) throw shoalError('NAME_IN_USE', { kind, name });
  if (context.tables.get(kind, id) !== undefined)
    throw shoalError('NAME_IN_USE', { kind: `${kind} id`, name: id });
}
