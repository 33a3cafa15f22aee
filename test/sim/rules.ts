/**
 * What Raft forbids a node to do even where no harm has come of it yet: promises that are not durable, commitment
 * without a quorum, elections that disturb a healthy leader. Checked from above, with sight of all disks.
 */

import type { MemoryStorage } from '../../control/raft/core/memory-storage.ts';
import type { RawNode } from '../../control/raft/core/rawnode.ts';
import type { Config, ConfState, Entry, Message, RaftRole, Snapshot } from '../../control/raft/core/types.ts';
import { Violation } from './violation.ts';

/** What the rules see of a node. */
export interface WatchedNode {
  readonly id: number;
  readonly raft: RawNode | null;
  /** What a crash would leave of its storage. */
  readonly durable: MemoryStorage;
  readonly applied: number;
  /** The memberships that were in force since the node was observed last, the present one at the end. */
  readonly memberships: readonly ConfState[];
}

interface Seen {
  readonly term: number;
  readonly vote: number;
  readonly commit: number;
  readonly lead: number;
  readonly role: RaftRole;
}

/** A node's clock and whom it heard of, by its own ticks. */
interface Contacts {
  ticks: number;
  /** When a leader was heard last. */
  leaderAt: number;
  /** When each member answered this leader last. */
  readonly answeredAt: Map<number, number>;
  /** Since then nothing has happened that puts off a leader's quorum check. */
  steadySince: number;
}

/** Sees each message that is sent or delivered, each tick, and each node after each step of it. */
export class Rules {
  readonly #config: Omit<Config, 'id' | 'storage'>;
  readonly #node: (id: number) => WatchedNode;
  /** The candidate that a node voted for, by `node/term`. */
  readonly #votes = new Map<string, number>();
  readonly #seen = new Map<number, Seen>();
  readonly #contacts = new Map<number, Contacts>();
  /** The highest term that any leader was seen in. */
  newestLedTerm = 0;
  /** The first and the last of the entries that a node handed out to be stored last. */
  readonly #appending = new Map<number, readonly Entry[]>();
  /** The message under way in a node, if it was one that set off what the node does. */
  #cause: Message | null = null;

  constructor(config: Omit<Config, 'id' | 'storage'>, node: (id: number) => WatchedNode) {
    this.#config = config;
    this.#node = node;
  }

