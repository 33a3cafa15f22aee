/**
 * The vocabulary of the Raft core: what is stored, what travels between nodes, and what the core asks of
 * its surroundings. Data only, no behaviour.
 *
 * Numbers: ids, terms and indexes are JavaScript numbers that must be safe integers (at most 2^53 - 1). Id 0
 * means "no node", index 0 "before the first entry" and term 0 "none" or "local". Sizes are bytes, and
 * `Infinity` means no limit. Byte arrays are never copied and must not be changed once handed over.
 *
 * Follows Ongaro's dissertation "Consensus: Bridging Theory and Practice" (2014), and the message flow of
 * etcd-io/raft, whose transcripts the core replays.
 */

/** The id that stands for "no node": no leader, no vote. */
export const NO_NODE = 0;

/** Target of MsgStorageAppend: whatever writes log entries, hard state and snapshots durably. */
export const LOCAL_APPEND_THREAD = Number.MAX_SAFE_INTEGER;

/** Target of MsgStorageApply: whatever applies committed entries to the state machine. */
export const LOCAL_APPLY_THREAD = Number.MAX_SAFE_INTEGER - 1;

/** An empty byte array, shared. */
export const NO_BYTES: Uint8Array = new Uint8Array(0);

/** What an entry's data holds: a command, a `ConfChange` or a `ConfChangeV2` (both in the codec's format). */
export type EntryType = 'EntryNormal' | 'EntryConfChange' | 'EntryConfChangeV2';

/** One slot of the replicated log. Immutable once it has a term and an index. */
export interface Entry {
  readonly type: EntryType;
  readonly term: number;
  readonly index: number;
  /** Empty for the entry with which a new leader opens its term, and for leaving a joint configuration. */
  readonly data: Uint8Array;
}

/** What must be durable before any answer that depends on it leaves the node (dissertation, 3.8). */
export interface HardState {
  readonly term: number;
  /** The candidate voted for in `term`, or 0. */
  readonly vote: number;
  /** Need not be durable: a stale value is safe, since the leader tells it anew. */
  readonly commit: number;
}

/** A membership as stored in snapshots. Joint while `votersOutgoing` is not empty. Lists are sorted by id. */
export interface ConfState {
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  readonly votersOutgoing: readonly number[];
  /** Voters of the outgoing half that become learners once the joint configuration is left. */
  readonly learnersNext: readonly number[];
  /** The leader leaves the joint configuration by itself as soon as it is applied. */
  readonly autoLeave: boolean;
}

/** Where in the log a snapshot stands, and the membership there. */
export interface SnapshotMetadata {
  readonly confState: ConfState;
  /** The last entry that the snapshot covers. 0: there is no snapshot. */
  readonly index: number;
  readonly term: number;
}

/** The state machine up to and including `metadata.index`. */
export interface Snapshot {
  readonly data: Uint8Array;
  readonly metadata: SnapshotMetadata;
}

/** One step of a membership change. UpdateNode changes nothing in the core and only carries a context. */
export type ConfChangeType =
  | 'ConfChangeAddNode'
  | 'ConfChangeRemoveNode'
  | 'ConfChangeUpdateNode'
  | 'ConfChangeAddLearnerNode';

/** How a `ConfChangeV2` passes through joint consensus. Auto: only if it has more than one change. */
export type ConfChangeTransition =
  | 'ConfChangeTransitionAuto'
  | 'ConfChangeTransitionJointImplicit'
  | 'ConfChangeTransitionJointExplicit';

/** One change of one member. */
export interface ConfChangeSingle {
  readonly type: ConfChangeType;
  /** 0 makes the change a no-op, which lets an application void a change that is committed already. */
  readonly nodeId: number;
}

/** A membership change of one member, never joint. */
export interface ConfChange {
  readonly type: ConfChangeType;
  readonly nodeId: number;
  /** Opaque to the core. */
  readonly context: Uint8Array;
  /** Opaque to the core. */
  readonly id: number;
}

/** A membership change of any number of members. With no changes and transition Auto it leaves a joint one. */
export interface ConfChangeV2 {
  readonly transition: ConfChangeTransition;
  readonly changes: readonly ConfChangeSingle[];
  /** Opaque to the core. */
  readonly context: Uint8Array;
}

