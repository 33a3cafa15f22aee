/** One simulated cluster: everything that happens follows from the seed. */

import { decodeMessage, encodeMessage } from '../../control/raft/core/codec.ts';
import { describeMessage } from '../../control/raft/core/describe.ts';
import { RaftError } from '../../control/raft/core/errors.ts';
import type { RawNode } from '../../control/raft/core/rawnode.ts';
import { EMPTY_CONF_STATE } from '../../control/raft/core/states.ts';
import {
  type Entry,
  type Message,
  NO_BYTES,
  type ReadState,
  type Snapshot,
} from '../../control/raft/core/types.ts';
import { Chaos } from './chaos.ts';
import { EventHeap } from './heap.ts';
import { GOOD_NETWORK, Network } from './network.ts';
import { PowerLoss, SimNode, type World } from './node.ts';
import { Oracle } from './oracle.ts';
import { Random } from './random.ts';
import { Rules } from './rules.ts';
import { randomSettings, type Settings } from './settings.ts';
import { Violation } from './violation.ts';

/** Events that are kept to be shown with a failure. */
const KEPT_EVENTS = 60;
/** Characters that are shown of each. */
const KEPT_LENGTH = 600;
/** Seeds from here on may have echoes and slow disks. */
const FIRST_HOSTILE_SEED = 10_000;
/** Time between two ticks of a node. */
const TICK_TIME = 10;
/** Events in which a healed cluster must come to agree. */
const MAX_HEALING_EVENTS = 60_000;
/** Healed, the cluster looks every so many events whether all is done. */
const HEALING_CHECK_EVENTS = 50;

/** Something that happens at some time. */
type Happening =
  | { readonly kind: 'tick'; readonly id: number }
  | { readonly kind: 'deliver'; readonly to: number; readonly bytes: Uint8Array }
  | {
      readonly kind: 'work';
      readonly id: number;
      readonly incarnation: number;
      readonly thread: 'append' | 'apply';
    }
  | { readonly kind: 'restart'; readonly id: number }
  | { readonly kind: 'report'; readonly id: number; readonly about: number; readonly isArrived: boolean };

/** What came of a simulation. */
export interface Outcome {
  readonly seed: number;
  readonly events: number;
  readonly elections: number;
  readonly crashes: number;
  readonly acknowledged: number;
  readonly reads: number;
  readonly confChanges: number;
  readonly snapshots: number;
  /** 1 if it ended in one of the two ways in which a healed cluster may get stuck; see where they are told. */
  readonly stuck: number;
}

/** A simulation that found something, with what led to it. */
export class SimulationFailure extends Error {
  override readonly name = 'SimulationFailure';
  /** The guarantee that was broken, by its short name; null for an error that is none, such as a TypeError. */
  readonly invariant: string | null;

  constructor(seed: number, events: readonly string[], cause: unknown) {
    const what =
      cause instanceof Violation ? cause.message : cause instanceof Error ? cause.stack : String(cause);
    super(`seed ${seed}: ${what}\nlast events:\n${events.map((event) => `  ${event}`).join('\n')}`);
    this.invariant = invariantOf(cause);
  }
}

/** The core and the storage of the nodes have assertions of their own. */
function invariantOf(cause: unknown): string | null {
  if (cause instanceof Violation) return cause.invariant;
  if (!(cause instanceof RaftError)) return null;
  return cause.code === 'INVARIANT' ? 'assertion of the core' : `refused with ${cause.code}`;
}

/** Runs a cluster through `steps` events of chaos, then heals it. Throws SimulationFailure. */
export function simulate(seed: number, steps: number): Outcome {
  const simulation = new Simulation(seed);
  try {
    return simulation.run(steps);
  } catch (error) {
    throw new SimulationFailure(seed, simulation.recentEvents(), error);
  }
}

/** The cluster, its network and its clients. */
export class Simulation {
  readonly random: Random;
  readonly settings: Settings;
  readonly network: Network;
  readonly nodes: readonly SimNode[];
  readonly oracle: Oracle;
  readonly rules: Rules;
  readonly #seed: number;
  readonly #heap = new EventHeap<Happening>();
  readonly #chaos: Chaos;
  /** Decides on echoes, slow disks and stalls; null: there are none. */
  readonly #hostility: Random | null;
  /** The end of what happened, as functions, since few of them are ever looked at. */
  readonly #recent: (() => string)[] = [];
  #time = 0;
  #isHealing = false;
  #events = 0;
  #crashes = 0;
  #reads = 0;
  #confChanges = 0;
  #snapshots = 0;
  #acknowledgedWrites = 0;
  #isStuck = false;
  #nextOperation = 1;
  /** Writes by number: who waits for them. */
  readonly #writes = new Map<number, { readonly id: number; readonly incarnation: number }>();
  /** Reads by number: the index that they must see, and the newest term with a leader when they were asked. */
  readonly #pendingReads = new Map<number, { readonly required: number; readonly newestLedTerm: number }>();

