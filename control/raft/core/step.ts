/** The way of every message into the state machine: terms first, then what all roles share, then the role. */

import { appliedSnapshot, appliedTo } from './apply.ts';
import { handleVoteRequest, hup, isTransferVote } from './election.ts';
import { newMessage } from './messages.ts';
import type { Raft } from './raft.ts';
import { entriesSize, payloadSize } from './sizes.ts';
import { stepCandidate } from './step-candidate.ts';
import { stepFollower } from './step-follower.ts';
import { stepLeader } from './step-leader.ts';
import type { Message } from './types.ts';

/** Handles one message. Throws what the role's handler throws; the state is then as if it had not come. */
export function step(raft: Raft, message: Message): void {
  if (message.term > raft.term) {
    if (!enterHigherTerm(raft, message)) return;
  } else if (message.term !== 0 && message.term < raft.term) {
    handleLowerTerm(raft, message);
    return;
  }
  switch (message.type) {
    case 'MsgHup':
      hup(raft, raft.config.preVote ? 'pre-election' : 'election');
      return;
    case 'MsgVote':
    case 'MsgPreVote':
      handleVoteRequest(raft, message, message.type);
      return;
    case 'MsgStorageAppendResp':
      if (message.index !== 0) raft.log.unstable.stableTo(message.index, message.logTerm);
      if (message.snapshot !== null) appliedSnapshot(raft, message.snapshot);
      return;
    case 'MsgStorageApplyResp':
      handleApplied(raft, message);
      return;
    default:
      stepRole(raft, message);
  }
}

function stepRole(raft: Raft, message: Message): void {
  switch (raft.role) {
    case 'StateLeader':
      stepLeader(raft, message);
      return;
    case 'StateFollower':
      stepFollower(raft, message);
      return;
    case 'StateCandidate':
    case 'StatePreCandidate':
      stepCandidate(raft, message);
  }
}

/** Steps down into the message's term, where it should. False if the message is to be ignored. */
function enterHigherTerm(raft: Raft, message: Message): boolean {
  const isVoteRequest = message.type === 'MsgVote' || message.type === 'MsgPreVote';
  if (isVoteRequest && hasLease(raft) && !isTransferVote(message)) {
    raft.logger?.info(`${raft.id} ignored ${message.type} of ${message.from}: leader ${raft.lead} is alive`);
    return false;
  }
  switch (message.type) {
    case 'MsgPreVote':
      // Only a question about the future.
      return true;
    case 'MsgPreVoteResp':
      // Granted: the term asked about, which begins once there is a quorum. Rejected: a real one.
      if (!message.reject) return true;
      break;
    case 'MsgApp':
    case 'MsgHeartbeat':
    case 'MsgSnap':
      raft.becomeFollower(message.term, message.from);
      return true;
    default:
  }
  raft.logger?.info(
    `${raft.id} [term ${raft.term}] got ${message.type} of ${message.from} at term ${message.term}`,
  );
  raft.becomeFollower(message.term, 0);
  return true;
}

/** True if a leader was heard of so recently that nobody should ask for votes (dissertation 4.2.3). */
function hasLease(raft: Raft): boolean {
  return raft.config.checkQuorum && raft.lead !== 0 && raft.electionElapsed < raft.config.electionTicks;
}

function handleLowerTerm(raft: Raft, message: Message): void {
  const { type, from } = message;
  if ((raft.config.checkQuorum || raft.config.preVote) && (type === 'MsgHeartbeat' || type === 'MsgApp')) {
    // A leader of an old term that this node cannot rejoin, since votes do not raise terms with these options:
    // the answer carries this term and makes that leader step down.
    raft.send(newMessage('MsgAppResp', from));
  } else if (type === 'MsgPreVote') {
    // A candidate with a longer log but a lower term must learn of this term, or both wait for ever.
    const response = newMessage('MsgPreVoteResp', from);
    response.term = raft.term;
    response.reject = true;
    raft.send(response);
  } else if (type === 'MsgStorageAppendResp') {
    // Its entries may have been replaced in this term. A snapshot is committed state, whatever the term.
    if (message.snapshot !== null) appliedSnapshot(raft, message.snapshot);
  } else {
    raft.logger?.info(`${raft.id} [term ${raft.term}] ignored ${type} of ${from} at term ${message.term}`);
  }
}

function handleApplied(raft: Raft, message: Message): void {
  const last = message.entries.at(-1);
  if (last === undefined) return;
  appliedTo(raft, last.index, entriesSize(message.entries));
  raft.reduceUncommitted(payloadSize(message.entries));
}
