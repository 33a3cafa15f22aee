/** The state of one node and its changes of role. What drives it stands in step.ts and tick.ts. */

import type { ResolvedConfig } from './config.ts';
import { invariantBroken } from './errors.ts';
import { RaftLog } from './log.ts';
import { newMessage } from './messages.ts';
import { ReadOnly } from './read-only.ts';
import { payloadSize } from './sizes.ts';
import { ProgressTracker } from './tracker.ts';
import { type Entry, type Logger, type Message, NO_BYTES, type RaftRole, type ReadState } from './types.ts';

/** One node's state. Functions in the files next to this one change it; RawNode is the way in. */
export class Raft {
  readonly id: number;
  readonly config: ResolvedConfig;
  readonly logger: Logger | undefined;
  readonly log: RaftLog;
  readonly tracker: ProgressTracker;

  /** The latest term this node has seen. Never falls. */
  term = 0;
  /** The candidate voted for in `term`, or 0. Never changes within a term once it is set. */
  vote = 0;
  role: RaftRole = 'StateFollower';
  /** The leader of `term`, or 0 if it is not known. */
  lead = 0;
  /** This node is a member without a vote. */
  isLearner = false;

  /** Target of a leadership transfer under way, or 0. Proposals are dropped meanwhile. */
  leadTransferee = 0;
  /**
   * At least the index of the last membership change in the log. No further one is proposed before this is
   * applied, so that there is never more than one in flight.
   */
  pendingConfIndex = 0;
  /** Bytes of data that this leader has proposed and not seen applied. May be too low, never too high. */
  uncommittedBytes = 0;

  /** Ticks since the election timer was reset: by a leader's message, a granted vote, or a change of role. */
  electionElapsed = 0;
  /** Ticks since the last heartbeat. Leaders only. */
  heartbeatElapsed = 0;
  /** Drawn anew from [electionTicks, 2 electionTicks) at each change of term or role. */
  randomizedElectionTicks = 0;

  /** Reads waiting for a quorum's confirmation. Leaders only. */
  readOnly = new ReadOnly();
  /** Reads that came before this leader had committed anything in its term. */
  pendingReads: Message[] = [];
  /** Reads refused since too many were waiting. */
  droppedReads = 0;
  /** Answered reads, for the next Ready. */
  readStates: ReadState[] = [];

  /** To be sent at once. Never to this node itself. */
  messages: Message[] = [];
  /** To be sent once all that is unstable now is durable; some are for this node itself. */
  messagesAfterAppend: Message[] = [];

  constructor(config: ResolvedConfig) {
    this.id = config.id;
    this.config = config;
    this.logger = config.logger;
    this.log = new RaftLog(config.storage, config.maxApplyingBytes, config.logger);
    this.tracker = new ProgressTracker(config.maxInflightMessages, config.maxInflightBytes);
  }

  /** True if this node may become leader: it is a voter, and no snapshot is being restored. */
  get isPromotable(): boolean {
    const progress = this.tracker.get(this.id);
    return progress !== undefined && !progress.isLearner && this.log.unstable.snapshot === null;
  }

  /** True if the election timer has run out. */
  get isElectionDue(): boolean {
    return this.electionElapsed >= this.randomizedElectionTicks;
  }

  /** True if this term's leader has committed an entry of its own, so that its commit index is current. */
  get hasCommittedInTerm(): boolean {
    return this.log.term(this.log.committed) === this.term;
  }

  /**
   * Queues a message. Its term is filled in, except for votes (which name the term they are about) and for
   * what is forwarded. What acknowledges a write or a vote waits until all that is unstable is durable.
   */
  send(message: Message): void {
    if (message.from === 0) message.from = this.id;
    switch (message.type) {
      case 'MsgVote':
      case 'MsgVoteResp':
      case 'MsgPreVote':
      case 'MsgPreVoteResp':
        if (message.term === 0) invariantBroken(`${message.type} without a term`);
        break;
      case 'MsgProp':
      case 'MsgReadIndex':
        break;
      default:
        message.term = this.term;
    }
    switch (message.type) {
      case 'MsgAppResp':
      case 'MsgVoteResp':
      case 'MsgPreVoteResp':
        this.messagesAfterAppend.push(message);
        break;
      default:
        if (message.to === this.id) invariantBroken(`${message.type} to the sender itself`);
        this.messages.push(message);
    }
  }

