/** Elections (dissertation 3.4, 9.6) and the hand-over of leadership (3.10). */

import type { EntryId } from './log.ts';
import { newMessage, voteResponseType } from './messages.ts';
import type { Raft } from './raft.ts';
import type { Message } from './types.ts';

/** Why an election is held: to find out whether it could be won, since a leader is missing, or on request. */
export type Campaign = 'pre-election' | 'election' | 'transfer';

/** Marks the vote requests of a transfer, which even voters with a live leader answer. */
const TRANSFER_CONTEXT = new TextEncoder().encode('CampaignTransfer');

/** True if a vote request is part of a leadership transfer, so that a live leader is no reason to ignore it. */
export function isTransferVote(request: Message): boolean {
  const { context } = request;
  return (
    context.length === TRANSFER_CONTEXT.length && context.every((byte, at) => byte === TRANSFER_CONTEXT[at])
  );
}

/** Starts a campaign, unless this node leads already, cannot be elected, or has yet to apply a membership. */
export function hup(raft: Raft, campaign: Campaign): void {
  if (raft.role === 'StateLeader') {
    raft.logger?.debug(`${raft.id} does not campaign: it is leader`);
    return;
  }
  if (!raft.isPromotable) {
    raft.logger?.warn(`${raft.id} does not campaign: it is no voter, or restores a snapshot`);
    return;
  }
  if (hasUnappliedConfChange(raft)) {
    raft.logger?.warn(
      `${raft.id} does not campaign at term ${raft.term}: a membership change is to be applied first`,
    );
    return;
  }
  raft.logger?.info(`${raft.id} is starting a new election at term ${raft.term}`);
  startCampaign(raft, campaign);
}

function hasUnappliedConfChange(raft: Raft): boolean {
  const { log } = raft;
  return log.some(log.applied + 1, log.committed + 1, (entry) => entry.type !== 'EntryNormal');
}

/** Becomes (pre-)candidate and asks all voters. The own vote counts once it is durable, like any other. */
export function startCampaign(raft: Raft, campaign: Campaign): void {
  const isPreVote = campaign === 'pre-election';
  if (isPreVote) raft.becomePreCandidate();
  else raft.becomeCandidate();
  const request = isPreVote ? 'MsgPreVote' : 'MsgVote';
  // Pre-votes are about the next term, which begins only if they are granted.
  const term = isPreVote ? raft.term + 1 : raft.term;
  const last = raft.log.lastEntryId();
  for (const id of raft.tracker.membership.voters.ids) {
    if (id === raft.id) {
      const own = newMessage(voteResponseType(request), id);
      own.term = term;
      raft.send(own);
      continue;
    }
    raft.logger?.info(`${raft.id} sent ${request} to ${id} at term ${raft.term}`);
    const message = newMessage(request, id);
    message.term = term;
    message.index = last.index;
    message.logTerm = last.term;
    if (campaign === 'transfer') message.context = TRANSFER_CONTEXT;
    raft.send(message);
  }
}

/** Counts a vote. */
export function countVote(raft: Raft, response: Message): 'VotePending' | 'VoteLost' | 'VoteWon' {
  raft.tracker.recordVote(response.from, !response.reject);
  const { granted, rejected, result } = raft.tracker.tallyVotes();
  raft.logger?.info(
    `${raft.id} received ${response.type}${response.reject ? ' (rejection)' : ''} from ${response.from}: ` +
      `${granted} for, ${rejected} against at term ${raft.term}`,
  );
  return result;
}

/**
 * Grants or rejects a (pre-)vote. Learners vote as well: they may have been promoted by a change that they do
 * not know of yet.
 */
export function handleVoteRequest(raft: Raft, request: Message, type: 'MsgVote' | 'MsgPreVote'): void {
  const mayVote =
    raft.vote === request.from ||
    (raft.vote === 0 && raft.lead === 0) ||
    (type === 'MsgPreVote' && request.term > raft.term);
  const theirs: EntryId = { term: request.logTerm, index: request.index };
  const granted = mayVote && raft.log.isUpToDate(theirs);
  raft.logger?.info(
    `${raft.id} ${granted ? 'granted' : 'rejected'} ${type} of ${request.from} (log at ${theirs.term}/${theirs.index}) ` +
      `at term ${raft.term}, vote ${raft.vote}`,
  );
  const response = newMessage(voteResponseType(type), request.from);
  // The term asked about; an answer with a term that is over would be ignored.
  response.term = granted ? request.term : raft.term;
  response.reject = !granted;
  raft.send(response);
  if (granted && type === 'MsgVote') {
    raft.electionElapsed = 0;
    raft.vote = request.from;
  }
}

/** Tells a follower whose log is complete to start an election at once. */
export function sendTimeoutNow(raft: Raft, to: number): void {
  raft.logger?.info(`${raft.id} sent MsgTimeoutNow to ${to}`);
  raft.send(newMessage('MsgTimeoutNow', to));
}