  constructor(seed: number) {
    this.#seed = seed;
    this.random = new Random(seed);
    // Of its own, so that seeds from before there were echoes and slow disks are the runs that they were.
    this.#hostility = seed < FIRST_HOSTILE_SEED ? null : new Random(seed ^ 0x5f356495);
    this.settings = randomSettings(this.random, this.#hostility);
    this.network = new Network(this.random, this.settings.network, this.#hostility);
    const confState = { ...EMPTY_CONF_STATE, voters: this.settings.voters };
    const first: Snapshot = { data: NO_BYTES, metadata: { index: 1, term: 1, confState } };
    this.oracle = new Oracle(confState, first.metadata.index);
    this.rules = new Rules(this.settings.config, (id) => this.node(id));
    const world: World = {
      random: this.random,
      oracle: this.oracle,
      rules: this.rules,
      powerLossChance: () => (this.#isHealing ? 0 : this.settings.powerLoss),
      send: (message) => this.#send(message),
      storageWork: (node, thread) => this.#scheduleWork(node, thread),
      appliedCommand: (node, entry) => this.#applied(node, entry),
      answeredRead: (node, state) => this.#answered(node, state),
    };
    this.nodes = this.settings.ids.map((id) => {
      const isFirst = this.settings.voters.includes(id);
      return new SimNode(id, this.settings.config, isFirst ? first : null, world);
    });
    this.#chaos = new Chaos(this);
  }

  /** The last events, the newest at the end. */
  recentEvents(): string[] {
    return this.#recent.map((event) => event().slice(0, KEPT_LENGTH));
  }

  /** Keeps an event for the case that something goes wrong. */
  note(event: () => string): void {
    const time = this.#time;
    this.#recent.push(() => `${time}: ${event()}`);
    if (this.#recent.length > KEPT_EVENTS) this.#recent.shift();
  }

  run(steps: number): Outcome {
    this.note(() => `settings ${JSON.stringify(this.settings)}`);
    for (const node of this.nodes) {
      node.start();
      this.#heap.push(this.random.between(1, TICK_TIME), { kind: 'tick', id: node.id });
    }
    for (; this.#events < steps; this.#events += 1) {
      this.#happen();
      this.#chaos.act();
    }
    this.#heal();
    return {
      seed: this.#seed,
      events: this.#events,
      elections: this.oracle.elections,
      crashes: this.#crashes,
      acknowledged: this.#acknowledgedWrites,
      reads: this.#reads,
      confChanges: this.#confChanges,
      snapshots: this.#snapshots,
      stuck: this.#isStuck ? 1 : 0,
    };
  }

  #happen(): void {
    const next = this.#heap.pop();
    if (next === undefined) throw new Error('nothing is left to happen');
    this.#time = next.time;
    const { item } = next;
    switch (item.kind) {
      case 'tick':
        this.#tick(item.id);
        return;
      case 'deliver':
        this.#deliver(item.to, decodeMessage(item.bytes));
        return;
      case 'work': {
        const node = this.node(item.id);
        if (node.incarnation === item.incarnation) this.#perform(node, () => node.work(item.thread));
        return;
      }
      case 'restart':
        this.#restart(this.node(item.id));
        return;
      case 'report':
        this.onNode(item.id, (raft) =>
          raft.reportSnapshot(item.about, item.isArrived ? 'finish' : 'failure'),
        );
    }
  }

  /** The node with this id. */
  node(id: number): SimNode {
    const node = this.nodes.find((each) => each.id === id);
    if (node === undefined) throw new RangeError(`no node ${id}`);
    return node;
  }

  /** Does something to a node, if it is up, and lets it lose power meanwhile. */
  onNode(id: number, action: (raft: RawNode) => void): void {
    const node = this.node(id);
    this.#perform(node, () => node.run(action));
  }

  #perform(node: SimNode, action: () => void): void {
    if (node.raft === null) return;
    try {
      action();
    } catch (error) {
      if (!(error instanceof PowerLoss)) throw error;
      this.crash(node);
    }
  }

  /** Takes a node's power away, and gives it back later. */
  crash(node: SimNode): void {
    if (node.raft === null) return;
    this.note(() => `${node.id} loses power`);
    this.#crashes += 1;
    node.crash();
    this.#heap.push(this.#time + this.random.between(1, this.settings.maxDownTime), {
      kind: 'restart',
      id: node.id,
    });
  }

