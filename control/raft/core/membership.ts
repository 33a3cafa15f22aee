/** Putting a membership in force: at the start, when a change is applied, and from a snapshot. */

import {
  type ChangeBase,
  type ChangeResult,
  changeSimply,
  enterJoint,
  leaveJoint,
  restoreConfState,
} from './confchange.ts';
import { describeMembership } from './describe.ts';
import { invariantBroken } from './errors.ts';
import type { Raft } from './raft.ts';
import { broadcastAppend, maybeSendAppend } from './replication-leader.ts';
import { sameConfState } from './states.ts';
import { confStateOf, EMPTY_MEMBERSHIP } from './tracker.ts';
import type { AnyConfChange, ConfChangeV2, ConfState, Snapshot } from './types.ts';

/** The same change in the general form. */
export function asConfChangeV2(change: AnyConfChange): ConfChangeV2 {
  if ('changes' in change) return change;
  const { type, nodeId, context } = change;
  return { transition: 'ConfChangeTransitionAuto', changes: [{ type, nodeId }], context };
}

/** True if the change leaves a joint configuration. */
export function leavesJoint(change: ConfChangeV2): boolean {
  return change.transition === 'ConfChangeTransitionAuto' && change.changes.length === 0;
}

/** Applies a committed membership change. Throws ConfChangeError if it does not fit the present one. */
export function applyConfChange(raft: Raft, change: ConfChangeV2): ConfState {
  const { membership, progress } = raft.tracker;
  return switchTo(raft, changed({ ...changeBase(raft), membership, progress }, change));
}

function changed(base: ChangeBase, change: ConfChangeV2): ChangeResult {
  if (leavesJoint(change)) return leaveJoint(base);
  const isAuto = change.transition === 'ConfChangeTransitionAuto';
  if (isAuto && change.changes.length === 1) return changeSimply(base, change.changes);
  return enterJoint(base, change.transition !== 'ConfChangeTransitionJointExplicit', change.changes);
}

/** Puts a stored membership in force, in place of whatever is. */
export function restoreMembership(raft: Raft, state: ConfState): void {
  raft.tracker.resetVotes();
  const restored = switchTo(raft, restoreConfState(changeBase(raft), state));
  if (!sameConfState(state, restored)) {
    invariantBroken(
      `the stored membership ${JSON.stringify(state)} came back as ${JSON.stringify(restored)}`,
    );
  }
}

function changeBase(raft: Raft): ChangeBase {
  const newInflights = () => raft.tracker.newInflights();
  return { membership: EMPTY_MEMBERSHIP, progress: new Map(), lastIndex: raft.log.lastIndex(), newInflights };
}

function switchTo(raft: Raft, to: ChangeResult): ConfState {
  raft.tracker.replace(to.membership, to.progress);
  raft.logger?.info(`${raft.id} switched to configuration ${describeMembership(to.membership)}`);
  const state = confStateOf(to.membership);
  const own = to.progress.get(raft.id);
  raft.isLearner = own?.isLearner ?? false;
  if (raft.role !== 'StateLeader') return state;

  if (own === undefined || own.isLearner) {
    if (raft.config.stepDownOnRemoval) raft.becomeFollower(raft.term, 0);
    return state;
  }
  // A smaller quorum may have more of the log already.
  if (raft.maybeCommit()) {
    broadcastAppend(raft);
  } else {
    for (const [id, progress] of raft.tracker.members) {
      if (id !== raft.id) maybeSendAppend(raft, id, progress, false);
    }
  }
  if (raft.leadTransferee !== 0 && !to.membership.voters.has(raft.leadTransferee)) raft.leadTransferee = 0;
  return state;
}

/**
 * Takes over a snapshot's log position and membership. False if it was ignored: it is not ahead of what is
 * committed here, the log already reaches its end (then only the commit index moves), or it does not name this
 * node.
 */
export function restoreSnapshot(raft: Raft, snapshot: Snapshot): boolean {
  const { index, term, confState } = snapshot.metadata;
  if (index <= raft.log.committed) return false;
  if (raft.role !== 'StateFollower') {
    raft.logger?.warn(`${raft.id} got a snapshot as ${raft.role}, which should never happen`);
    raft.becomeFollower(raft.term + 1, 0);
    return false;
  }
  // Next learners are outgoing voters as well.
  const members = [...confState.voters, ...confState.learners, ...confState.votersOutgoing];
  if (!members.includes(raft.id)) {
    raft.logger?.warn(`${raft.id} ignored snapshot ${index}, whose membership does not have this node`);
    return false;
  }
  if (raft.log.matchTerm(index, term)) {
    raft.logger?.info(`${raft.id} has all of snapshot ${index} in its log: moved the commit index only`);
    raft.log.commitTo(index);
    return false;
  }
  raft.log.restore(snapshot);
  restoreMembership(raft, confState);
  return true;
}
