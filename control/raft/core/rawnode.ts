/** A Raft node as a pure state machine: messages and ticks in, work out. The way into the core. */

import { encodeConfChange } from './codec-confchange.ts';
import { resolveConfig } from './config.ts';
import { assertSafeInteger, invariantBroken, RaftError } from './errors.ts';
import { applyConfChange, asConfChangeV2, restoreMembership } from './membership.ts';
import { isLocalMessage, isLocalTarget, isResponseMessage, newMessage } from './messages.ts';
import { Raft } from './raft.ts';
import { buildReady, type Handed, hasReady, storageAppendResponse, storageApplyResponse } from './ready.ts';
import { entriesSize } from './sizes.ts';
import { type BasicStatus, basicStatusOf, type Status, statusOf } from './status.ts';
import { step } from './step.ts';
import { tick } from './tick.ts';
import {
  type AnyConfChange,
  type Config,
  type ConfState,
  type Entry,
  type Message,
  type MessageType,
  NO_BYTES,
  type Ready,
} from './types.ts';
import { validateMessage } from './validate.ts';

/** How the sending of a snapshot ended. */
export type SnapshotOutcome = 'finish' | 'failure';

/**
 * One node. Not reentrant: whoever drives it calls one method after the other.
 *
 * Each Ready is handled like this: store its snapshot, hard state and entries (durably if `mustSync`), send its
 * messages, apply its committed entries (membership changes through `applyConfChange`), call `advance`. With
 * `asyncStorageWrites` the storage work is in messages to LOCAL_APPEND_THREAD and LOCAL_APPLY_THREAD instead:
 * do the work of each thread in order, then deliver the message's `responses` in order, those for this node by
 * `step`; `advance` is not used.
 */
export class RawNode {
  readonly #raft: Raft;
  readonly #asynchronous: boolean;
  readonly #handed: Handed;
  /** Synchronous mode: what `advance` reports to this node itself. */
  #stepsOnAdvance: Message[] = [];

  /**
   * Starts or restarts a node from its storage. Throws `INVALID_CONFIG`, or `INVARIANT` if the storage has lost
   * entries that were committed.
   */
  constructor(config: Config) {
    const resolved = resolveConfig(config);
    const { hardState, confState } = resolved.storage.initialState();
    const raft = new Raft(resolved);
    restoreMembership(raft, confState);
    raft.term = hardState.term;
    raft.vote = hardState.vote;
    restorePositions(raft, hardState.commit, resolved.applied);
    raft.becomeFollower(raft.term, 0);
    this.#raft = raft;
    this.#asynchronous = resolved.asyncStorageWrites;
    const { softState, hardState: present } = basicStatusOf(raft);
    this.#handed = { softState, hardState: present };
  }

