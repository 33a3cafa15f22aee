/**
 * The one loop around the Raft core: time, messages and proposals go in; what comes out is stored, sent and applied.
 *
 * Storage works beside the loop (the core's asynchronous storage writes), so that a slow disk delays commits but not
 * heartbeats: while one durable write is on its way, all that is to be written next gathers, and goes out as one
 * transaction. Messages that depend on a write leave after it, because the core hands them out with it.
 */
import type { Logger } from 'pino';
import { shoalError } from '../errors.ts';
import type { Command } from '../store/commands.ts';
import type { State } from '../store/state.ts';
import {
  type AnyConfChange,
  type BasicStatus,
  type ConfState,
  decodeConfChange,
  type Entry,
  isRaftError,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  RawNode,
  type Snapshot,
  type Status,
} from './core/index.ts';
import { decodeProposal, encodeProposal, proposalLimit_bytes } from './entry-data.ts';
import { type Outcome, PendingProposals } from './pending.ts';
import type { RaftStorage } from './storage.ts';
import { LogWriter } from './writer.ts';

/** Messages from other members that wait for the loop; the oldest are dropped, since Raft sends again. */
export const inboxLimit = 4_096;
/** Entries after the snapshot, by size, above which a new snapshot is made whatever their number. */
const log_bytes_limit = 32 * 1024 * 1024;
const messageLimit_bytes = 1024 * 1024;
const uncommittedLimit_bytes = 64 * 1024 * 1024;

export type DriverOptions = {
  raftId: number;
  storage: RaftStorage;
  /** Is applied to; must be empty at first. */
  state: State;
  log: Logger;
  tick_ms: number;
  electionTicks: number;
  heartbeatTicks: number;
  /** Entries between two snapshots. */
  snapshotEntries: number;
  /** Sends a message to another member; may drop it. */
  send: (message: Message) => void;
  /** Leader or role changed. */
  onLeadership: (lead: number, isLeader: boolean) => void;
  /** The node cannot go on (storage failed, or an invariant is broken). */
  onFatal: (error: Error) => void;
};

/** One Raft member at work. */
export class RaftDriver {
  readonly #options: DriverOptions;
  readonly #node: RawNode;
  readonly #pending = new PendingProposals();
  #inbox: Message[] = [];
  #proposals: { requestId: string; data: Uint8Array }[] = [];
  readonly #writer: LogWriter;
  #snapshotIndex: number;
  #confState: ConfState;
  #membershipChanging = false;
  #liveSnapshot: Snapshot | null = null;
  #ticker: NodeJS.Timeout | null = null;
  #scheduled = false;
  #ticks = 0;
  #closed = false;
  #lead = 0;
  #isLeader = false;
  #leaderTerm = 0;
  readonly counters = { droppedInbox: 0, steppedErrors: 0, droppedProposals: 0, applied: 0 };

