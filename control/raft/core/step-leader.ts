/** What a leader does with a message of its term. */

import { decodeConfChange } from './codec-confchange.ts';
import { RaftCodecError } from './cursor.ts';
import { describeConfChange, describeMembership } from './describe.ts';
import { sendTimeoutNow } from './election.ts';
import { RaftError } from './errors.ts';
import { asConfChangeV2 } from './membership.ts';
import type { Progress } from './progress.ts';
import type { Raft } from './raft.ts';
import { handleReadAcknowledgement, handleReadIndex, releasePendingReads } from './reads.ts';
import { broadcastAppend, broadcastHeartbeat, maybeSendAppend } from './replication-leader.ts';
import { type AnyConfChange, type Entry, type Message, NO_BYTES } from './types.ts';

/** Handles one message. Throws `PROPOSAL_DROPPED`, `READ_DROPPED` or `INVALID_MESSAGE`. */
export function stepLeader(raft: Raft, message: Message): void {
  switch (message.type) {
    case 'MsgBeat':
      broadcastHeartbeat(raft);
      return;
    case 'MsgCheckQuorum':
      checkQuorum(raft);
      return;
    case 'MsgProp':
      handleProposal(raft, message);
      return;
    case 'MsgReadIndex':
      handleReadIndex(raft, message);
      return;
    default:
  }
  const progress = raft.tracker.get(message.from);
  if (progress === undefined) {
    raft.logger?.debug(`${raft.id} ignored ${message.type} from ${message.from}, which is no member`);
    return;
  }
  switch (message.type) {
    case 'MsgAppResp':
      progress.recentActive = true;
      if (message.reject) handleRejection(raft, message, progress);
      else handleAcknowledgement(raft, message, progress);
      return;
    case 'MsgHeartbeatResp':
      handleHeartbeatResponse(raft, message, progress);
      return;
    case 'MsgSnapStatus':
      handleSnapshotStatus(raft, message, progress);
      return;
    case 'MsgUnreachable':
      // What was sent ahead is probably lost: find out anew how far the log reaches.
      if (progress.state === 'StateReplicate') progress.becomeProbe();
      raft.logger?.debug(`${raft.id} could not reach ${message.from}`);
      return;
    case 'MsgTransferLeader':
      handleTransfer(raft, message, progress);
      return;
    default:
  }
}

function checkQuorum(raft: Raft): void {
  if (!raft.tracker.quorumActive()) {
    raft.logger?.warn(`${raft.id} stepped down: no quorum was active for an election timeout`);
    raft.becomeFollower(raft.term, 0);
  }
  for (const [id, progress] of raft.tracker.members) {
    if (id !== raft.id) progress.recentActive = false;
  }
}

function handleProposal(raft: Raft, message: Message): void {
  if (raft.tracker.get(raft.id) === undefined) {
    throw new RaftError(
      'PROPOSAL_DROPPED',
      `leader ${raft.id} is no member any more; propose at another node`,
    );
  }
  if (raft.leadTransferee !== 0) {
    const to = raft.leadTransferee;
    throw new RaftError(
      'PROPOSAL_DROPPED',
      `leadership goes over from ${raft.id} to ${to}; propose again later`,
    );
  }
  const entries = message.entries.some((entry) => entry.type !== 'EntryNormal')
    ? message.entries.map((entry, at) => admitConfChange(raft, entry, raft.log.lastIndex() + at + 1))
    : message.entries;
  if (!raft.appendProposals(entries)) {
    const limit = raft.config.maxUncommittedBytes;
    throw new RaftError(
      'PROPOSAL_DROPPED',
      `over ${limit} uncommitted bytes at leader ${raft.id}; propose again later`,
    );
  }
  broadcastAppend(raft);
}

/** The entry, or an empty one in its place if it is a membership change that must not be proposed now. */
function admitConfChange(raft: Raft, entry: Entry, index: number): Entry {
  if (entry.type === 'EntryNormal') return entry;
  const change = decodeProposedChange(entry);
  const refusal = raft.config.disableConfChangeValidation ? '' : confChangeRefusal(raft, change);
  if (refusal === '') {
    raft.pendingConfIndex = index;
    return entry;
  }
  const { membership } = raft.tracker;
  raft.logger?.info(
    `${raft.id} ignored conf change ${describeConfChange(change)} at ${describeMembership(membership)}: ${refusal}`,
  );
  return { type: 'EntryNormal', term: 0, index: 0, data: NO_BYTES };
}

function decodeProposedChange(entry: Entry): AnyConfChange {
  try {
    return decodeConfChange(entry);
  } catch (error) {
    if (!(error instanceof RaftCodecError)) throw error;
    throw new RaftError(
      'INVALID_MESSAGE',
      `a proposed membership change cannot be decoded: ${error.message}`,
    );
  }
}

