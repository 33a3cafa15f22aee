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

/** The one object that `matches`, the exact ones first. Throws when there is none or more than one. */
function choose<T>(
  candidates: readonly T[],
  exact: (candidate: T) => boolean,
  begins: (candidate: T) => boolean,
  kind: Named | 'attachment',
  ref: string,
): T {
  const found: T[] = [];
  for (const candidate of candidates) {
    if (exact(candidate)) return candidate;
    if (begins(candidate)) found.push(candidate);
  }
  const [first] = found;
  if (first === undefined) throw unknown(kind, ref);
  if (found.length > 1) {
    throw shoalError('BAD_REQUEST', {
      reason: `"${ref}" is the beginning of ${found.length} ${kind} ids; write more of it`,
    });
  }
  return first;
}

/** The object of `kind` with this id, name or unique beginning of an id. Throws the kind's own not-found error. */
export function find<K extends Named>(state: StateReader, kind: K, ref: string): Objects[K] {
  const exact = state.get(kind, ref) ?? state.byName(kind, ref);
  if (exact !== undefined) return exact;
  return choose(
    state.list(kind),
    () => false,
    (object) => object.id.startsWith(ref),
    kind,
    ref,
  );
}

/** The attachment with this id, namespace path or unique beginning of an id; `nodeId` decides between equal paths. */
export function findAttachment(state: StateReader, ref: string, nodeId: string): Objects['attachment'] {
  return choose(
    state.list('attachment'),
    (attachment) => attachment.id === ref || (attachment.netns === ref && attachment.nodeId === nodeId),
    (attachment) => attachment.id.startsWith(ref),
    'attachment',
    ref,
  );
}

/** Membership of a node that is in a cluster. Throws NOT_INITIALISED otherwise. */
export function requireMember(cluster: ClusterServices): Extract<Membership, { state: 'member' }> {
  const membership = cluster.membership;
  if (membership.state !== 'member') throw shoalError('NOT_INITIALISED');
  return membership;
}
