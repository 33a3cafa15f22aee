/** Bugs in replication, commitment, snapshots, reads, and what makes entries durable. */
import type { Mutation } from './mutation.ts';

/** Each must be caught. */
export const replicationMutations: readonly Mutation[] = [
  {
    name: 'append-acknowledged-at-once',
    why: 'Asynchronous storage: a follower acknowledges entries before they are on its disk.',
    file: 'control/raft/core/raft.ts',
    find: `      case 'MsgAppResp':
      case 'MsgVoteResp':
      case 'MsgPreVoteResp':
        this.messagesAfterAppend.push(message);`,
    replace: `      case 'MsgAppResp':
        (message.to === this.id ? this.messagesAfterAppend : this.messages).push(message);
        break;
      case 'MsgVoteResp':
      case 'MsgPreVoteResp':
        this.messagesAfterAppend.push(message);`,
  },
  {
    name: 'entries-not-synced',
    why: 'The core does not ask for a durable write when it has entries.',
    file: 'control/raft/core/ready.ts',
    find: 'entries.length > 0 || vote !== before.vote',
    replace: 'vote !== before.vote',
  },
  {
    name: 'driver-skips-fsync',
    why: 'The driver of a node sends what a write allows it to send without having flushed the write.',
    file: 'test/sim/node.ts',
    find: `    if (message.responses.length > 0) {
      this.#writeBoundary();
      this.disk.sync();
    }`,
    replace: '',
  },
  {
    name: 'sends-before-writing',
    why: 'The driver of a node sends its messages before the write that they report.',
    file: 'test/sim/node.ts',
    find: `    this.#writeBoundary();
    this.disk.write(ready);
    if (ready`,
    replace: `    for (const message of ready.messages.splice(0)) this.#world.send(message);
    this.#writeBoundary();
    this.disk.write(ready);
    if (ready`,
  },
  {
    name: 'old-term-committed-by-counting',
    why: 'A leader commits an entry of an older term since a quorum has it; it may still be replaced (3.6.2).',
    file: 'control/raft/core/log.ts',
    find: 'index <= this.committed || !this.matchTerm(index, term)',
    replace: 'index <= this.committed',
  },
  {
    name: 'previous-entry-not-checked',
    why: 'A follower appends whatever stands before, so that logs no longer match (3.5).',
    file: 'control/raft/core/log.ts',
    find: 'if (!this.matchTerm(previous.index, previous.term)) return undefined;',
    replace: 'if (previous.index > this.lastIndex()) return undefined;',
  },
  {
    name: 'append-always-truncates',
    why: 'A late append cuts off entries that agree with the leader and were acknowledged (3.5).',
    file: 'control/raft/core/log.ts',
    find: '      if (this.matchTerm(entry.index, entry.term)) continue;',
    replace: '      if (entry.index <= this.committed) continue;',
  },
  {
    name: 'truncation-cuts-one-too-many',
    why: 'Where entries are replaced, the one before them goes as well, which may be committed.',
    file: 'control/raft/core/unstable.ts',
    find: '      this.#entries.length = this.#head + first - this.offset;',
    replace: '      this.#entries.length = this.#head + Math.max(0, first - 1 - this.offset);',
  },
  {
    name: 'commit-beyond-agreement',
    why: 'A follower commits up to the end of its log, though the leader has told only the start of it (3.5).',
    file: 'control/raft/core/log.ts',
    find: 'this.commitTo(Math.min(committed, lastNew));',
    replace: 'this.commitTo(Math.min(committed, this.lastIndex()));',
  },
  {
    name: 'heartbeat-commit-unbounded',
    why: 'A heartbeat tells a commit index beyond what the follower is known to have.',
    file: 'control/raft/core/replication-leader.ts',
    find: 'Math.min(progress.match, raft.log.committed)',
    replace: 'raft.log.committed',
  },
  {
    name: 'rejection-raises-match',
    why: 'A leader takes the hint in a rejection for an acknowledgement.',
    file: 'control/raft/core/step-leader.ts',
    find: '  if (!progress.maybeDecreaseTo(message.index, hint)) return;',
    replace: '  if (!progress.maybeDecreaseTo(message.index, hint)) return;\n  progress.maybeUpdate(hint);',
  },
  {
    name: 'match-kept-over-terms',
    why: 'A new leader believes what it knew of the followers in an earlier term.',
    file: 'control/raft/core/raft.ts',
    find: 'progress.reset(last + 1, id === this.id ? last : 0)',
    replace: 'progress.reset(last + 1, id === this.id ? last : Math.min(last, progress.match))',
  },
  {
    name: 'stale-write-report-believed',
    why: 'Asynchronous storage: a report about entries that were replaced meanwhile makes the new ones stable.',
    file: 'control/raft/core/unstable.ts',
    find: '    if (present !== term) {',
    replace: '    if (present === undefined) {',
  },
  {
    name: 'unstable-entries-applied',
    why: 'Asynchronous storage: entries are applied before they are on this disk, which a crash then lacks.',
    file: 'control/raft/core/log.ts',
    find: 'return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1);',
    replace: 'return this.committed;',
  },
  {
    name: 'snapshot-backwards',
    why: 'A snapshot that is older than the state takes its place.',
    file: 'control/raft/core/membership.ts',
    find: 'if (index <= raft.log.committed) return false;',
    replace: '',
  },
  {
    name: 'snapshot-without-membership',
    why: 'A snapshot is taken over, but not the membership in it.',
    file: 'control/raft/core/membership.ts',
    find: '  raft.log.restore(snapshot);\n  restoreMembership(raft, confState);',
    replace: '  raft.log.restore(snapshot);',
  },
  {
    name: 'read-without-quorum',
    why: 'A leader answers reads without asking whether it still leads (6.4).',
    file: 'control/raft/core/reads.ts',
    find: "raft.config.readOnly === 'lease-based' || isOnlyVoter(raft)",
    replace: "raft.config.readOnly === 'safe' || isOnlyVoter(raft)",
  },
  {
    name: 'read-before-first-commit',
    why: 'A new leader answers reads before it knows how far the log is committed (6.4).',
    file: 'control/raft/core/reads.ts',
    find: 'if (raft.hasCommittedInTerm) serveRead(raft, request);',
    replace: 'if (raft.hasCommittedInTerm || raft.term > 0) serveRead(raft, request);',
  },
  {
    name: 'read-confirmed-by-old-heartbeat',
    why: 'An answer to any heartbeat confirms reads that came after it was sent (6.4).',
    file: 'control/raft/core/read-only.ts',
    find: 'this.#acks.set(from, Math.max(this.#acks.get(from) ?? 0, position));',
    replace: 'this.#acks.set(from, position + this.#unconfirmed.length);',
  },
];
