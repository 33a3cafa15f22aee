/** What follows when the application reports that it has applied entries or a snapshot. */

import { RaftError } from './errors.ts';
import { newMessage } from './messages.ts';
import type { Raft } from './raft.ts';
import { stepLeader } from './step-leader.ts';
import { type Entry, NO_BYTES, type Snapshot } from './types.ts';

/** Proposed by a leader to leave a joint configuration. Without data, so that no size limit can refuse it. */
const LEAVE_JOINT: Entry = { type: 'EntryConfChangeV2', term: 0, index: 0, data: NO_BYTES };

/** Everything up to `index` is applied, `bytes` of which were counted as being applied. */
export function appliedTo(raft: Raft, index: number, bytes: number): void {
  const applied = Math.max(index, raft.log.applied);
  raft.log.appliedTo(applied, bytes);
  const { autoLeave } = raft.tracker.membership;
  if (!autoLeave || applied < raft.pendingConfIndex || raft.role !== 'StateLeader') return;
  // Tried again with each applied entry, should a leadership transfer be in the way now.
  const proposal = newMessage('MsgProp', 0, raft.id);
  proposal.entries = [LEAVE_JOINT];
  try {
    stepLeader(raft, proposal);
    raft.logger?.info(`${raft.id} proposed to leave the joint configuration`);
  } catch (error) {
    if (!(error instanceof RaftError) || error.code !== 'PROPOSAL_DROPPED') throw error;
    raft.logger?.debug(`${raft.id} could not propose to leave the joint configuration: ${error.message}`);
  }
}

/** A snapshot is stored and applied. */
export function appliedSnapshot(raft: Raft, snapshot: Snapshot): void {
  raft.log.unstable.stableSnapshotTo(snapshot.metadata.index);
  appliedTo(raft, snapshot.metadata.index, 0);
}