  /** Advances the node's clock. */
  tick(): void {
    tick(this.#raft);
  }

  /** Advances the clock without starting elections or sending heartbeats, while a group sleeps. */
  tickQuiesced(): void {
    this.#raft.electionElapsed += 1;
  }

  /**
   * Handles a message from a peer, or a response from a storage thread. Throws `STEP_LOCAL_MESSAGE`,
   * `STEP_PEER_NOT_FOUND`, `INVALID_MESSAGE`, `PROPOSAL_DROPPED` or `READ_DROPPED`, all of which leave the node
   * as it was and may be ignored; and `INVARIANT`, after which the node must be stopped.
   */
  step(message: Message): void {
    if (!isLocalTarget(message.from)) {
      if (isLocalMessage(message.type)) {
        throw new RaftError(
          'STEP_LOCAL_MESSAGE',
          `${message.type} from node ${message.from}: such messages never travel`,
        );
      }
      if (isResponseMessage(message.type) && this.#raft.tracker.get(message.from) === undefined) {
        throw new RaftError(
          'STEP_PEER_NOT_FOUND',
          `${message.type} from node ${message.from}, which is no member`,
        );
      }
    }
    validateMessage(message);
    step(this.#raft, message);
  }

  /** Starts an election now. */
  campaign(): void {
    step(this.#raft, newMessage('MsgHup', 0));
  }

  /** Proposes a command. Throws `PROPOSAL_DROPPED`; without that it may still get lost with its leader. */
  propose(data: Uint8Array): void {
    this.#propose({ type: 'EntryNormal', term: 0, index: 0, data });
  }

  /**
   * Proposes a membership change; null leaves a joint configuration. One that must not be proposed now is
   * turned into an empty entry. Throws `PROPOSAL_DROPPED`.
   */
  proposeConfChange(change: AnyConfChange | null): void {
    const { type, data } =
      change === null ? { type: 'EntryConfChangeV2' as const, data: NO_BYTES } : encodeConfChange(change);
    this.#propose({ type, term: 0, index: 0, data });
  }

  #propose(entry: Entry): void {
    const proposal = newMessage('MsgProp', 0, this.#raft.id);
    proposal.entries = [entry];
    step(this.#raft, proposal);
  }

  /**
   * Puts a committed membership change in force. Must be called for each, when it is applied. Returns the
   * membership to store with snapshots. Throws `INVALID_CONF_CHANGE`, and nothing has changed then.
   */
  applyConfChange(change: AnyConfChange): ConfState {
    return applyConfChange(this.#raft, asConfChangeV2(change));
  }

  /**
   * Index of a snapshot that is accepted but not reported as stored yet; 0 if there is none. Its membership is
   * in force already, so with asyncStorageWrites entries up to here, handed out before, must not be applied any
   * more.
   */
  get pendingSnapshotIndex(): number {
    return this.#raft.log.unstable.snapshot?.metadata.index ?? 0;
  }

  /** True if `ready` has something to hand out. */
  hasReady(): boolean {
    return hasReady(this.#raft, this.#handed, !this.#asynchronous);
  }

  /** Hands out all work that is pending. In synchronous mode `advance` must follow before the next call. */
  ready(): Ready {
    const raft = this.#raft;
    if (this.#stepsOnAdvance.length > 0) invariantBroken('ready was called twice without advance in between');
    const ready = buildReady(raft, this.#handed, this.#asynchronous);
    if (ready.softState !== null) this.#handed.softState = ready.softState;
    if (ready.hardState !== null) this.#handed.hardState = ready.hardState;
    if (!this.#asynchronous) this.#stepsOnAdvance = this.#reports(ready);
    raft.readStates = [];
    raft.messages = [];
    raft.messagesAfterAppend = [];
    raft.log.unstable.acceptInProgress();
    const lastCommitted = ready.committedEntries.at(-1);
    if (lastCommitted !== undefined) {
      raft.log.acceptApplying(lastCommitted.index, entriesSize(ready.committedEntries), !this.#asynchronous);
    }
    return ready;
  }

  #reports(ready: Ready): Message[] {
    const raft = this.#raft;
    const reports = raft.messagesAfterAppend.filter((message) => message.to === raft.id);
    const appended = storageAppendResponse(raft, ready);
    if (appended !== null) reports.push(appended);
    if (ready.committedEntries.length > 0) reports.push(storageApplyResponse(raft, ready.committedEntries));
    return reports;
  }

  /** Synchronous mode: everything in the last Ready is stored and applied. */
  advance(): void {
    if (this.#asynchronous) invariantBroken('advance was called with asyncStorageWrites');
    const reports = this.#stepsOnAdvance;
    this.#stepsOnAdvance = [];
    for (const report of reports) step(this.#raft, report);
  }

  /**
   * Asks for the index at which a read is linearizable; the answer is a ReadState with this context. None
   * comes if there is no leader, or the request gets lost: ask again. Throws `READ_DROPPED`.
   */
  readIndex(context: Uint8Array): void {
    const request = newMessage('MsgReadIndex', 0);
    request.entries = [{ type: 'EntryNormal', term: 0, index: 0, data: context }];
    step(this.#raft, request);
  }

  /** Asks the leader to hand over to `to`. It drops proposals meanwhile, an election timeout at most. */
  transferLeader(to: number): void {
    this.#stepFrom('MsgTransferLeader', to);
  }

  /** Forgets the leader without a new term, so that this follower grants (pre-)votes at once. */
  forgetLeader(): void {
    step(this.#raft, newMessage('MsgForgetLeader', 0));
  }

  /** Tells that messages to `id` are being lost. */
  reportUnreachable(id: number): void {
    this.#stepFrom('MsgUnreachable', id);
  }

  /** Tells how sending a MsgSnap to `id` ended. Must be called for each; nothing is sent to `id` meanwhile. */
  reportSnapshot(id: number, outcome: SnapshotOutcome): void {
    const message = newMessage('MsgSnapStatus', 0, id);
    message.reject = outcome === 'failure';
    step(this.#raft, message);
  }

  #stepFrom(type: MessageType, from: number): void {
    step(this.#raft, newMessage(type, 0, from));
  }

  /** The state of this node, and on a leader of all members. */
  status(): Status {
    return statusOf(this.#raft);
  }

  /** The state of this node alone. Cheap. */
  basicStatus(): BasicStatus {
    return basicStatusOf(this.#raft);
  }

  /** The term of a log entry, stable or not; undefined if it is compacted or does not exist. */
  termOf(index: number): number | undefined {
    return this.#raft.log.term(index);
  }

  /** Fixes the drawn election timeout until the next change of role, for tests that count ticks. */
  setRandomizedElectionTicks(ticks: number): void {
    assertSafeInteger(ticks, 'ticks');
    this.#raft.randomizedElectionTicks = ticks;
  }
}

/**
 * Sets the commit and apply positions at a restart. What was applied, or is part of a snapshot, was committed,
 * even if the stored commit index is older: that one need not be durable.
 */
function restorePositions({ id, log }: Raft, commit: number, applied: number): void {
  const committed = Math.max(commit, applied, log.committed);
  if (committed > log.lastIndex()) {
    invariantBroken(
      `node ${id} stored commit index ${commit} and applied index ${applied}, but its log ends at ${log.lastIndex()}`,
    );
  }
  log.committed = committed;
  if (applied > log.applied) log.appliedTo(applied, 0);
}
