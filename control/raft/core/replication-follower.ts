/** Bringing followers' logs to agree with the leader's (dissertation 3.5): what a follower does. */

import { invariantBroken } from './errors.ts';
import { restoreSnapshot } from './membership.ts';
import { newMessage } from './messages.ts';
import type { Raft } from './raft.ts';
import type { Message } from './types.ts';

/** Takes entries from the leader, or rejects them with a hint where the logs might agree. */
export function handleAppend(raft: Raft, message: Message): void {
  const { log } = raft;
  const answer = newMessage('MsgAppResp', message.from);
  if (message.index < log.committed) {
    answer.index = log.committed;
    raft.send(answer);
    return;
  }
  const previous = { index: message.index, term: message.logTerm };
  const agreed = log.maybeAppend(previous, message.entries, message.commit);
  if (agreed !== undefined) {
    answer.index = agreed;
    raft.send(answer);
    return;
  }
  raft.logger?.debug(
    `${raft.id} has term ${log.term(message.index)} at index ${message.index}: rejected the append of ` +
      `${message.from}, which has term ${message.logTerm} there`,
  );
  // Skips all of this log's end whose terms are above the leader's: it cannot be in the leader's log.
  const hint = log.findConflictByTerm(Math.min(message.index, log.lastIndex()), message.logTerm);
  answer.index = message.index;
  answer.reject = true;
  answer.rejectHint = hint.index;
  answer.logTerm = hint.term;
  raft.send(answer);
}

/** Learns the commit index and answers. */
export function handleHeartbeat(raft: Raft, message: Message): void {
  raft.log.commitTo(message.commit);
  const answer = newMessage('MsgHeartbeatResp', message.from);
  answer.context = message.context;
  raft.send(answer);
}

/** Replaces the state with the leader's snapshot, if that is ahead of its own log. */
export function handleSnapshot(raft: Raft, message: Message): void {
  const snapshot = message.snapshot ?? invariantBroken('MsgSnap without a snapshot');
  const restored = restoreSnapshot(raft, snapshot);
  const { index, term } = snapshot.metadata;
  raft.logger?.info(`${raft.id} ${restored ? 'restored' : 'ignored'} snapshot ${index} of term ${term}`);
  const answer = newMessage('MsgAppResp', message.from);
  answer.index = restored ? raft.log.lastIndex() : raft.log.committed;
  raft.send(answer);
}
