/** The empty forms of stored state, and comparing it. */

import { type ConfState, type HardState, NO_BYTES, type Snapshot } from './types.ts';

/** What a node starts with that never stored anything. */
export const EMPTY_HARD_STATE: HardState = Object.freeze({ term: 0, vote: 0, commit: 0 });

/** A membership without members. */
export const EMPTY_CONF_STATE: ConfState = Object.freeze({
  voters: Object.freeze([]),
  learners: Object.freeze([]),
  votersOutgoing: Object.freeze([]),
  learnersNext: Object.freeze([]),
  autoLeave: false,
});

/** No snapshot. */
export const EMPTY_SNAPSHOT: Snapshot = Object.freeze({
  data: NO_BYTES,
  metadata: Object.freeze({ confState: EMPTY_CONF_STATE, index: 0, term: 0 }),
});

/** True if nothing was ever stored. */
export function isEmptyHardState(state: HardState | null): boolean {
  return state === null || (state.term === 0 && state.vote === 0 && state.commit === 0);
}

/** True if there is no snapshot. */
export function isEmptySnapshot(snapshot: Snapshot | null): boolean {
  return snapshot === null || snapshot.metadata.index === 0;
}

/** True if both describe the same membership, in whatever order. */
export function sameConfState(a: ConfState, b: ConfState): boolean {
  return (
    sameIds(a.voters, b.voters) &&
    sameIds(a.learners, b.learners) &&
    sameIds(a.votersOutgoing, b.votersOutgoing) &&
    sameIds(a.learnersNext, b.learnersNext) &&
    a.autoLeave === b.autoLeave
  );
}

function sameIds(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  const left = sortedIds(a);
  const right = sortedIds(b);
  return left.every((id, at) => id === right[at]);
}

/** The ids in ascending order, as a new array. */
export function sortedIds(ids: Iterable<number>): number[] {
  return [...ids].sort((a, b) => a - b);
}
