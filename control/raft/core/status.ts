/** What a node tells about itself, for people and for metrics. */

import type { Progress, ProgressState } from './progress.ts';
import type { Raft } from './raft.ts';
import { confStateOf } from './tracker.ts';
import type { ConfState, HardState, SoftState } from './types.ts';

/** The state of one node, without the cluster. Cheap. */
export interface BasicStatus {
  readonly id: number;
  readonly hardState: HardState;
  readonly softState: SoftState;
  readonly applied: number;
  /** Target of a leadership transfer under way, or 0. */
  readonly leadTransferee: number;
  /** Reads refused since `maxPendingReads` were waiting. */
  readonly droppedReads: number;
}

/** A member as its leader sees it; see Progress for the meanings. */
export interface ProgressStatus {
  readonly match: number;
  readonly next: number;
  readonly state: ProgressState;
  readonly isLearner: boolean;
  readonly paused: boolean;
  readonly recentActive: boolean;
  readonly pendingSnapshot: number;
  /** Appends on their way. */
  readonly inflight: number;
  readonly inflightFull: boolean;
}

/** The state of one node and its view of the cluster. */
export interface Status extends BasicStatus {
  readonly confState: ConfState;
  /** By id, ascending. Empty unless this node is leader. */
  readonly progress: ReadonlyMap<number, ProgressStatus>;
}

/** The state of one node, without the cluster. */
export function basicStatusOf(raft: Raft): BasicStatus {
  return {
    id: raft.id,
    hardState: { term: raft.term, vote: raft.vote, commit: raft.log.committed },
    softState: { lead: raft.lead, role: raft.role },
    applied: raft.log.applied,
    leadTransferee: raft.leadTransferee,
    droppedReads: raft.droppedReads,
  };
}

/** The state of one node and its view of the cluster. */
export function statusOf(raft: Raft): Status {
  const members = raft.role === 'StateLeader' ? raft.tracker.members : [];
  return {
    ...basicStatusOf(raft),
    confState: confStateOf(raft.tracker.membership),
    progress: new Map(members.map(([id, progress]) => [id, progressStatusOf(progress)])),
  };
}

/** A copy of what is known of one member. */
export function progressStatusOf(progress: Progress): ProgressStatus {
  return {
    match: progress.match,
    next: progress.next,
    state: progress.state,
    isLearner: progress.isLearner,
    paused: progress.isPaused,
    recentActive: progress.recentActive,
    pendingSnapshot: progress.pendingSnapshot,
    inflight: progress.inflights.count,
    inflightFull: progress.inflights.full,
  };
}