  #restart(node: SimNode): void {
    if (node.raft !== null) return;
    node.start();
    this.note(() => `${node.id} starts from snapshot ${node.machine.applied}`);
    this.#perform(node, () => node.run(() => undefined));
  }

  #tick(id: number): void {
    this.#heap.push(this.#time + TICK_TIME + this.random.between(-2, 2), { kind: 'tick', id });
    // Who was removed, and does not know, would disturb the others for ever: its clock goes on, no more.
    const isQuiet = this.#isHealing && !this.#isMember(id);
    this.rules.ticked(id, isQuiet);
    this.onNode(id, (raft) => (isQuiet ? raft.tickQuiesced() : raft.tick()));
  }

  #isMember(id: number): boolean {
    const { voters, learners, votersOutgoing } = this.oracle.newestConfState;
    return voters.includes(id) || learners.includes(id) || votersOutgoing.includes(id);
  }

  #send(message: Message): void {
    this.rules.sent(message);
    const bytes = encodeMessage(message);
    const delays = this.network.deliveries(message.from, message.to);
    if (message.type === 'MsgSnap') {
      this.#snapshots += 1;
      const isArrived = delays.length > 0;
      const report = { kind: 'report', id: message.from, about: message.to, isArrived } as const;
      this.#heap.push(this.#time + this.settings.network.maxDelay + 1, report);
    }
    if (!this.settings.ids.includes(message.to)) return;
    if (delays.length === 0) this.note(() => `lost ${describeMessage(message)}`);
    for (const delay of delays)
      this.#heap.push(this.#time + delay, { kind: 'deliver', to: message.to, bytes });
    const echo = this.network.echo();
    if (echo > 0) this.#heap.push(this.#time + echo, { kind: 'deliver', to: message.to, bytes });
  }

  #deliver(to: number, message: Message): void {
    this.note(() => `${to} gets ${describeMessage(message)}`);
    this.rules.delivered(to, message, () => this.onNode(to, (raft) => raft.step(message)));
  }

  #scheduleWork(node: SimNode, thread: 'append' | 'apply'): void {
    const delay = this.#isHealing ? 1 : this.random.between(1, this.settings.maxStorageDelay);
    const { stalls, maxStall } = this.settings;
    if (!this.#isHealing && this.#hostility?.chance(stalls) === true) {
      node.stalledUntil = this.#time + this.#hostility.between(1, maxStall);
      this.note(() => `the disk of ${node.id} stalls until ${node.stalledUntil}`);
    }
    const time = Math.max(this.#time + delay, node.stalledUntil);
    this.#heap.push(time, { kind: 'work', id: node.id, incarnation: node.incarnation, thread });
  }

  /** A client writes at a node, and waits for it there. */
  write(id: number): void {
    const number = this.#nextOperation;
    this.#nextOperation += 1;
    const { incarnation } = this.node(id);
    const data = new Uint8Array(4 + this.random.between(0, 60));
    new DataView(data.buffer).setUint32(0, number);
    this.#writes.set(number, { id, incarnation });
    this.onNode(id, (raft) => raft.propose(data));
  }

  /** A client reads at a node: it must see all that was acknowledged before. */
  read(id: number): void {
    const number = this.#nextOperation;
    this.#nextOperation += 1;
    const context = new Uint8Array(4);
    new DataView(context.buffer).setUint32(0, number);
    this.#pendingReads.set(number, {
      required: this.oracle.acknowledged,
      newestLedTerm: this.rules.newestLedTerm,
    });
    this.onNode(id, (raft) => raft.readIndex(context));
  }

  #answered(node: SimNode, { index, context }: ReadState): void {
    const number = new DataView(context.buffer, context.byteOffset, 4).getUint32(0);
    const read = this.#pendingReads.get(number);
    if (read === undefined)
      throw new Violation('answers to reads', `${node.id} answers read ${number}, which nobody asked for`);
    this.#reads += 1;
    this.oracle.answeredRead(node.id, index, read.required);
    this.rules.answered(node.id, read.newestLedTerm);
  }

  #applied(node: SimNode, entry: Entry): void {
    if (entry.type !== 'EntryNormal') {
      this.#confChanges += 1;
      this.note(() => `${node.id} applies ${entry.index}: ${JSON.stringify(node.machine.confState)}`);
      return;
    }
    if (entry.data.length === 0) return;
    const number = new DataView(entry.data.buffer, entry.data.byteOffset, 4).getUint32(0);
    const write = this.#writes.get(number);
    if (write === undefined)
      throw new Violation('applied writes', `${node.id} applies write ${number}, which nobody made`);
    if (write.id !== node.id || write.incarnation !== node.incarnation) return;
    this.#acknowledgedWrites += 1;
    this.oracle.acknowledged = Math.max(this.oracle.acknowledged, entry.index);
  }

  /** Mends everything, and demands that the cluster comes to agree and works. */
  #heal(): void {
    this.note(() => 'healing');
    this.#isHealing = true;
    this.network.heal();
    this.network.quality = GOOD_NETWORK;
    for (const node of this.nodes) this.#restart(node);
    const deadline = this.#events + MAX_HEALING_EVENTS;
    const isJoint = () => this.oracle.newestConfState.votersOutgoing.length > 0;
    let target = Number.POSITIVE_INFINITY;
    for (; this.#events < deadline; this.#events += 1) {
      this.#happen();
      if (this.#events % HEALING_CHECK_EVENTS !== 0) continue;
      if (this.#hasAgreed(target)) return;
      const leader = this.#leader();
      if (leader === undefined) continue;
      // A node that joined after the last snapshot can only begin from a newer one.
      this.compact(leader, leader.machine.applied);
      if (isJoint()) this.onNode(leader.id, (raft) => raft.proposeConfChange(null));
      else if (target === Number.POSITIVE_INFINITY) {
        // A new write, after all that was acknowledged: it must get through, and so must what came before.
        target = this.oracle.acknowledged + 1;
      }
      if (target !== Number.POSITIVE_INFINITY && this.oracle.acknowledged < target) this.write(leader.id);
    }
    if (this.#isStuckByDemotion() || this.#isStuckByTerm()) {
      this.#isStuck = true;
      return;
    }
    throw new Violation(
      'agreement after healing',
      `the cluster did not agree within ${MAX_HEALING_EVENTS} events: ${this.#summary()}`,
    );
  }

  /** Makes a snapshot of a node's state, unless it has one that new, and forgets the log up to `to`. */
  compact({ id, raft, machine, disk }: SimNode, to: number): void {
    const { applied } = machine;
    if (raft === null || applied <= disk.live.snapshot().metadata.index) return;
    if (applied > disk.live.lastIndex() || applied < disk.live.firstIndex()) return;
    disk.compact(applied, machine.confState, machine.encode(), to);
    this.note(() => `${id} makes snapshot ${applied}, and compacts to ${to}`);
  }

  #leader(): SimNode | undefined {
    const leading = (node: SimNode) => node.raft?.basicStatus().softState.role === 'StateLeader';
    return this.nodes.find((node) => leading(node) && this.#isMember(node.id));
  }

  /** True if all members have applied everything that was acknowledged, up to `target` at least. */
  #hasAgreed(target: number): boolean {
    const { acknowledged } = this.oracle;
    if (acknowledged < target) return false;
    return this.nodes.every((node) => !this.#isMember(node.id) || node.machine.applied >= acknowledged);
  }

  /**
   * A membership is in force where it is applied, not yet where it is only in the log. So a cluster whose leader
   * was removed or demoted can be left without any: a voter that does not know of the change needs votes of
   * those that are none any more, and these refuse, since their logs end in entries that will never be
   * committed. Known of this design; who changes memberships hands leadership over first. True if that is the
   * case here.
   */
  #isStuckByDemotion(): boolean {
    if (this.#leader() !== undefined) return false;
    const { voters } = this.oracle.newestConfState;
    const unaware = voters.filter((id) => this.node(id).machine.applied < this.oracle.newestConfIndex);
    const others = this.nodes.filter(({ id }) => !voters.includes(id));
    return unaware.some((id) => others.some((other) => isAhead(other, this.node(id))));
  }

  /**
   * Without pre-votes and quorum checks a node of a higher term does not answer an older leader: it is to win
   * an election itself. A member that does not know the membership, since it is about to be added again, asks
   * the wrong nodes for votes, or none. True if that is the case here.
   */
  #isStuckByTerm(): boolean {
    const { checkQuorum, preVote } = this.settings.config;
    const leading = this.#leader()?.raft?.basicStatus().hardState.term;
    if (checkQuorum === true || preVote === true || leading === undefined) return false;
    return this.nodes.some(({ id, raft, machine }) => {
      if (raft === null || !this.#isMember(id)) return false;
      const { hardState } = raft.basicStatus();
      return hardState.term > leading && machine.applied < this.oracle.newestConfIndex;
    });
  }

  #summary(): string {
    const states = this.nodes.map(({ id, raft, machine }) => {
      if (raft === null) return `${id} down`;
      const { hardState, softState } = raft.basicStatus();
      return `${id} ${softState.role} of ${softState.lead} at term ${hardState.term}, applied ${machine.applied}`;
    });
    return [...states, JSON.stringify(this.oracle.newestConfState)].join('; ');
  }
}

/** True if the log of `a` is better than that of `b`, so that `a` refuses to vote for `b`. */
function isAhead(a: SimNode, b: SimNode): boolean {
  const [ours, theirs] = [a.disk.live, b.disk.live];
  const [ourTerm, theirTerm] = [ours.term(ours.lastIndex()), theirs.term(theirs.lastIndex())];
  return ourTerm > theirTerm || (ourTerm === theirTerm && ours.lastIndex() > theirs.lastIndex());
}