  /** Brings the state to the stored snapshot and gets ready; `start` begins. */
  constructor(options: DriverOptions) {
    this.#options = options;
    const { storage, state } = options;
    const snapshot = storage.storedSnapshot();
    const { index, confState } = snapshot.metadata;
    if (index > 0) state.load(snapshot.data);
    this.#snapshotIndex = index;
    this.#confState = confState;
    this.#writer = new LogWriter({
      storage,
      onSaved: (message) => this.#saved(message),
      onFailure: (error) => this.#fail(error),
    });
    storage.setLiveSnapshots(() => this.#snapshotNow());
    this.#node = new RawNode({
      id: options.raftId,
      electionTicks: options.electionTicks,
      heartbeatTicks: options.heartbeatTicks,
      storage,
      applied: index,
      asyncStorageWrites: true,
      maxMessageBytes: messageLimit_bytes,
      maxUncommittedBytes: uncommittedLimit_bytes,
      maxInflightMessages: 256,
      maxInflightBytes: 16 * messageLimit_bytes,
      checkQuorum: true,
      preVote: true,
      disableProposalForwarding: true,
      stepDownOnRemoval: true,
      random: Math.random,
      logger: loggerFor(options.log),
    });
  }

  get isLeader(): boolean {
    return this.#isLeader;
  }
  /** Raft id of the leader that this node knows of, or 0. */
  get lead(): number {
    return this.#lead;
  }
  /** The membership as of the last applied entry. */
  get confState(): ConfState {
    return this.#confState;
  }
  get closed(): boolean {
    return this.#closed;
  }

  start(): void {
    this.#ticker = setInterval(() => this.#tick(), this.#options.tick_ms);
    // A sole voter has no one to wait for.
    const { voters } = this.#confState;
    if (voters.length === 1 && voters[0] === this.#options.raftId) this.#guard(() => this.#node.campaign());
    this.#schedule();
  }

  /** Stops, after the write that is on its way. Waiting proposers are told that their outcome is unknown. */
  async close(): Promise<void> {
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#closed = true;
    this.#pending.rejectAll('this node stopped');
    await this.#writer.stop();
  }

  /** Takes in a message from another member. Never throws; too many drop the oldest. */
  receive(message: Message): void {
    if (this.#closed) return;
    if (this.#inbox.length >= inboxLimit) {
      this.#inbox.shift();
      this.counters.droppedInbox += 1;
    }
    this.#inbox.push(message);
    this.#schedule();
  }

  /**
   * Proposes a command and waits for its entry to be applied here. Throws NOT_LEADER or OVERLOADED if it was not
   * proposed, TIMEOUT if its outcome is unknown.
   */
  propose(requestId: string, command: Command, timeout_ms: number): Promise<Outcome> {
    if (this.#closed || !this.#isLeader) return Promise.reject(shoalError('NOT_LEADER'));
    const data = encodeProposal({ requestId, command });
    if (data.length > proposalLimit_bytes) {
      const reason = `the change has ${data.length} bytes; at most ${proposalLimit_bytes} fit`;
      return Promise.reject(shoalError('BAD_REQUEST', { reason }));
    }
    const before = this.#pending.size;
    const outcome = this.#pending.wait(requestId, performance.now() + timeout_ms);
    if (this.#pending.size > before) this.#proposals.push({ requestId, data });
    this.#schedule();
    return outcome;
  }

  /** Proposes a membership change. Whether it came about is seen in `confState`. Throws NOT_LEADER. */
  proposeMembership(change: AnyConfChange): void {
    if (!this.#isLeader) throw shoalError('NOT_LEADER');
    try {
      this.#node.proposeConfChange(change);
    } catch (error) {
      if (!isRaftError(error, 'PROPOSAL_DROPPED')) throw error;
      this.counters.droppedProposals += 1;
    }
    this.#schedule();
  }

  /** Asks the core to hand leadership to another voter. */
  transferLeader(raftId: number): void {
    this.#node.transferLeader(raftId);
    this.#schedule();
  }

  /** A message to this member could not be delivered. */
  reportUnreachable(raftId: number): void {
    if (this.#closed) return;
    this.#node.reportUnreachable(raftId);
    this.#schedule();
  }

  /** How the sending of a snapshot to this member ended. */
  reportSnapshot(raftId: number, outcome: 'finish' | 'failure'): void {
    if (this.#closed) return;
    this.#node.reportSnapshot(raftId, outcome);
    this.#schedule();
  }

  status(): Status {
    return this.#node.status();
  }

  /** All counters of the loop and its tables. */
  allCounters(): Record<string, number> {
    return {
      ...this.counters,
      ...this.#pending.counters,
      ...this.#options.storage.counters,
      pendingProposals: this.#pending.size,
    };
  }

  #tick(): void {
    this.#ticks += 1;
    if (this.#ticks % 10 === 0) this.#pending.expire(performance.now());
    this.#guard(() => {
      this.#node.tick();
      this.#process();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#guard(() => this.#process());
    });
  }

  #guard(work: () => void): void {
    if (this.#closed) return;
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.#options.log.fatal({ err: error }, 'raft stopped on this node');
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#closed = true;
    this.#isLeader = false;
    this.#pending.rejectAll('Raft stopped on this node');
    this.#options.onFatal(error instanceof Error ? error : new Error(String(error)));
  }

  #process(): void {
    const inbox = this.#inbox;
    this.#inbox = [];
    for (const message of inbox) this.#step(message);
    this.#proposeAll();
    while (this.#node.hasReady() && !this.#closed) this.#handleReady();
    this.#noticeLeadership(this.#node.basicStatus());
  }

  #step(message: Message): void {
    try {
      this.#node.step(message);
    } catch (error) {
      if (isRaftError(error, 'INVARIANT')) throw error;
      this.counters.steppedErrors += 1;
      this.#options.log.debug({ err: error, type: message.type, from: message.from }, 'raft message refused');
    }
  }

  #proposeAll(): void {
    const proposals = this.#proposals;
    this.#proposals = [];
    for (const { requestId, data } of proposals) {
      try {
        this.#node.propose(data);
      } catch (error) {
        if (!isRaftError(error, 'PROPOSAL_DROPPED')) throw error;
        this.counters.droppedProposals += 1;
        this.#pending.reject(requestId, shoalError('NO_LEADER', { reason: 'this manager stopped leading' }));
      }
    }
  }

  #handleReady(): void {
    const ready = this.#node.ready();
    for (const message of ready.messages) {
      if (message.to === LOCAL_APPEND_THREAD) this.#writer.append(message);
      else if (message.to === LOCAL_APPLY_THREAD) this.#applyAll(message);
      else this.#options.send(message);
    }
  }

  /** A storage message is durable: its snapshot becomes the state, its answers go out. */
  #saved(message: Message): void {
    this.#guard(() => {
      if (message.snapshot !== null) this.#install(message.snapshot);
      this.#deliver(message.responses);
    });
  }

  #install(snapshot: Snapshot): void {
    this.#options.state.load(snapshot.data);
    this.#confState = snapshot.metadata.confState;
    this.#snapshotIndex = snapshot.metadata.index;
    this.#liveSnapshot = null;
    this.#options.log.info({ index: this.#snapshotIndex }, 'caught up by a snapshot of the store');
  }

  /** Answers of storage work: those for this node go to the core, the others to the network. */
  #deliver(responses: readonly Message[]): void {
    for (const response of responses) {
      if (response.to === this.#options.raftId) this.#step(response);
      else this.#options.send(response);
    }
    this.#schedule();
  }

  #applyAll(message: Message): void {
    for (const entry of message.entries) this.#apply(entry);
    this.#deliver(message.responses);
    this.#compactIfLong();
  }

  #apply(entry: Entry): void {
    const { state } = this.#options;
    this.counters.applied += 1;
    if (entry.type !== 'EntryNormal') {
      this.#membershipChanging = true;
      this.#confState = this.#node.applyConfChange(decodeConfChange(entry));
      this.#membershipChanging = false;
      state.skip(entry.index);
    } else if (entry.data.length === 0) state.skip(entry.index);
    else {
      const { requestId, command } = decodeProposal(entry.data);
      const result = state.apply(entry.index, command, requestId);
      this.#pending.resolve(requestId, { index: entry.index, result });
    }
  }

  /** The state as of now, for a follower that is too far behind; null while its membership is not settled. */
  #snapshotNow(): Snapshot | null {
    const { state, storage } = this.#options;
    const index = state.version;
    if (this.#membershipChanging || index === 0) return null;
    if (this.#liveSnapshot?.metadata.index !== index) {
      const metadata = { index, term: storage.term(index), confState: this.#confState };
      this.#liveSnapshot = { data: state.snapshot(), metadata };
    }
    return this.#liveSnapshot;
  }

  #compactIfLong(): void {
    const { state, storage, snapshotEntries } = this.#options;
    const entries = state.version - this.#snapshotIndex;
    if (this.#writer.compacting || entries === 0) return;
    if (entries < snapshotEntries && storage.log_bytes < log_bytes_limit) return;
    const snapshot = this.#snapshotNow();
    if (snapshot === null) return;
    const { index } = snapshot.metadata;
    const keep = storage.log_bytes < log_bytes_limit ? Math.floor(snapshotEntries / 4) : 0;
    this.#snapshotIndex = index;
    this.#liveSnapshot = null;
    this.#writer.compact(snapshot, index - keep);
  }

  #noticeLeadership(status: BasicStatus): void {
    const { lead, role } = status.softState;
    const isLeader = role === 'StateLeader';
    const { term } = status.hardState;
    if (this.#isLeader && (!isLeader || term !== this.#leaderTerm)) {
      this.#proposals = [];
      this.#pending.rejectAll('the leader changed');
    }
    this.#leaderTerm = term;
    if (lead === this.#lead && isLeader === this.#isLeader) return;
    this.#lead = lead;
    this.#isLeader = isLeader;
    this.#options.onLeadership(lead, isLeader);
  }
}

function loggerFor(log: Logger) {
  return {
    debug: (line: string) => log.trace(line),
    info: (line: string) => log.debug(line),
    warn: (line: string) => log.warn(line),
    error: (line: string) => log.error(line),
  };
}
