/** The passage of time, in ticks. */

import { RaftError } from './errors.ts';
import { newMessage } from './messages.ts';
import type { Raft } from './raft.ts';
import { step } from './step.ts';
import type { MessageType } from './types.ts';

/** One tick: elections become due on followers and candidates, heartbeats and quorum checks on leaders. */
export function tick(raft: Raft): void {
  if (raft.role === 'StateLeader') tickLeader(raft);
  else tickElection(raft);
}

function tickElection(raft: Raft): void {
  raft.electionElapsed += 1;
  if (raft.isPromotable && raft.isElectionDue) {
    raft.electionElapsed = 0;
    stepLocal(raft, 'MsgHup');
  }
}

function tickLeader(raft: Raft): void {
  raft.heartbeatElapsed += 1;
  raft.electionElapsed += 1;
  if (raft.electionElapsed >= raft.config.electionTicks) {
    raft.electionElapsed = 0;
    if (raft.config.checkQuorum) stepLocal(raft, 'MsgCheckQuorum');
    // A transfer that took an election timeout has failed.
    if (raft.role === 'StateLeader') raft.leadTransferee = 0;
  }
  if (raft.role !== 'StateLeader') return;
  if (raft.heartbeatElapsed >= raft.config.heartbeatTicks) {
    raft.heartbeatElapsed = 0;
    stepLocal(raft, 'MsgBeat');
  }
}

function stepLocal(raft: Raft, type: MessageType): void {
  try {
    step(raft, newMessage(type, 0, raft.id));
  } catch (error) {
    if (!(error instanceof RaftError) || error.code === 'INVARIANT') throw error;
    raft.logger?.debug(`${raft.id}: ${type} failed: ${error.message}`);
  }
}
