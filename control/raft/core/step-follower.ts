/** What a follower does with a message of its term. */

import { hup } from './election.ts';
import { RaftError } from './errors.ts';
import type { Raft } from './raft.ts';
import { handleAppend, handleHeartbeat, handleSnapshot } from './replication-follower.ts';
import { type Message, NO_BYTES } from './types.ts';

/** Handles one message. Throws `PROPOSAL_DROPPED`. */
export function stepFollower(raft: Raft, message: Message): void {
  switch (message.type) {
    case 'MsgProp':
      if (raft.lead === 0) {
        throw new RaftError(
          'PROPOSAL_DROPPED',
          `node ${raft.id} knows no leader at term ${raft.term}; propose again later`,
        );
      }
      if (raft.config.disableProposalForwarding) {
        throw new RaftError(
          'PROPOSAL_DROPPED',
          `node ${raft.id} forwards no proposals; propose at leader ${raft.lead}`,
        );
      }
      forward(raft, message);
      return;
    case 'MsgApp':
      heardFromLeader(raft, message);
      handleAppend(raft, message);
      return;
    case 'MsgHeartbeat':
      heardFromLeader(raft, message);
      handleHeartbeat(raft, message);
      return;
    case 'MsgSnap':
      heardFromLeader(raft, message);
      handleSnapshot(raft, message);
      return;
    case 'MsgTransferLeader':
    case 'MsgReadIndex':
      if (raft.lead === 0)
        raft.logger?.info(`${raft.id} knows no leader at term ${raft.term}: dropped ${message.type}`);
      else forward(raft, message);
      return;
    case 'MsgForgetLeader':
      forgetLeader(raft);
      return;
    case 'MsgTimeoutNow':
      raft.logger?.info(`${raft.id} was told by ${message.from} to take over leadership`);
      // No pre-vote: this is no return from a partition, and the leader wants it.
      hup(raft, 'transfer');
      return;
    case 'MsgReadIndexResp':
      raft.readStates.push({ index: message.index, context: message.entries[0]?.data ?? NO_BYTES });
      return;
    default:
  }
}

function heardFromLeader(raft: Raft, message: Message): void {
  raft.electionElapsed = 0;
  raft.lead = message.from;
}

function forward(raft: Raft, message: Message): void {
  raft.send({ ...message, to: raft.lead, term: 0 });
}

function forgetLeader(raft: Raft): void {
  if (raft.config.readOnly === 'lease-based') {
    raft.logger?.error(`${raft.id} does not forget its leader: lease-based reads rely on it`);
    return;
  }
  if (raft.lead === 0) return;
  raft.logger?.info(`${raft.id} forgets leader ${raft.lead} at term ${raft.term}`);
  raft.lead = 0;
}
