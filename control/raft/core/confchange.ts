/**
 * Membership changes as pure functions: (membership, progress, changes) -> (membership, progress).
 *
 * One voter at a time may change directly (dissertation 4.1). Anything more goes through joint consensus
 * (4.3), in which decisions need a majority of the old voters and one of the new.
 */

import { invariantBroken, RaftError } from './errors.ts';
import type { Inflights } from './inflights.ts';
import { Progress } from './progress.ts';
import { JointConfig, MajorityConfig } from './quorum.ts';
import type { Membership, ProgressMap } from './tracker.ts';
import type { ConfChangeSingle, ConfState } from './types.ts';

/** Why a change cannot be applied. */
export type ConfChangeRefusal =
  | 'ALREADY_JOINT'
  | 'NOT_JOINT'
  | 'SIMPLE_WHILE_JOINT'
  | 'JOINT_WITHOUT_VOTERS'
  | 'NO_VOTERS_LEFT'
  | 'SEVERAL_VOTERS_CHANGED';

const REFUSALS: Record<ConfChangeRefusal, string> = {
  ALREADY_JOINT: 'the membership is joint already; leave the joint configuration first',
  NOT_JOINT: 'the membership is not joint, so there is nothing to leave',
  SIMPLE_WHILE_JOINT: 'a simple change cannot be applied while the membership is joint; leave it first',
  JOINT_WITHOUT_VOTERS: 'a membership without voters cannot become joint; add a first voter directly',
  NO_VOTERS_LEFT: 'the change would remove all voters; keep at least one',
  SEVERAL_VOTERS_CHANGED: 'the change affects several voters at once; use joint consensus',
};

/** `INVALID_CONF_CHANGE` with the rule that the change breaks. */
export class ConfChangeError extends RaftError {
  readonly refusal: ConfChangeRefusal;

  constructor(refusal: ConfChangeRefusal) {
    super('INVALID_CONF_CHANGE', REFUSALS[refusal]);
    this.refusal = refusal;
  }
}

/** What a change starts from. */
export interface ChangeBase {
  readonly membership: Membership;
  readonly progress: ProgressMap;
  /** New members are probed from here on. */
  readonly lastIndex: number;
  readonly newInflights: () => Inflights;
}

/** What a change leads to. The progress objects are new ones; those of the base are left as they are. */
export interface ChangeResult {
  readonly membership: Membership;
  readonly progress: ProgressMap;
}

/** Enters a joint configuration that leads to `changes`. Throws ConfChangeError. */
export function enterJoint(
  base: ChangeBase,
  autoLeave: boolean,
  changes: readonly ConfChangeSingle[],
): ChangeResult {
  const draft = new Draft(base);
  if (draft.isJoint) throw new ConfChangeError('ALREADY_JOINT');
  if (draft.incoming.size === 0) throw new ConfChangeError('JOINT_WITHOUT_VOTERS');
  for (const id of draft.incoming) draft.outgoing.add(id);
  draft.apply(changes);
  draft.autoLeave = autoLeave;
  return draft.result();
}

/** Leaves the joint configuration for its incoming half. Throws ConfChangeError. */
export function leaveJoint(base: ChangeBase): ChangeResult {
  const draft = new Draft(base);
  if (!draft.isJoint) throw new ConfChangeError('NOT_JOINT');
  draft.leave();
  return draft.result();
}

/** Changes at most one voter (and any number of learners) directly. Throws ConfChangeError. */
export function changeSimply(base: ChangeBase, changes: readonly ConfChangeSingle[]): ChangeResult {
  const draft = new Draft(base);
  if (draft.isJoint) throw new ConfChangeError('SIMPLE_WHILE_JOINT');
  draft.apply(changes);
  if (countDifferences(base.membership.voters.incoming.ids, draft.incoming) > 1) {
    throw new ConfChangeError('SEVERAL_VOTERS_CHANGED');
  }
  return draft.result();
}

/** How many ids are in one of the two and not in the other. `before` has no repetitions. */
function countDifferences(before: readonly number[], after: ReadonlySet<number>): number {
  const kept = before.filter((id) => after.has(id)).length;
  return before.length + after.size - 2 * kept;
}

/** Rebuilds a stored membership on top of an empty base, by the changes that could have led to it. */
export function restoreConfState(base: ChangeBase, state: ConfState): ChangeResult {
  const add = (nodeId: number): ConfChangeSingle => ({ type: 'ConfChangeAddNode', nodeId });
  const addLearner = (nodeId: number): ConfChangeSingle => ({ type: 'ConfChangeAddLearnerNode', nodeId });
  const remove = (nodeId: number): ConfChangeSingle => ({ type: 'ConfChangeRemoveNode', nodeId });
  const incoming = [...state.voters.map(add), ...state.learners.map(addLearner)];

  let current = base;
  const oneByOne = (changes: readonly ConfChangeSingle[]) => {
    for (const change of changes) current = { ...current, ...changeSimply(current, [change]) };
  };
  if (state.votersOutgoing.length === 0) {
    oneByOne(incoming);
    return current;
  }
  // The outgoing half first, as the only one; then a joint change that takes all of it away and adds the rest.
  oneByOne(state.votersOutgoing.map(add));
  return enterJoint(current, state.autoLeave, [
    ...state.votersOutgoing.map(remove),
    ...incoming,
    ...state.learnersNext.map(addLearner),
  ]);
}