function confChangeRefusal(raft: Raft, change: AnyConfChange): string {
  const leaves = asConfChangeV2(change).changes.length === 0;
  const { isJoint } = raft.tracker.membership.voters;
  if (raft.pendingConfIndex > raft.log.applied) {
    return `a change up to index ${raft.pendingConfIndex} may be unapplied (applied: ${raft.log.applied})`;
  }
  if (isJoint && !leaves) return 'the joint configuration must be left first';
  if (!isJoint && leaves) return 'there is no joint configuration to leave';
  return '';
}

/**
 * The follower's log does not agree at `message.index`. Its hint says where it might, with the follower's term
 * there; all of the leader's entries of later terms cannot be in the follower's log and are skipped.
 */
function handleRejection(raft: Raft, message: Message, progress: Progress): void {
  raft.logger?.debug(
    `${raft.id} got a rejection from ${message.from} for index ${message.index}, ` +
      `hint ${message.logTerm}/${message.rejectHint}`,
  );
  const hint =
    message.logTerm > 0
      ? raft.log.findConflictByTerm(message.rejectHint, message.logTerm).index
      : message.rejectHint;
  if (!progress.maybeDecreaseTo(message.index, hint)) return;
  if (progress.state === 'StateReplicate') progress.becomeProbe();
  maybeSendAppend(raft, message.from, progress, true);
}

function handleAcknowledgement(raft: Raft, message: Message, progress: Progress): void {
  const { from, index } = message;
  if (index > raft.log.lastIndex()) {
    throw new RaftError(
      'INVALID_MESSAGE',
      `node ${from} acknowledged index ${index}, but this leader's log ends at ${raft.log.lastIndex()}`,
    );
  }
  const isProbeAnswer = progress.match === index && progress.state === 'StateProbe';
  if (!progress.maybeUpdate(index) && !isProbeAnswer) return;

  if (progress.state === 'StateProbe') {
    progress.becomeReplicate();
  } else if (progress.state === 'StateReplicate') {
    progress.inflights.freeUpTo(index);
  } else if (progress.match + 1 >= raft.log.firstIndex()) {
    // Wherever the follower got a snapshot from: the log can bring it up from here.
    raft.logger?.debug(`${raft.id} resumes appends to ${from}, which needs no snapshot any more`);
    progress.becomeProbe();
    progress.becomeReplicate();
  }

  if (raft.maybeCommit()) {
    releasePendingReads(raft);
    broadcastAppend(raft);
  } else if (from !== raft.id && progress.canBumpCommit(raft.log.committed)) {
    maybeSendAppend(raft, from, progress, true);
  }
  if (from !== raft.id) {
    // Room in the window: several limited messages may fit.
    while (maybeSendAppend(raft, from, progress, false));
  }
  if (from === raft.leadTransferee && progress.match === raft.log.lastIndex()) sendTimeoutNow(raft, from);
}

function handleHeartbeatResponse(raft: Raft, message: Message, progress: Progress): void {
  progress.recentActive = true;
  progress.appendPaused = false;
  // Even into a full window, where only an empty append goes: all that filled it may be lost.
  if (progress.match < raft.log.lastIndex() || progress.state === 'StateProbe') {
    maybeSendAppend(raft, message.from, progress, true);
  }
  handleReadAcknowledgement(raft, message.from, message.context);
}

function handleSnapshotStatus(raft: Raft, message: Message, progress: Progress): void {
  if (progress.state !== 'StateSnapshot') return;
  // A failed snapshot is no base to probe from.
  if (message.reject) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  // Done: the follower will say so itself. Failed: not again before the next heartbeat.
  progress.appendPaused = true;
  raft.logger?.debug(`${raft.id}: the snapshot to ${message.from} ${message.reject ? 'failed' : 'arrived'}`);
}

function handleTransfer(raft: Raft, message: Message, progress: Progress): void {
  const to = message.from;
  if (progress.isLearner) {
    raft.logger?.debug(`${raft.id} ignored a transfer to ${to}, which is a learner`);
    return;
  }
  if (raft.leadTransferee === to) {
    raft.logger?.info(`${raft.id} ignored a transfer to ${to}, which is under way already`);
    return;
  }
  raft.leadTransferee = 0;
  if (to === raft.id) {
    raft.logger?.debug(`${raft.id} ignored a transfer to itself`);
    return;
  }
  raft.logger?.info(`${raft.id} starts to transfer leadership to ${to} at term ${raft.term}`);
  // It has one election timeout from now.
  raft.electionElapsed = 0;
  raft.leadTransferee = to;
  if (progress.match === raft.log.lastIndex()) sendTimeoutNow(raft, to);
  else maybeSendAppend(raft, to, progress, true);
}
