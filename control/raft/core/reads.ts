/** Linearizable reads without a log entry (dissertation 6.4), on the leader. */

import { RaftError } from './errors.ts';
import { newMessage } from './messages.ts';
import type { Raft } from './raft.ts';
import { broadcastHeartbeat } from './replication-leader.ts';
import { type Message, NO_BYTES } from './types.ts';

/** Leader: takes a read. Throws `READ_DROPPED` if too many are waiting. */
export function handleReadIndex(raft: Raft, request: Message): void {
  if (raft.pendingReads.length + raft.readOnly.length >= raft.config.maxPendingReads) {
    raft.droppedReads += 1;
    throw new RaftError(
      'READ_DROPPED',
      `node ${raft.id} has ${raft.config.maxPendingReads} reads waiting (maxPendingReads); ask again later`,
    );
  }
  // Before its first own commit a leader does not know how far the log is committed. Not even if it is the only
  // voter: it may have been elected before it heard of the last commits of the leader before it.
  if (raft.hasCommittedInTerm) serveRead(raft, request);
  else raft.pendingReads.push(request);
}

/** Leader: takes the reads that waited for the first commit of this term. */
export function releasePendingReads(raft: Raft): void {
  if (raft.pendingReads.length === 0 || !raft.hasCommittedInTerm) return;
  const requests = raft.pendingReads;
  raft.pendingReads = [];
  for (const request of requests) serveRead(raft, request);
}

/** Leader: a heartbeat was answered; answers the reads that are confirmed by that. */
export function handleReadAcknowledgement(raft: Raft, from: number, context: Uint8Array): void {
  if (raft.config.readOnly !== 'safe' || context.length === 0) return;
  raft.readOnly.acknowledge(from, context);
  for (const { request, index } of raft.readOnly.takeConfirmed(raft.tracker.membership.voters)) {
    answerRead(raft, request, index);
  }
}

function serveRead(raft: Raft, request: Message): void {
  if (raft.config.readOnly === 'lease-based' || isOnlyVoter(raft)) {
    answerRead(raft, request, raft.log.committed);
    return;
  }
  raft.readOnly.add(request, raft.log.committed);
  raft.readOnly.acknowledge(raft.id, raft.readOnly.heartbeatContext());
  broadcastHeartbeat(raft);
}

function answerRead(raft: Raft, request: Message, index: number): void {
  if (request.from === 0 || request.from === raft.id) {
    raft.readStates.push({ index, context: request.entries[0]?.data ?? NO_BYTES });
    return;
  }
  const response = newMessage('MsgReadIndexResp', request.from);
  response.index = index;
  response.entries = request.entries;
  raft.send(response);
}

/** A leader that was removed is not the only voter: it does not learn when the remaining one leads. */
function isOnlyVoter(raft: Raft): boolean {
  return raft.tracker.isSingleton && raft.tracker.membership.voters.has(raft.id);
}