/** A membership that is being changed. */
class Draft {
  readonly incoming: Set<number>;
  readonly outgoing: Set<number>;
  readonly learners: Set<number>;
  readonly learnersNext: Set<number>;
  autoLeave: boolean;
  readonly #progress: Map<number, Progress>;
  readonly #base: ChangeBase;

  constructor(base: ChangeBase) {
    const { membership } = base;
    this.#base = base;
    this.incoming = new Set(membership.voters.incoming.ids);
    this.outgoing = new Set(membership.voters.outgoing.ids);
    this.learners = new Set(membership.learners);
    this.learnersNext = new Set(membership.learnersNext);
    this.autoLeave = membership.autoLeave;
    this.#progress = new Map();
    for (const [id, progress] of base.progress) this.#progress.set(id, progress.successor());
  }

  get isJoint(): boolean {
    return this.outgoing.size > 0;
  }

  apply(changes: readonly ConfChangeSingle[]): void {
    for (const { type, nodeId } of changes) {
      if (nodeId === 0) continue;
      switch (type) {
        case 'ConfChangeAddNode':
          this.#makeVoter(nodeId);
          break;
        case 'ConfChangeAddLearnerNode':
          this.#makeLearner(nodeId);
          break;
        case 'ConfChangeRemoveNode':
          this.#remove(nodeId);
          break;
        case 'ConfChangeUpdateNode':
          break;
      }
    }
    if (this.incoming.size === 0) throw new ConfChangeError('NO_VOTERS_LEFT');
  }

  /** Drops the outgoing half: demoted voters become learners, those in neither half are forgotten. */
  leave(): void {
    for (const id of this.learnersNext) {
      this.learners.add(id);
      this.#member(id).isLearner = true;
    }
    this.learnersNext.clear();
    for (const id of this.outgoing) {
      if (!this.incoming.has(id) && !this.learners.has(id)) this.#progress.delete(id);
    }
    this.outgoing.clear();
    this.autoLeave = false;
  }

  result(): ChangeResult {
    this.#check();
    const voters = new JointConfig(new MajorityConfig(this.incoming), new MajorityConfig(this.outgoing));
    const { learners, learnersNext, autoLeave } = this;
    return { membership: { voters, learners, learnersNext, autoLeave }, progress: this.#progress };
  }

  #makeVoter(id: number): void {
    const progress = this.#progress.get(id);
    if (progress === undefined) {
      this.#join(id, false);
    } else {
      progress.isLearner = false;
      this.learners.delete(id);
      this.learnersNext.delete(id);
    }
    this.incoming.add(id);
  }

  #makeLearner(id: number): void {
    const progress = this.#progress.get(id);
    if (progress === undefined) {
      this.#join(id, true);
      this.learners.add(id);
      return;
    }
    if (progress.isLearner) return;
    this.#remove(id);
    this.#progress.set(id, progress);
    // A voter of the outgoing half keeps voting there until the joint configuration is left.
    if (this.outgoing.has(id)) {
      this.learnersNext.add(id);
    } else {
      progress.isLearner = true;
      this.learners.add(id);
    }
  }

  #remove(id: number): void {
    this.incoming.delete(id);
    this.learners.delete(id);
    this.learnersNext.delete(id);
    if (!this.outgoing.has(id)) this.#progress.delete(id);
  }

  #join(id: number, isLearner: boolean): void {
    const progress = new Progress(Math.max(this.#base.lastIndex, 1), 0, this.#base.newInflights(), isLearner);
    // Or the next quorum check could come before the new member had any chance to answer.
    progress.recentActive = true;
    this.#progress.set(id, progress);
  }

  #member(id: number): Progress {
    return this.#progress.get(id) ?? invariantBroken(`member ${id} has no progress`);
  }

  #check(): void {
    for (const id of this.incoming) this.#member(id);
    for (const id of this.outgoing) this.#member(id);
    for (const id of this.learnersNext) {
      if (!this.outgoing.has(id)) invariantBroken(`next learner ${id} is no voter of the outgoing half`);
      if (this.#member(id).isLearner) invariantBroken(`next learner ${id} is a learner already`);
    }
    for (const id of this.learners) {
      if (this.outgoing.has(id) || this.incoming.has(id)) invariantBroken(`learner ${id} is a voter as well`);
      if (!this.#member(id).isLearner) invariantBroken(`learner ${id} is not marked as one`);
    }
    if (!this.isJoint && (this.learnersNext.size > 0 || this.autoLeave)) {
      invariantBroken('next learners or auto-leave outside of a joint configuration');
    }
  }
}
