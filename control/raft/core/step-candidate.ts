/** What a candidate or pre-candidate does with a message of its term. */

import { countVote, startCampaign } from './election.ts';
import { RaftError } from './errors.ts';
import type { Raft } from './raft.ts';
import { handleAppend, handleHeartbeat, handleSnapshot } from './replication-follower.ts';
import { broadcastAppend } from './replication-leader.ts';
import type { Message } from './types.ts';

/** Handles one message. Throws `PROPOSAL_DROPPED`. */
export function stepCandidate(raft: Raft, message: Message): void {
  switch (message.type) {
    case 'MsgProp':
      throw new RaftError(
        'PROPOSAL_DROPPED',
        `node ${raft.id} knows no leader at term ${raft.term}; propose again later`,
      );
    case 'MsgApp':
      // Somebody else won this term.
      raft.becomeFollower(message.term, message.from);
      handleAppend(raft, message);
      return;
    case 'MsgHeartbeat':
      raft.becomeFollower(message.term, message.from);
      handleHeartbeat(raft, message);
      return;
    case 'MsgSnap':
      raft.becomeFollower(message.term, message.from);
      handleSnapshot(raft, message);
      return;
    case 'MsgVoteResp':
      if (raft.role === 'StateCandidate') handleVote(raft, message);
      return;
    case 'MsgPreVoteResp':
      if (raft.role === 'StatePreCandidate') handleVote(raft, message);
      return;
    default:
  }
}

function handleVote(raft: Raft, message: Message): void {
  switch (countVote(raft, message)) {
    case 'VoteWon':
      if (raft.role === 'StatePreCandidate') {
        startCampaign(raft, 'election');
      } else {
        raft.becomeLeader();
        broadcastAppend(raft);
      }
      return;
    case 'VoteLost':
      raft.becomeFollower(raft.term, 0);
      return;
    case 'VotePending':
  }
}
