/** Bugs in elections, terms, leases and what makes votes durable. */
import type { Mutation } from './mutation.ts';

/** Each must be caught. */
export const electionMutations: readonly Mutation[] = [
  {
    name: 'vote-forgotten',
    why: 'A node does not remember whom it voted for, and votes twice in a term (dissertation 3.4).',
    file: 'control/raft/core/election.ts',
    find: '    raft.vote = request.from;\n',
    replace: '',
  },
  {
    name: 'vote-not-durable',
    why: 'A vote is answered before it is on the disk; after a crash the node votes again in the same term.',
    file: 'control/raft/core/ready.ts',
    find: 'entries.length > 0 || vote !== before.vote || term !== before.term',
    replace: 'entries.length > 0',
  },
  {
    name: 'vote-answered-at-once',
    why: 'Asynchronous storage: the answer to a vote request does not wait for the write of the vote.',
    file: 'control/raft/core/raft.ts',
    find: `      case 'MsgVoteResp':
      case 'MsgPreVoteResp':
        this.messagesAfterAppend.push(message);`,
    replace: `        this.messagesAfterAppend.push(message);
        break;
      case 'MsgVoteResp':
      case 'MsgPreVoteResp':
        (message.to === this.id ? this.messagesAfterAppend : this.messages).push(message);`,
  },
  {
    name: 'vote-for-worse-log',
    why: 'A vote is given whatever the log of the candidate, who may lack what is committed (3.6.1).',
    file: 'control/raft/core/election.ts',
    find: 'mayVote && raft.log.isUpToDate(theirs)',
    replace: 'mayVote',
  },
  {
    name: 'refusal-counts-as-vote',
    why: 'A candidate takes every answer for a vote.',
    file: 'control/raft/core/election.ts',
    find: 'recordVote(response.from, !response.reject)',
    replace: 'recordVote(response.from, true)',
  },
  {
    name: 'half-is-a-majority',
    why: 'With an even number of voters half of them elect a leader, and so may the other half.',
    file: 'control/raft/core/quorum.ts',
    find: `    const majority = Math.floor(voters / 2) + 1;
    if (granted >= majority)`,
    replace: `    const majority = Math.ceil(voters / 2);
    if (granted >= majority)`,
  },
  {
    name: 'pre-vote-skipped',
    why: 'A node whose election timer runs out begins a new term at once, though PreVote is on (9.6).',
    file: 'control/raft/core/step.ts',
    find: "raft.config.preVote ? 'pre-election' : 'election'",
    replace: "'election'",
  },
  {
    name: 'pre-vote-raises-term',
    why: 'Who is merely asked for a pre-vote enters the term that was asked about, and deposes its leader.',
    file: 'control/raft/core/step.ts',
    find: '      // Only a question about the future.\n',
    replace: '      raft.becomeFollower(message.term, 0);\n',
  },
  {
    name: 'pre-candidate-raises-term',
    why: 'A pre-candidate begins the term before it knows that it could win it.',
    file: 'control/raft/core/raft.ts',
    find: "    this.tracker.resetVotes();\n    this.lead = 0;\n    this.role = 'StatePreCandidate';",
    replace: "    this.#reset(this.term + 1);\n    this.role = 'StatePreCandidate';",
  },
  {
    name: 'lease-ignored',
    why: 'A node that hears from its leader answers vote requests all the same, so that anyone can disturb (4.2.3).',
    file: 'control/raft/core/step.ts',
    find: 'isVoteRequest && hasLease(raft) && !isTransferVote(message)',
    replace: 'false && isVoteRequest && hasLease(raft) && !isTransferVote(message)',
  },
  {
    name: 'check-quorum-never-steps-down',
    why: 'A leader that hears from nobody leads on, and its clients wait for ever (6.2).',
    file: 'control/raft/core/step-leader.ts',
    find: 'if (!raft.tracker.quorumActive()) {',
    replace: 'if (false as boolean) {',
  },
  {
    name: 'activity-never-forgotten',
    why: 'The quorum check counts whoever was ever heard of in this term.',
    file: 'control/raft/core/step-leader.ts',
    find: 'progress.recentActive = false;',
    replace: 'void progress;',
  },
  {
    name: 'old-term-accepted',
    why: 'Messages of a term that is over are handled as if they were of this one.',
    file: 'control/raft/core/step.ts',
    find: 'message.term !== 0 && message.term < raft.term) {',
    replace: 'message.term !== 0 && message.term + 2 < raft.term) {',
  },
  {
    name: 'transfer-to-lagging-follower',
    why: 'Leadership is handed to a follower that lacks entries, which cannot win or loses them (3.10).',
    file: 'control/raft/core/step-leader.ts',
    find: '  if (progress.match === raft.log.lastIndex()) sendTimeoutNow(raft, to);',
    replace: '  if (progress.match > 0) sendTimeoutNow(raft, to);',
  },
];