  /**
   * Appends proposals to the log, at this term. False if that would exceed the limit of uncommitted bytes; a
   * first proposal always fits, and so does one without data.
   */
  appendProposals(proposals: readonly Entry[]): boolean {
    const bytes = payloadSize(proposals);
    const { uncommittedBytes } = this;
    if (uncommittedBytes > 0 && bytes > 0 && uncommittedBytes + bytes > this.config.maxUncommittedBytes) {
      this.logger?.warn(
        `${this.id} dropped a proposal: more than ${this.config.maxUncommittedBytes} bytes uncommitted`,
      );
      return false;
    }
    this.uncommittedBytes += bytes;
    let index = this.log.lastIndex();
    const entries: Entry[] = [];
    for (const { type, data } of proposals) {
      index += 1;
      entries.push({ type, term: this.term, index, data });
    }
    this.log.append(entries);
    // The leader acknowledges its own entries too, once they are durable.
    const ack = newMessage('MsgAppResp', this.id);
    ack.index = index;
    this.send(ack);
    return true;
  }

  /** Gives back the share of proposals that are applied. */
  reduceUncommitted(bytes: number): void {
    this.uncommittedBytes = Math.max(0, this.uncommittedBytes - bytes);
  }

  /** Commits what a quorum has, if it is of this term. True if the commit index moved. */
  maybeCommit(): boolean {
    return this.log.maybeCommit(this.tracker.committed(), this.term);
  }

  /** Follows `lead` (0: nobody known) in `term`. */
  becomeFollower(term: number, lead: number): void {
    this.#reset(term);
    this.lead = lead;
    this.role = 'StateFollower';
    this.logger?.info(`${this.id} became follower at term ${this.term}`);
  }

  /** Asks for pre-votes. Neither the term nor the vote changes. */
  becomePreCandidate(): void {
    if (this.role === 'StateLeader') invariantBroken('a leader cannot become a pre-candidate');
    this.tracker.resetVotes();
    this.lead = 0;
    this.role = 'StatePreCandidate';
    this.logger?.info(`${this.id} became pre-candidate at term ${this.term}`);
  }

  /** Begins a new term and votes for itself. */
  becomeCandidate(): void {
    if (this.role === 'StateLeader') invariantBroken('a leader cannot become a candidate');
    this.#reset(this.term + 1);
    this.vote = this.id;
    this.role = 'StateCandidate';
    this.logger?.info(`${this.id} became candidate at term ${this.term}`);
  }

  /** Won the election: opens the term with an empty entry, whose commit also commits all before it. */
  becomeLeader(): void {
    if (this.role === 'StateFollower') invariantBroken('a follower cannot become leader without an election');
    this.#reset(this.term);
    this.lead = this.id;
    this.role = 'StateLeader';
    const own = this.tracker.get(this.id) ?? invariantBroken('a leader must be a member');
    own.becomeReplicate();
    own.recentActive = true;
    // There may be a membership change in the part of the log that is not applied: wait for all of it.
    this.pendingConfIndex = this.log.lastIndex();
    this.appendProposals([{ type: 'EntryNormal', term: 0, index: 0, data: NO_BYTES }]);
    this.logger?.info(`${this.id} became leader at term ${this.term}`);
  }

  #reset(term: number): void {
    if (this.term !== term) {
      this.term = term;
      this.vote = 0;
    }
    this.lead = 0;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    const { electionTicks, random } = this.config;
    this.randomizedElectionTicks = electionTicks + Math.floor(random() * electionTicks);
    this.leadTransferee = 0;
    this.tracker.resetVotes();
    const last = this.log.lastIndex();
    for (const [id, progress] of this.tracker.members) progress.reset(last + 1, id === this.id ? last : 0);
    this.pendingConfIndex = 0;
    this.uncommittedBytes = 0;
    this.readOnly = new ReadOnly();
  }
}
