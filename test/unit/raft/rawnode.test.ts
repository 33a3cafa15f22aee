import t from 'tap';
import {
  type Config,
  EMPTY_CONF_STATE,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  MemoryStorage,
  type Message,
  type MessageType,
  NO_BYTES,
  newMessage,
  RaftError,
} from '../../../control/raft/core/index.ts';
import { RawNode } from '../../../control/raft/core/rawnode.ts';

const VOTERS = [1, 2, 3];

function storageWith(voters: readonly number[]): MemoryStorage {
  const storage = new MemoryStorage();
  storage.applySnapshot({
    data: NO_BYTES,
    metadata: { index: 1, term: 1, confState: { ...EMPTY_CONF_STATE, voters } },
  });
  return storage;
}

function configFor(id: number, changes: Partial<Config> = {}): Config {
  return {
    id,
    electionTicks: 10,
    heartbeatTicks: 1,
    storage: storageWith(VOTERS),
    maxMessageBytes: Number.POSITIVE_INFINITY,
    maxInflightMessages: 100,
    random: () => 0,
    ...changes,
  };
}

/** Synchronous nodes over a network that loses nothing but what `drops` says. */
class Trio {
  readonly nodes: readonly RawNode[];
  readonly #storages: readonly MemoryStorage[];
  drops: (message: Message) => boolean = () => false;
  readonly reads: { id: number; index: number; context: Uint8Array }[] = [];
  readonly sent: Message[] = [];

  constructor(changes: Partial<Config> = {}, voters: readonly number[] = VOTERS) {
    this.#storages = voters.map(() => storageWith(voters));
    this.nodes = voters.map(
      (id, at) => new RawNode(configFor(id, { ...changes, storage: this.storage(at + 1) })),
    );
  }

  storage(id: number): MemoryStorage {
    return this.#storages[id - 1] ?? fail(`no storage ${id}`);
  }

  node(id: number): RawNode {
    return this.nodes[id - 1] ?? fail(`no node ${id}`);
  }

  /** Until nobody has anything to do. */
  settle(): void {
    for (let round = 0; round < 1_000; round += 1) {
      const messages = this.nodes.flatMap((node) => this.#handle(node));
      if (messages.length === 0 && !this.nodes.some((node) => node.hasReady())) return;
      for (const message of messages) if (!this.drops(message)) this.#step(message);
    }
    fail('the nodes never settled');
  }

  #handle(node: RawNode): readonly Message[] {
    if (!node.hasReady()) return [];
    const { id } = node.basicStatus();
    const ready = node.ready();
    const storage = this.storage(id);
    if (ready.snapshot !== null) storage.applySnapshot(ready.snapshot);
    if (ready.hardState !== null) storage.setHardState(ready.hardState);
    storage.append(ready.entries);
    for (const { index, context } of ready.readStates) this.reads.push({ id, index, context });
    node.advance();
    this.sent.push(...ready.messages);
    return ready.messages;
  }

  #step(message: Message): void {
    try {
      this.node(message.to).step(message);
    } catch (error) {
      if (!(error instanceof RaftError) || error.code === 'INVARIANT') throw error;
    }
  }
}

function fail(what: string): never {
  throw new Error(what);
}

function leadingTrio(changes: Partial<Config> = {}, voters: readonly number[] = VOTERS): Trio {
  const trio = new Trio(changes, voters);
  trio.node(1).campaign();
  trio.settle();
  return trio;
}

t.test('a configuration that cannot work is refused, by name', async (t) => {
  const cases: [Partial<Config>, RegExp][] = [
    [{ id: 0 }, /id is 0/],
    [{ id: LOCAL_APPEND_THREAD }, /reserved/],
    [{ heartbeatTicks: 0 }, /heartbeatTicks is 0/],
    [{ electionTicks: 1 }, /electionTicks is 1/],
    [{ maxInflightMessages: 0 }, /maxInflightMessages is 0/],
    [{ maxInflightBytes: 10, maxMessageBytes: 20 }, /maxInflightBytes is 10/],
    [{ readOnly: 'lease-based' }, /without checkQuorum/],
  ];
  for (const [changes, message] of cases) {
    t.throws(() => new RawNode(configFor(1, changes)), { code: 'INVALID_CONFIG', message });
  }
});

t.test('storage that lost committed entries is noticed at the start', async (t) => {
  const storage = storageWith(VOTERS);
  storage.setHardState({ term: 1, vote: 0, commit: 5 });
  t.throws(() => new RawNode(configFor(1, { storage })), { code: 'INVARIANT', message: /log ends at 1/ });
  t.throws(() => new RawNode(configFor(1, { applied: 7 })), { code: 'INVARIANT' });
});

t.test('what was applied counts as committed, though the stored commit index is older', async (t) => {
  const storage = storageWith(VOTERS);
  storage.append([{ type: 'EntryNormal', term: 2, index: 2, data: NO_BYTES }]);
  storage.setHardState({ term: 2, vote: 1, commit: 1 });
  const node = new RawNode(configFor(1, { storage, applied: 2 }));
  t.match(node.basicStatus(), { applied: 2, hardState: { term: 2, vote: 1, commit: 2 } });
});

