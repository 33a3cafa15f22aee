/**
 * What must hold in every cluster at all times (Raft's five guarantees, and what clients rely on), checked from
 * above with knowledge that no node has.
 */

import type { RawNode } from '../../control/raft/core/rawnode.ts';
import type { ConfState, Entry } from '../../control/raft/core/types.ts';
import { hashOf, type Machine } from './machine.ts';
import { Violation } from './violation.ts';

interface SeenEntry {
  readonly hash: number;
  /** Term of the entry before it; undefined if no node could tell. */
  readonly previousTerm: number | undefined;
}

/** Sees every node after each step. */
export class Oracle {
  readonly #leaders = new Map<number, number>();
  readonly #entries = new Map<string, SeenEntry>();
  /** Terms of the entries that some node took for committed, by index. */
  readonly #committedTerms: (number | undefined)[] = [];
  readonly #commits = new Map<number, number>();
  readonly #states = new Map<number, { hash: number; confState: string }>();
  #newest: ConfState;
  #newestIndex: number;
  /** Highest index of a write that a client was told is done. */
  acknowledged = 0;
  /** Leaders seen, for statistics. */
  elections = 0;

  constructor(first: ConfState, index: number) {
    this.#newest = first;
    this.#newestIndex = index;
  }

  /** The membership at the newest applied change. */
  get newestConfState(): ConfState {
    return this.#newest;
  }

  /** An index at which that membership was in force. */
  get newestConfIndex(): number {
    return this.#newestIndex;
  }

  /** A node (re)starts: its commit index may be lower than before. */
  restarted(id: number): void {
    this.#commits.delete(id);
  }

  /** Looks at a node after each step of it. */
  observe(id: number, node: RawNode): void {
    const { hardState, softState } = node.basicStatus();
    if (softState.role === 'StateLeader') this.#checkLeader(id, node, hardState.term);
    this.#checkCommit(id, node, hardState.commit);
  }

  /** Election safety: one leader per term. Leader completeness: it has all that is committed. */
  #checkLeader(id: number, node: RawNode, term: number): void {
    const known = this.#leaders.get(term);
    if (known === id) return;
    if (known !== undefined)
      throw new Violation('election safety', `${known} and ${id} both lead term ${term}`);
    this.#leaders.set(term, id);
    this.elections += 1;
    for (const [index, committed] of this.#committedTerms.entries()) {
      if (committed === undefined) continue;
      const own = node.termOf(index);
      if (own === committed || (own === undefined && index < this.#firstKnown(node))) continue;
      throw new Violation(
        'leader completeness',
        `leader ${id} of term ${term} has term ${own} at committed index ${index}, not ${committed}`,
      );
    }
  }

  /** The first index whose term a node can tell: all before it is in its snapshot. */
  #firstKnown(node: RawNode): number {
    const { commit } = node.basicStatus().hardState;
    let low = 0;
    let high = commit;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (node.termOf(middle) === undefined) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Commit indexes never fall, and all nodes commit the same entries. */
  #checkCommit(id: number, node: RawNode, commit: number): void {
    const before = this.#commits.get(id) ?? 0;
    if (commit < before)
      throw new Violation('commit index', `that of ${id} fell from ${before} to ${commit}`);
    this.#commits.set(id, commit);
    for (let index = Math.max(1, before + 1); index <= commit; index += 1) {
      const term = node.termOf(index);
      if (term === undefined) continue;
      const known = this.#committedTerms[index];
      if (known === undefined) this.#committedTerms[index] = term;
      else if (known !== term) {
        throw new Violation(
          'state machine safety',
          `${id} committed ${term}/${index}, others ${known}/${index}`,
        );
      }
    }
  }

  /** Log matching: an entry with a given index and term is the same everywhere, and so is the one before it. */
  appended(id: number, node: RawNode, entries: readonly Entry[]): void {
    for (const { index, term, data, type } of entries) {
      const previousTerm = node.termOf(index - 1);
      const hash = hashOf(data, hashOf(new TextEncoder().encode(type)));
      const key = `${index}/${term}`;
      const known = this.#entries.get(key);
      if (known === undefined) {
        this.#entries.set(key, { hash, previousTerm });
        continue;
      }
      if (known.hash !== hash)
        throw new Violation('log matching', `${id} has another entry ${term}/${index}`);
      const bothKnown = previousTerm !== undefined && known.previousTerm !== undefined;
      if (bothKnown && known.previousTerm !== previousTerm) {
        throw new Violation(
          'log matching',
          `before ${term}/${index} node ${id} has term ${previousTerm}, others ${known.previousTerm}`,
        );
      }
    }
  }

  /** State machine safety: after the same index all machines are the same. */
  applied(id: number, machine: Machine): void {
    const { applied, hash } = machine;
    const confState = JSON.stringify(machine.confState);
    const known = this.#states.get(applied);
    if (known === undefined) {
      this.#states.set(applied, { hash, confState });
    } else if (known.hash !== hash || known.confState !== confState) {
      throw new Violation(
        'state machine safety',
        `${id} differs at ${applied}: ${confState}, others ${known.confState}`,
      );
    }
    if (applied > this.#newestIndex && confState !== JSON.stringify(this.#newest)) {
      this.#newestIndex = applied;
      this.#newest = machine.confState;
    }
  }

  /** Linearizability: a read sees all writes that were acknowledged before it was asked for. */
  answeredRead(id: number, index: number, required: number): void {
    if (index < required)
      throw new Violation(
        'linearizable reads',
        `a read at ${id} got index ${index}, but ${required} was acknowledged`,
      );
  }
}