/** Either form of a membership change. `'changes' in change` tells them apart. */
export type AnyConfChange = ConfChange | ConfChangeV2;

/**
 * All kinds of messages. Between nodes: Prop, App(Resp), Vote(Resp), Snap, Heartbeat(Resp), TransferLeader,
 * TimeoutNow, ReadIndex(Resp), PreVote(Resp). Local ones never travel: Hup, Beat, Unreachable, SnapStatus,
 * CheckQuorum, ForgetLeader and the four Storage kinds.
 */
export type MessageType =
  | 'MsgHup'
  | 'MsgBeat'
  | 'MsgProp'
  | 'MsgApp'
  | 'MsgAppResp'
  | 'MsgVote'
  | 'MsgVoteResp'
  | 'MsgSnap'
  | 'MsgHeartbeat'
  | 'MsgHeartbeatResp'
  | 'MsgUnreachable'
  | 'MsgSnapStatus'
  | 'MsgCheckQuorum'
  | 'MsgTransferLeader'
  | 'MsgTimeoutNow'
  | 'MsgReadIndex'
  | 'MsgReadIndexResp'
  | 'MsgPreVote'
  | 'MsgPreVoteResp'
  | 'MsgStorageAppend'
  | 'MsgStorageAppendResp'
  | 'MsgStorageApply'
  | 'MsgStorageApplyResp'
  | 'MsgForgetLeader';

/**
 * One message. All fields are always present, so that every message has one shape; `newMessage` fills in the
 * defaults (0, empty, null, false). The core owns a message until a Ready hands it out; after that, and after
 * it was passed to `step`, it must not be changed.
 */
export interface Message {
  type: MessageType;
  to: number;
  from: number;
  /** 0 for local messages and for those that are forwarded to the leader. */
  term: number;
  /** MsgApp: the term of the entry at `index`. Vote requests: of the candidate's last entry. Rejections: of
   * the follower's entry at `rejectHint`. */
  logTerm: number;
  /** MsgApp: the entry just before `entries`. MsgAppResp: the last one acknowledged, or the one rejected. */
  index: number;
  entries: readonly Entry[];
  commit: number;
  /** MsgStorageAppend only. */
  vote: number;
  /** MsgSnap, MsgStorageAppend and MsgStorageAppendResp only. */
  snapshot: Snapshot | null;
  reject: boolean;
  /** MsgAppResp with `reject`: the last index at which the logs might agree. */
  rejectHint: number;
  /** Heartbeats: position of the newest pending read. Votes: marks a leader transfer. */
  context: Uint8Array;
  /** MsgStorageAppend and MsgStorageApply: to be delivered, in order, once the work is done. */
  responses: readonly Message[];
}

/** What a node takes itself for. */
export type RaftRole = 'StateFollower' | 'StateCandidate' | 'StateLeader' | 'StatePreCandidate';

/** Volatile state, for information. */
export interface SoftState {
  /** The leader that this node knows of, or 0. */
  readonly lead: number;
  readonly role: RaftRole;
}

/** The answer to `readIndex`: once `index` is applied, a read is linearizable (dissertation, 6.4). */
export interface ReadState {
  readonly index: number;
  /** The bytes that were passed to `readIndex`. */
  readonly context: Uint8Array;
}

/** Work for the application: to be stored, applied and sent, in the order that `RawNode.ready` tells. */
export interface Ready {
  /** Set if it changed. */
  readonly softState: SoftState | null;
  /** Set if it changed. To be stored before `messages` are sent. */
  readonly hardState: HardState | null;
  readonly readStates: readonly ReadState[];
  /** To be appended to stable storage before `messages` are sent; replaces what stands at these indexes. */
  readonly entries: readonly Entry[];
  /** To be stored, and applied, before `entries` and `committedEntries`. */
  readonly snapshot: Snapshot | null;
  /** To be applied to the state machine, in order. */
  readonly committedEntries: readonly Entry[];
  readonly messages: readonly Message[];
  /**
   * `hardState` and `entries` must be durable (fsync) before `messages` are sent. False: at most the commit
   * index moved. A `snapshot` must always be durable before that, whatever this says.
   */
  readonly mustSync: boolean;
}