t.test('messages that must not come from a peer', async (t) => {
  const node = new RawNode(configFor(1));
  const from = (type: MessageType, sender: number) => Object.assign(newMessage(type, 1, sender), { term: 1 });
  for (const type of ['MsgHup', 'MsgBeat', 'MsgUnreachable', 'MsgSnapStatus', 'MsgStorageAppend'] as const) {
    t.throws(() => node.step(from(type, 2)), { code: 'STEP_LOCAL_MESSAGE' }, type);
  }
  t.throws(() => node.step(from('MsgAppResp', 9)), { code: 'STEP_PEER_NOT_FOUND' });
  t.notOk(node.hasReady(), 'nothing happened');
});

t.test('messages that contradict themselves', async (t) => {
  const trio = leadingTrio();
  const make = (type: MessageType, fields: Partial<Message>) =>
    Object.assign(newMessage(type, 1, 2), { term: 1 }, fields);
  const entry = (index: number, term: number) => ({
    type: 'EntryNormal' as const,
    term,
    index,
    data: NO_BYTES,
  });
  const bad = [
    make('MsgApp', { index: 1, logTerm: 1, entries: [entry(3, 1)] }),
    make('MsgApp', { index: 1, logTerm: 1, entries: [entry(2, 2)] }),
    make('MsgApp', { term: 5, index: 1, logTerm: 2, entries: [entry(2, 1)] }),
    make('MsgSnap', {}),
    make('MsgProp', { term: 0 }),
    make('MsgReadIndex', { term: 0 }),
    make('MsgVote', { term: 0 }),
    make('MsgAppResp', { index: 1_000 }),
    make('MsgProp', {
      term: 0,
      entries: [{ type: 'EntryConfChange', term: 0, index: 0, data: Uint8Array.of(9) }],
    }),
  ];
  const before = trio.node(1).status();
  for (const message of bad) {
    t.throws(() => trio.node(1).step(message), { code: 'INVALID_MESSAGE' }, `${message.type}`);
  }
  t.same(trio.node(1).status(), before, 'nothing changed but that the peer is alive');
});

t.test('proposals without a leader, or over the limit, are dropped with an error', async (t) => {
  const trio = new Trio({ maxUncommittedBytes: 100 });
  t.throws(() => trio.node(2).propose(NO_BYTES), { code: 'PROPOSAL_DROPPED', message: /no leader/ });
  trio.node(1).campaign();
  trio.settle();
  trio.drops = () => true;
  trio.node(1).propose(new Uint8Array(200));
  t.throws(() => trio.node(1).propose(new Uint8Array(1)), {
    code: 'PROPOSAL_DROPPED',
    message: /100 uncommitted/,
  });
  trio.node(1).propose(NO_BYTES);
  trio.drops = () => false;
  trio.node(1).tick();
  trio.settle();
  trio.node(1).tick();
  trio.settle();
  t.equal(trio.node(1).basicStatus().hardState.commit, 4);
  trio.node(1).propose(new Uint8Array(1));
  trio.settle();
  t.equal(trio.node(3).basicStatus().hardState.commit, 5, 'what was applied makes room');
});

t.test('a safe read waits for a quorum', async (t) => {
  const trio = leadingTrio();
  trio.node(1).readIndex(Uint8Array.of(1));
  trio.node(2).readIndex(Uint8Array.of(2));
  trio.settle();
  t.same(
    trio.reads.map(({ id, index, context }) => [id, index, ...context]),
    [
      [1, 2, 1],
      [2, 2, 2],
    ],
  );
  trio.drops = ({ type }) => type === 'MsgHeartbeat';
  trio.node(1).readIndex(Uint8Array.of(3));
  trio.settle();
  t.equal(trio.reads.length, 2, 'not without heartbeats');
  trio.drops = () => false;
  trio.node(1).tick();
  trio.settle();
  t.equal(trio.reads.length, 3);
});

t.test('a lease-based read does not', async (t) => {
  const trio = leadingTrio({ readOnly: 'lease-based', checkQuorum: true });
  trio.drops = () => true;
  trio.node(1).readIndex(Uint8Array.of(1));
  trio.settle();
  t.same(
    trio.reads.map(({ index }) => index),
    [2],
  );
});

t.test('reads beyond the limit are refused and counted', async (t) => {
  const trio = leadingTrio({ maxPendingReads: 2 });
  trio.drops = () => true;
  for (const n of [1, 2]) trio.node(1).readIndex(Uint8Array.of(n));
  t.throws(() => trio.node(1).readIndex(Uint8Array.of(3)), {
    code: 'READ_DROPPED',
    message: /maxPendingReads/,
  });
  t.equal(trio.node(1).basicStatus().droppedReads, 1);
});

