/**
 * Removal of a run: its processes, then its namespaces, then its records. Synchronous, so that it also works in
 * the last moment of a process.
 */
import { removeCgroup } from './cgroup.ts';
import { namespaceExists, readNamespaceMark, unnameNamespace } from './network.ts';
import { closeRun, isAlive, listRuns, type RunRecord } from './registry.ts';

/** A namespace that the registry names but that some other program made. */
export class ForeignNamespaceError extends Error {
  override name = 'ForeignNamespaceError';
}

/**
 * Removes everything that a run's record lists. What is gone already is passed over.
 * @throws ForeignNamespaceError, with the rest of the run removed, if a listed namespace is not the run's own;
 *   its name then has to be freed by whoever made it
 */
export function removeRun(record: RunRecord): void {
  if (record.cgroup !== '') removeCgroup(record.cgroup);
  const foreign = record.namespaces.filter((namespace) => !removeNamespace(namespace, record.token));
  closeRun(record);
  if (foreign.length > 0) {
    throw new ForeignNamespaceError(
      `left alone, since this lab did not make them: ${foreign.join(', ')}; if they are yours, remove them with 'ip netns delete'`,
    );
  }
}

function removeNamespace(namespace: string, token: string): boolean {
  if (!namespaceExists(namespace)) return true;
  if (readMark(namespace) !== token) return !namespaceExists(namespace);
  try {
    unnameNamespace(namespace);
  } catch (error) {
    // Another process that clears the same leftovers may be a step ahead.
    if (namespaceExists(namespace)) throw error;
  }
  return true;
}

/** A file under /run/netns need not be a namespace at all. */
function readMark(namespace: string): string | undefined {
  try {
    return readNamespaceMark(namespace);
  } catch {
    return undefined;
  }
}

/** Runs whose creator is dead and that nobody asked to keep. */
export function crashedRuns(): RunRecord[] {
  return listRuns().filter((record) => !record.kept && !isAlive(record.creator));
}

/**
 * Removes what crashed runs left. One that cannot be removed does not keep the others from it.
 * @returns the runs removed and, for the others, why not
 */
export function removeCrashedRuns(): { removed: string[]; failed: string[] } {
  const removed: string[] = [];
  const failed: string[] = [];
  for (const record of crashedRuns()) {
    try {
      removeRun(record);
      removed.push(record.run);
    } catch (error) {
      failed.push(`${record.run}: ${(error as Error).message}`);
    }
  }
  return { removed, failed };
}
