/** A simulated node: the core, its disk, its state machine, and the driver between them. */

import { decodeConfChange } from '../../control/raft/core/codec.ts';
import { RaftError } from '../../control/raft/core/errors.ts';
import type { MemoryStorage } from '../../control/raft/core/memory-storage.ts';
import { RawNode } from '../../control/raft/core/rawnode.ts';
import type {
  Config,
  ConfState,
  Entry,
  Message,
  ReadState,
  Snapshot,
} from '../../control/raft/core/types.ts';
import { Disk } from './disk.ts';
import { Machine } from './machine.ts';
import type { Oracle } from './oracle.ts';
import type { Random } from './random.ts';
import type { Rules, WatchedNode } from './rules.ts';
import { Violation } from './violation.ts';

/** The node lost power in the middle of what it did. */
export class PowerLoss extends Error {}

/** What nodes share. */
export interface World {
  readonly random: Random;
  readonly oracle: Oracle;
  readonly rules: Rules;
  /** Chance to lose power at each write boundary. */
  readonly powerLossChance: () => number;
  readonly send: (message: Message) => void;
  /** Storage work is waiting in one of the node's queues. */
  readonly storageWork: (node: SimNode, thread: 'append' | 'apply') => void;
  readonly appliedCommand: (node: SimNode, entry: Entry) => void;
  readonly answeredRead: (node: SimNode, state: ReadState) => void;
}

/** One node. Crashed while `raft` is null. */
export class SimNode implements WatchedNode {
  readonly id: number;
  readonly disk: Disk;
  raft: RawNode | null = null;
  /** Counts restarts, to tell what a node has forgotten. */
  incarnation = 0;
  /** The disk does nothing before this time. */
  stalledUntil = 0;
  machine: Machine;
  memberships: readonly ConfState[];
  /** Work handed out in asynchronous mode, lost in a crash. */
  readonly queues = { append: [] as Message[], apply: [] as Message[] };
  readonly #config: Omit<Config, 'id' | 'storage'>;
  readonly #world: World;

  constructor(id: number, config: Omit<Config, 'id' | 'storage'>, first: Snapshot | null, world: World) {
    this.id = id;
    this.#config = config;
    this.#world = world;
    this.disk = new Disk(first);
    this.machine = new Machine(this.disk.live.snapshot());
    this.memberships = [this.machine.confState];
  }

  get durable(): MemoryStorage {
    return this.disk.durable;
  }

  get applied(): number {
    return this.machine.applied;
  }

  /** Starts from what the disk has. */
  start(): void {
    this.incarnation += 1;
    this.machine = new Machine(this.disk.live.snapshot());
    this.memberships = [this.machine.confState];
    this.#world.oracle.restarted(this.id);
    this.#world.rules.restarted(this.id);
    this.raft = new RawNode({
      ...this.#config,
      id: this.id,
      storage: this.disk.live,
      applied: this.machine.applied,
    });
  }

  /** Loses all that is not on the disk. */
  crash(): void {
    this.raft = null;
    this.queues.append = [];
    this.queues.apply = [];
    this.disk.crash(this.#world.random);
  }

  /** Does something to the core, then everything that follows from it. Throws PowerLoss. */
  run(action: (raft: RawNode) => void): void {
    const { raft } = this;
    if (raft === null) return;
    try {
      action(raft);
    } catch (error) {
      // Refused: nothing has changed.
      if (!(error instanceof RaftError) || error.code === 'INVARIANT') throw error;
    }
    this.#observe(raft);
    while (raft.hasReady()) {
      this.#handleReady(raft);
      this.#observe(raft);
    }
    this.#world.rules.settled(this.id, raft);
  }

  #observe(raft: RawNode): void {
    this.#world.oracle.observe(this.id, raft);
    this.#world.rules.observe(this.id, raft);
    this.memberships = [this.machine.confState];
  }

  #handleReady(raft: RawNode): void {
    const ready = raft.ready();
    this.#world.oracle.appended(this.id, raft, ready.entries);
    this.#world.rules.appending(this.id, ready.entries, ready.snapshot);
    for (const state of ready.readStates) this.#world.answeredRead(this, state);
    if (this.#config.asyncStorageWrites === true) {
      for (const message of ready.messages) this.#dispatch(message);
      return;
    }
    this.#writeBoundary();
    this.disk.write(ready);
    if (ready.mustSync || ready.snapshot !== null) {
      this.#writeBoundary();
      this.disk.sync();
    }
    for (const message of ready.messages) {
      this.#writeBoundary();
      this.#world.send(message);
    }
    if (ready.snapshot !== null) this.#restore(ready.snapshot);
    this.#apply(raft, ready.committedEntries);
    raft.advance();
  }

  #dispatch(message: Message): void {
    if (message.type === 'MsgStorageAppend') {
      this.queues.append.push(message);
      this.#world.storageWork(this, 'append');
    } else if (message.type === 'MsgStorageApply') {
      this.queues.apply.push(message);
      this.#world.storageWork(this, 'apply');
    } else {
      this.#world.send(message);
    }
  }

  /** Asynchronous mode: does the next piece of a storage thread's work. Throws PowerLoss. */
  work(thread: 'append' | 'apply'): void {
    const message = this.queues[thread].shift();
    const { raft } = this;
    if (message === undefined || raft === null) return;
    if (thread === 'append') this.#workAppend(message);
    else this.#apply(raft, message.entries);
    for (const response of message.responses) {
      if (response.to === this.id) this.run((core) => core.step(response));
      else this.#world.send(response);
    }
  }

  #workAppend(message: Message): void {
    this.#writeBoundary();
    const { term, vote, commit, entries, snapshot } = message;
    this.disk.write({ hardState: { term, vote, commit }, entries, snapshot });
    if (message.responses.length > 0) {
      this.#writeBoundary();
      this.disk.sync();
    }
    if (snapshot !== null) this.#restore(snapshot);
    this.#writeBoundary();
  }

  #restore(snapshot: Snapshot): void {
    if (snapshot.metadata.index <= this.machine.applied) return;
    this.machine = new Machine(snapshot);
    this.memberships = [...this.memberships, this.machine.confState];
    this.#world.oracle.applied(this.id, this.machine);
  }

  #apply(raft: RawNode, entries: readonly Entry[]): void {
    for (const entry of entries) {
      // A snapshot was faster.
      if (entry.index <= Math.max(this.machine.applied, raft.pendingSnapshotIndex)) continue;
      if (entry.index > this.durable.lastIndex()) {
        throw new Violation(
          'durable before applied',
          `${this.id} applies ${entry.index}, which is not on its disk`,
        );
      }
      if (entry.type !== 'EntryNormal') {
        this.machine.confState = raft.applyConfChange(decodeConfChange(entry));
        this.memberships = [...this.memberships, this.machine.confState];
      }
      this.machine.apply(entry.index, entry.data);
      this.#world.oracle.applied(this.id, this.machine);
      this.#world.appliedCommand(this, entry);
    }
  }

  #writeBoundary(): void {
    if (this.#world.random.chance(this.#world.powerLossChance())) throw new PowerLoss();
  }
}