t.test('a lone voter serves reads only after its own first commit', async (t) => {
  const storage = storageWith([1]);
  storage.setHardState({ term: 4, vote: 0, commit: 1 });
  const node = new RawNode(configFor(1, { storage }));
  const handle = () => {
    const ready = node.ready();
    storage.append(ready.entries);
    node.advance();
    return ready.readStates;
  };
  node.campaign();
  handle();
  t.match(node.basicStatus(), { softState: { role: 'StateLeader' }, hardState: { term: 5, commit: 1 } });
  node.readIndex(Uint8Array.of(1));
  t.same(handle(), [], 'its own entry is not committed yet');
  t.match(handle(), [{ index: 2, context: Uint8Array.of(1) }]);
});

t.test('messages are limited in bytes, and so is what is on its way', async (t) => {
  const trio = leadingTrio({ maxMessageBytes: 120, maxInflightBytes: 250 });
  trio.drops = () => true;
  trio.sent.length = 0;
  for (let n = 0; n < 10; n += 1) trio.node(1).propose(new Uint8Array(100));
  trio.settle();
  const appends = trio.sent.filter(({ type, to }) => type === 'MsgApp' && to === 2);
  t.ok(appends.every(({ entries }) => entries.length <= 1));
  t.equal(appends.length, 3, 'the third one fills the window');
  t.match(trio.node(1).status().progress.get(2), { inflight: 3, inflightFull: true, paused: true });
  trio.drops = () => false;
  for (let n = 0; n < 4; n += 1) {
    trio.node(1).tick();
    trio.settle();
  }
  t.equal(trio.node(2).basicStatus().hardState.commit, 12, 'heartbeats find out what was lost');
});

t.test('a follower that needs compacted entries gets a snapshot, once there is one', async (t) => {
  const trio = leadingTrio();
  trio.drops = ({ to, from }) => to === 3 || from === 3;
  for (let n = 0; n < 5; n += 1) trio.node(1).propose(Uint8Array.of(n));
  trio.settle();
  const storage = trio.storage(1);
  storage.createSnapshot(5, { ...EMPTY_CONF_STATE, voters: VOTERS }, Uint8Array.of(42));
  storage.compact(5);
  const { snapshot } = storage;
  storage.snapshot = () => {
    throw new RaftError('SNAPSHOT_TEMPORARILY_UNAVAILABLE', 'being made');
  };
  trio.drops = () => false;
  trio.node(1).tick();
  trio.settle();
  t.match(trio.node(1).status().progress.get(3), { state: 'StateProbe' }, 'not yet');
  storage.snapshot = snapshot;
  trio.node(1).tick();
  trio.settle();
  t.same(trio.storage(3).snapshot().data, Uint8Array.of(42));
  t.equal(trio.node(3).basicStatus().hardState.commit, 7);
  t.match(trio.node(1).status().progress.get(3), { state: 'StateReplicate', match: 7 });
});

t.test('leadership is handed over, and proposals are dropped meanwhile', async (t) => {
  const trio = leadingTrio();
  trio.node(1).transferLeader(3);
  t.equal(trio.node(1).basicStatus().leadTransferee, 3);
  t.throws(() => trio.node(1).propose(NO_BYTES), {
    code: 'PROPOSAL_DROPPED',
    message: /goes over from 1 to 3/,
  });
  trio.settle();
  t.match(
    trio.nodes.map((node) => node.basicStatus().softState.lead),
    [3, 3, 3],
  );
});

t.test('a leader without a quorum steps down, if it checks', async (t) => {
  const trio = leadingTrio({ checkQuorum: true, preVote: true });
  trio.drops = () => true;
  for (let n = 0; n < 20; n += 1) {
    trio.node(1).tick();
    trio.settle();
  }
  t.not(trio.node(1).basicStatus().softState.role, 'StateLeader');
  t.equal(trio.node(1).basicStatus().hardState.term, 1, 'and pre-votes do not raise its term');
});

t.test('asynchronous storage: nothing is acknowledged before it is durable', async (t) => {
  const storage = storageWith([1]);
  const node = new RawNode(configFor(1, { storage, asyncStorageWrites: true }));
  node.campaign();
  const [vote] = node.ready().messages;
  t.match(vote, { type: 'MsgStorageAppend', to: LOCAL_APPEND_THREAD, term: 1, vote: 1 });
  t.match(node.basicStatus().softState, { role: 'StateCandidate' }, 'its own vote is not stored yet');
  for (const response of vote?.responses ?? []) node.step(response);
  t.match(node.basicStatus().softState, { role: 'StateLeader' });
  const [append] = node.ready().messages;
  storage.append(append?.entries ?? []);
  t.equal(node.basicStatus().hardState.commit, 1);
  for (const response of append?.responses ?? []) node.step(response);
  const apply = node.ready().messages.find(({ to }) => to === LOCAL_APPLY_THREAD);
  t.match(apply, { type: 'MsgStorageApply', entries: [{ index: 2 }] });
  t.equal(node.basicStatus().applied, 1);
  for (const response of apply?.responses ?? []) node.step(response);
  t.equal(node.basicStatus().applied, 2);
  t.throws(() => node.advance(), { code: 'INVARIANT' });
});

t.test('a Ready must be advanced before the next', async (t) => {
  const trio = new Trio();
  trio.node(1).campaign();
  trio.node(1).ready();
  t.throws(() => trio.node(1).ready(), { code: 'INVARIANT', message: /twice without advance/ });
});
