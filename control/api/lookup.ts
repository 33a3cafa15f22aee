/** From what people type (a name, an id, the beginning of an id) to the object. Pure. */

import type { Membership } from '../cluster/types.ts';
import { type ShoalError, shoalError } from '../errors.ts';
import type { Objects } from '../store/objects.ts';
import type { ClusterServices, StateReader } from './services.ts';

type Named = 'node' | 'network' | 'service';

/** The error for an object that is not there. */
function unknown(kind: Named | 'attachment', name: string): ShoalError {
  if (kind === 'node') return shoalError('UNKNOWN_NODE', { name });
  if (kind === 'service') return shoalError('UNKNOWN_SERVICE', { name });
  return shoalError('NOT_FOUND', { kind, name });
}

/** The one of these. Throws when there is none, or more than one: `meant` says by what they were found. */
function theOne<T>(found: readonly T[], kind: Named | 'attachment', ref: string, meant: string): T {
  const [first] = found;
  if (first === undefined) throw unknown(kind, ref);
  if (found.length > 1) {
    throw shoalError('BAD_REQUEST', { reason: `"${ref}" is ${meant} of ${found.length} ${kind}s` });
  }
  return first;
}

const idBeginning = 'the beginning of the ids';

/** The object of `kind` with this id, name or unique beginning of an id. Throws the kind's own not-found error. */
export function find<K extends Named>(state: StateReader, kind: K, ref: string): Objects[K] {
  const exact = state.get(kind, ref) ?? state.byName(kind, ref);
  if (exact !== undefined) return exact;
  const begun = state.list(kind).filter((object) => object.id.startsWith(ref));
  return theOne(begun, kind, ref, idBeginning);
}

/** The attachment with this id, unique beginning of an id or, on this node (`nodeId`), namespace path. */
export function findAttachment(state: StateReader, ref: string, nodeId: string): Objects['attachment'] {
  const exact = state.get('attachment', ref);
  if (exact !== undefined) return exact;
  const all = state.list('attachment');
  if (ref.startsWith('/')) {
    const here = all.filter((one) => one.netns === ref && one.nodeId === nodeId);
    return theOne(here, 'attachment', ref, 'the namespace');
  }
  const begun = all.filter((one) => one.id.startsWith(ref));
  return theOne(begun, 'attachment', ref, idBeginning);
}

/** Membership of a node that is in a cluster. Throws NOT_INITIALISED otherwise. */
export function requireMember(cluster: ClusterServices): Extract<Membership, { state: 'member' }> {
  const membership = cluster.membership;
  if (membership.state !== 'member') throw shoalError('NOT_INITIALISED');
  return membership;
}
