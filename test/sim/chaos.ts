/** What clients, operators and fate do to a simulated cluster. */

import { describeConfChange } from '../../control/raft/core/describe.ts';
import type { AnyConfChange, ConfChangeSingle } from '../../control/raft/core/types.ts';
import { NO_BYTES } from '../../control/raft/core/types.ts';
import type { Simulation } from './simulation.ts';

/** Entries that a compaction leaves for slow followers, at most. */
const MAX_KEPT_ENTRIES = 10;

const TRANSITIONS = [
  'ConfChangeTransitionAuto',
  'ConfChangeTransitionJointImplicit',
  'ConfChangeTransitionJointExplicit',
] as const;

/** Draws, after each event, what else happens. */
export class Chaos {
  readonly #simulation: Simulation;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  /** Everything that may happen now, each with its own probability. */
  act(): void {
    const { random, settings } = this.#simulation;
    const id = random.pick(settings.ids);
    if (random.chance(settings.writes)) this.#simulation.write(id);
    if (random.chance(settings.reads)) this.#simulation.read(id);
    if (random.chance(settings.crashes)) this.#simulation.crash(this.#simulation.node(id));
    if (random.chance(settings.partitions)) this.#partition();
    if (random.chance(settings.heals)) this.#heal();
    if (random.chance(settings.confChanges)) this.#changeMembership(id);
    if (random.chance(settings.compactions)) this.#compact(id);
    if (random.chance(settings.transfers)) this.#transfer(id);
    if (random.chance(settings.oddities)) this.#doSomethingOdd(id);
  }

  #partition(): void {
    const what = this.#simulation.network.partition(this.#simulation.settings.ids);
    this.#simulation.note(() => what);
  }

  #heal(): void {
    this.#simulation.network.heal();
    this.#simulation.note(() => 'the network is whole again');
  }

  #changeMembership(id: number): void {
    const change = this.#randomChange();
    this.#simulation.note(
      () => `at ${id}: propose ${change === null ? 'to leave' : describeConfChange(change)}`,
    );
    this.#simulation.onNode(id, (raft) => raft.proposeConfChange(change));
  }

  #randomChange(): AnyConfChange | null {
    const { random, settings } = this.#simulation;
    const single = (): ConfChangeSingle => ({
      type: random.pick(['ConfChangeAddNode', 'ConfChangeAddLearnerNode', 'ConfChangeRemoveNode'] as const),
      nodeId: random.pick(settings.ids),
    });
    switch (random.between(0, 4)) {
      case 0:
        return null;
      case 1:
        // Removing the last voter is an error of the operator, which the core refuses only when it is applied.
        return { ...single(), type: 'ConfChangeAddNode', context: NO_BYTES, id: 0 };
      case 2:
        return this.#replacement();
      default: {
        const transition = random.pick(TRANSITIONS);
        // One voter is added in any case, so that some remain.
        const keep: ConfChangeSingle = { type: 'ConfChangeAddNode', nodeId: random.pick(settings.ids) };
        const changes = [...Array.from({ length: random.between(0, 3) }, single), keep];
        return { transition, changes, context: NO_BYTES };
      }
    }
  }

  /** Other voters altogether, so that the majorities before and after need not overlap. */
  #replacement(): AnyConfChange {
    const { random, settings } = this.#simulation;
    const voters = random.shuffle(settings.ids).slice(0, random.between(1, 3));
    const changes = settings.ids.map((nodeId): ConfChangeSingle => {
      return { type: voters.includes(nodeId) ? 'ConfChangeAddNode' : 'ConfChangeRemoveNode', nodeId };
    });
    return { transition: random.pick(TRANSITIONS), changes, context: NO_BYTES };
  }

  #compact(id: number): void {
    const node = this.#simulation.node(id);
    this.#simulation.compact(
      node,
      node.machine.applied - this.#simulation.random.between(0, MAX_KEPT_ENTRIES),
    );
  }

  #transfer(id: number): void {
    const to = this.#simulation.random.pick(this.#simulation.settings.ids);
    this.#simulation.note(() => `at ${id}: transfer leadership to ${to}`);
    this.#simulation.rules.transferAsked(id);
    this.#simulation.onNode(id, (raft) => raft.transferLeader(to));
  }

  #doSomethingOdd(id: number): void {
    const { random, settings } = this.#simulation;
    const other = random.pick(settings.ids);
    const kind = random.between(0, 2);
    this.#simulation.note(() => `at ${id}: ${['campaign', 'forget leader', `${other} unreachable`][kind]}`);
    this.#simulation.onNode(id, (raft) => {
      if (kind === 0) raft.campaign();
      else if (kind === 1) raft.forgetLeader();
      else raft.reportUnreachable(other);
    });
  }
}