  /** A node starts: it remembers what is durable, and no contacts. */
  restarted(id: number): void {
    this.#seen.delete(id);
    this.#appending.delete(id);
    this.#contacts.set(id, {
      ticks: 0,
      leaderAt: Number.NEGATIVE_INFINITY,
      answeredAt: new Map(),
      steadySince: 0,
    });
  }

  /** A message goes out. */
  sent(message: Message): void {
    const { type, from, to, term, index, reject } = message;
    if (type === 'MsgVoteResp' && !reject) {
      this.#checkVote(from, term, to);
      const stored = this.#node(from).durable.initialState().hardState;
      if (stored.term < term || (stored.term === term && stored.vote !== to)) {
        throw new Violation(
          'durable votes',
          `${from} told ${to} its vote of term ${term} before it was on the disk`,
        );
      }
    }
    if (type === 'MsgAppResp' && !reject) {
      const last = this.#node(from).durable.lastIndex();
      if (last < index) {
        throw new Violation(
          'durable acknowledgements',
          `${from} acknowledged ${index}, but its disk ends at ${last}`,
        );
      }
    }
    if (type === 'MsgTimeoutNow') this.#checkTransfer(from, to, term);
  }

  #checkVote(voter: number, term: number, candidate: number): void {
    const key = `${voter}/${term}`;
    const known = this.#votes.get(key);
    if (known !== undefined && known !== candidate) {
      throw new Violation(
        'one vote per term',
        `${voter} voted for ${known} and ${candidate} in term ${term}`,
      );
    }
    this.#votes.set(key, candidate);
  }

  /** Who is told to take over has all that the leader has, unless others lead by now. */
  #checkTransfer(from: number, to: number, term: number): void {
    const target = this.#node(to);
    const leader = this.#node(from);
    if (target.durable.initialState().hardState.term > term) return;
    const last = target.durable.lastIndex();
    if (leader.applied > last || leader.raft?.termOf(last + 1) !== undefined) {
      throw new Violation(
        'transfer',
        `${from} hands leadership to ${to}, whose log ends at ${last} before its own`,
      );
    }
  }

  /** A node's clock ticks. `isQuiet`: it does nothing but go on. */
  ticked(id: number, isQuiet: boolean): void {
    const contacts = this.#contacts.get(id);
    if (contacts === undefined || this.#node(id).raft === null) return;
    contacts.ticks += 1;
    const seen = this.#seen.get(id);
    if (isQuiet) contacts.steadySince = contacts.ticks;
    if (this.#config.checkQuorum === true && seen?.role === 'StateLeader') this.#checkQuorum(id, contacts);
  }

  /** A leader whose quorum check is on has heard from a quorum within two election timeouts. */
  #checkQuorum(id: number, { ticks, steadySince, answeredAt }: Contacts): void {
    const window = 2 * this.#config.electionTicks + 1;
    if (ticks - steadySince <= window) return;
    const membership = this.#node(id).memberships.at(-1);
    const isHeard = (other: number) => other === id || (answeredAt.get(other) ?? -window) >= ticks - window;
    if (membership === undefined || isQuorum(membership, isHeard)) return;
    throw new Violation('quorum check', `${id} leads on, ${window} ticks after it last heard from a quorum`);
  }

  /** Someone asked a leader for a hand-over: it has an election timeout for that. */
  transferAsked(id: number): void {
    const contacts = this.#contacts.get(id);
    if (contacts !== undefined) contacts.steadySince = contacts.ticks;
  }

  /** Delivers a message by `handle`, and looks at what it did. */
  delivered(id: number, message: Message, handle: () => void): void {
    if (message.type === 'MsgTransferLeader') this.transferAsked(id);
    if (this.#node(id).raft === null) return;
    const before = this.#seen.get(id);
    this.#cause = message;
    try {
      handle();
    } finally {
      this.#cause = null;
    }
    const after = this.#seen.get(id);
    const contacts = this.#contacts.get(id);
    if (before === undefined || after === undefined || contacts === undefined) return;
    this.#checkVoteRequest(id, message, before, after, contacts);
    const agreed =
      message.type === 'MsgApp' ? message.index + message.entries.length : Number.POSITIVE_INFINITY;
    if (after.commit > Math.max(before.commit, agreed)) {
      throw new Violation(
        'commit within agreement',
        `${id} commits ${after.commit} by an append that shows agreement up to ${agreed} only`,
      );
    }
    switch (message.type) {
      case 'MsgApp':
      case 'MsgHeartbeat':
      case 'MsgSnap':
        if (message.term === after.term) contacts.leaderAt = contacts.ticks;
        return;
      case 'MsgAppResp':
      case 'MsgHeartbeatResp':
        contacts.answeredAt.set(message.from, contacts.ticks);
        return;
      default:
    }
  }

  /** A question about the future changes nothing, and nobody disturbs who hears from a leader (4.2.3, 9.6). */
  #checkVoteRequest(id: number, message: Message, before: Seen, after: Seen, contacts: Contacts): void {
    const { type, from, term, context } = message;
    const isChanged = after.term !== before.term || after.vote !== before.vote;
    if (type === 'MsgPreVote' && isChanged) {
      throw new Violation(
        'pre-vote',
        `${id} went from term ${before.term} to ${after.term} when ${from} asked`,
      );
    }
    const isLed =
      before.role === 'StateLeader' || contacts.ticks - contacts.leaderAt < this.#config.electionTicks;
    const hasLease = this.#config.checkQuorum === true && before.lead !== 0 && isLed;
    if (type === 'MsgVote' && term > before.term && context.length === 0 && hasLease && isChanged) {
      throw new Violation(
        'lease',
        `${from} disturbed ${id}, whose leader ${before.lead} of term ${before.term} lives`,
      );
    }
  }

  /** A node hands out entries to be stored, in place of all from the first one's index on. */
  appending(id: number, entries: readonly Entry[], snapshot: Snapshot | null): void {
    if (snapshot !== null) this.#appending.delete(id);
    const [first, last] = [entries[0], entries.at(-1)];
    if (first !== undefined && last !== undefined) this.#appending.set(id, [first, last]);
  }

  /** A node has done all that it can: its log has what it handed out last, stored or not. */
  settled(id: number, raft: RawNode): void {
    for (const { index, term } of this.#appending.get(id) ?? []) {
      const found = raft.termOf(index);
      if (found === undefined || found === term) continue;
      throw new Violation('stable log', `${id} reads ${found}/${index}, but has appended ${term}/${index}`);
    }
  }

  /** A node answers a read that was asked when `newestLedTerm` was this: no older leader had a quorum then (6.4). */
  answered(id: number, newestLedTerm: number): void {
    const seen = this.#seen.get(id);
    if (seen?.role !== 'StateLeader' || seen.term >= newestLedTerm) return;
    throw new Violation(
      'reads by the newest leader',
      `${id}, leader of term ${seen.term}, answers a read that was asked in term ${newestLedTerm}`,
    );
  }

  /** Looks at a node after each step of it. */
  observe(id: number, raft: RawNode): void {
    const { hardState, softState } = raft.basicStatus();
    const seen: Seen = { ...hardState, ...softState };
    const before = this.#seen.get(id);
    this.#seen.set(id, seen);
    const { memberships } = this.#node(id);
    const contacts = this.#contacts.get(id);
    const isNewRole = before?.role !== seen.role || before.term !== seen.term;
    if (contacts !== undefined && (isNewRole || memberships.length > 1))
      contacts.steadySince = contacts.ticks;
    if (before === undefined) return;
    if (seen.role === 'StateLeader') {
      this.#checkVote(id, seen.term, id);
      this.newestLedTerm = Math.max(this.newestLedTerm, seen.term);
      if (isNewRole) this.#checkProgress(id, raft, seen.term);
      if (seen.commit > before.commit) this.#checkCommit(id, raft, seen, memberships);
    }
    if (isNewRole) this.#checkCampaign(id, before, seen);
  }

  /** Who campaigns with pre-votes asks first, and begins no term before it has them (9.6). */
  #checkCampaign(id: number, before: Seen, now: Seen): void {
    if (now.role === 'StatePreCandidate' && now.term !== before.term) {
      throw new Violation('pre-vote', `${id} begins term ${now.term} as a pre-candidate`);
    }
    const isAsked = before.role === 'StatePreCandidate' || this.#cause?.type === 'MsgTimeoutNow';
    if (
      this.#config.preVote === true &&
      now.role === 'StateCandidate' &&
      now.term > before.term &&
      !isAsked
    ) {
      throw new Violation('pre-vote', `${id} campaigns for term ${now.term} without pre-votes`);
    }
  }

  /** What a leader takes a member to have is on that member's disk, unless others lead by now. */
  #checkProgress(id: number, raft: RawNode, term: number): void {
    for (const [other, { match }] of raft.status().progress) {
      const own = raft.termOf(match);
      const { durable } = this.#node(other);
      if (other === id || own === undefined || durable.initialState().hardState.term > term) continue;
      if (isStored(durable, match, own)) continue;
      throw new Violation('progress', `leader ${id} of term ${term} takes ${other} to have ${own}/${match}`);
    }
  }

  /** A leader commits what a quorum has on its disks, and by counting only entries of its term (3.6.2). */
  #checkCommit(id: number, raft: RawNode, { term, commit }: Seen, memberships: readonly ConfState[]): void {
    const own = raft.termOf(commit);
    if (own !== term) {
      throw new Violation(
        'commit rule',
        `leader ${id} of term ${term} commits ${commit}, of term ${own}, by counting`,
      );
    }
    const hasEntry = (voter: number) => isStored(this.#node(voter).durable, commit, term);
    if (memberships.some((membership) => isQuorum(membership, hasEntry))) return;
    throw new Violation(
      'commit quorum',
      `leader ${id} commits ${term}/${commit}, which no quorum of ${JSON.stringify(memberships.at(-1))} has`,
    );
  }
}

/** True if a storage has this entry, or a snapshot in its place. */
function isStored(storage: MemoryStorage, index: number, term: number): boolean {
  if (index < storage.firstIndex()) return true;
  return index <= storage.lastIndex() && storage.term(index) === term;
}

/** True if a majority of the voters, and of the outgoing ones while joint, are `counted`. */
function isQuorum({ voters, votersOutgoing }: ConfState, counted: (id: number) => boolean): boolean {
  return [voters, votersOutgoing].every((half) => {
    const wanted = half.length === 0 ? 0 : Math.floor(half.length / 2) + 1;
    return half.filter(counted).length >= wanted;
  });
}