/** The log lines of the core. A missing logger costs nothing, since no line is then built. */
export interface Logger {
  debug(line: string): void;
  info(line: string): void;
  warn(line: string): void;
  error(line: string): void;
}

/**
 * Read access to what was stored durably. Synchronous: what may be slow belongs behind a cache. Failures
 * other than the coded ones below are fatal to the node.
 */
export interface Storage {
  /** What a restart begins with. Zeroes and empty lists if nothing was stored yet. */
  initialState(): { readonly hardState: HardState; readonly confState: ConfState };
  /**
   * The entries in [lo, hi), cut so that their `entrySize` sums to at most `maxBytes`, but at least one. The
   * caller owns the array. Throws `COMPACTED` if `lo` is gone, `UNAVAILABLE` if an entry is not there yet.
   */
  entries(lo: number, hi: number, maxBytes: number): Entry[];
  /**
   * The term of entry `index`, which is in [firstIndex() - 1, lastIndex()]: the entry before the first is
   * remembered by term. Throws `COMPACTED` below that and `UNAVAILABLE` above.
   */
  term(index: number): number;
  /** The index of the first entry that is kept; 1 + the snapshot's index if none is. */
  firstIndex(): number;
  /** The index of the last entry; the snapshot's index if none is kept. */
  lastIndex(): number;
  /**
   * The newest snapshot. Throws `SNAPSHOT_TEMPORARILY_UNAVAILABLE` while one is being made. It must come to
   * cover the last applied membership change: a node that is added later than that ignores it.
   */
  snapshot(): Snapshot;
}

/** How a linearizable read is confirmed: by a round of heartbeats, or by the leader's lease (clock drift!). */
export type ReadOnlyOption = 'safe' | 'lease-based';

/** What a node is started with. Ticks are calls of `RawNode.tick`. */
export interface Config {
  /** This node's id, not 0. */
  readonly id: number;
  /** Ticks without a leader after which an election begins, at the least; the bound is drawn from [n, 2n). */
  readonly electionTicks: number;
  /** Ticks between heartbeats; less than `electionTicks`, best a tenth of it. */
  readonly heartbeatTicks: number;
  readonly storage: Storage;
  /** The last index that the state machine has applied, for a restart. Default: the snapshot's index. */
  readonly applied?: number | undefined;
  /** Storage work is handed out as MsgStorageAppend/-Apply messages, and `advance` is not used. */
  readonly asyncStorageWrites?: boolean | undefined;
  /** Bytes of entries per MsgApp. 0: one entry each. Infinity: no limit. */
  readonly maxMessageBytes: number;
  /** Bytes of committed entries that are being applied at one time. Default (or 0): `maxMessageBytes`. */
  readonly maxApplyingBytes?: number | undefined;
  /** Bytes of proposals not yet committed, above which a leader drops proposals. Default (or 0): no limit. */
  readonly maxUncommittedBytes?: number | undefined;
  /** MsgApps on their way to one follower. At least 1. */
  readonly maxInflightMessages: number;
  /** Bytes on their way to one follower, at least `maxMessageBytes`. Default (or 0): no limit. */
  readonly maxInflightBytes?: number | undefined;
  /** Reads that wait for confirmation, above which more are refused. Default: `DEFAULT_MAX_PENDING_READS`. */
  readonly maxPendingReads?: number | undefined;
  /** A leader that has not heard of a quorum for an election timeout steps down (dissertation, 6.2). */
  readonly checkQuorum?: boolean | undefined;
  /** Ask whether an election could be won before raising the term (dissertation, 9.6). */
  readonly preVote?: boolean | undefined;
  /** Default: safe. 'lease-based' needs `checkQuorum`. */
  readonly readOnly?: ReadOnlyOption | undefined;
  /** Followers drop proposals instead of passing them on to the leader. */
  readonly disableProposalForwarding?: boolean | undefined;
  /** Accept membership changes without comparing them with the active configuration. */
  readonly disableConfChangeValidation?: boolean | undefined;
  /** A leader that is removed, or made a learner, steps down when it applies that. */
  readonly stepDownOnRemoval?: boolean | undefined;
  /** Randomness in [0, 1), the only source that the core has. */
  readonly random: () => number;
  readonly logger?: Logger | undefined;
}
