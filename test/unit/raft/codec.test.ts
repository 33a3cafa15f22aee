import assert from 'node:assert/strict';
import t from 'tap';
import * as codec from '../../../control/raft/core/codec.ts';
import { RaftCodecError, Reader, Writer } from '../../../control/raft/core/cursor.ts';
import { newMessage } from '../../../control/raft/core/messages.ts';
import type {
  AnyConfChange,
  ConfChangeType,
  ConfState,
  Entry,
  Message,
  MessageType,
  Snapshot,
} from '../../../control/raft/core/types.ts';
import { Random } from '../../sim/random.ts';

const ROUNDS = 400;
const MUTATIONS = 40;

const NETWORK_TYPES: readonly MessageType[] = [
  'MsgProp',
  'MsgApp',
  'MsgAppResp',
  'MsgVote',
  'MsgVoteResp',
  'MsgSnap',
  'MsgHeartbeat',
  'MsgHeartbeatResp',
  'MsgTransferLeader',
  'MsgTimeoutNow',
  'MsgReadIndex',
  'MsgReadIndexResp',
  'MsgPreVote',
  'MsgPreVoteResp',
];
const CHANGE_TYPES: readonly ConfChangeType[] = [
  'ConfChangeAddNode',
  'ConfChangeRemoveNode',
  'ConfChangeUpdateNode',
  'ConfChangeAddLearnerNode',
];

function number(random: Random): number {
  return Math.floor(random.next() * 2 ** random.pick([0, 3, 7, 14, 31, 32, 49, 52]));
}

function entry(random: Random, term = number(random), index = number(random)): Entry {
  const type = random.pick(['EntryNormal', 'EntryConfChange', 'EntryConfChangeV2'] as const);
  return { type, term, index, data: random.bytes(random.pick([0, 1, 10, 200])) };
}

function ids(random: Random): number[] {
  return Array.from({ length: random.between(0, 5) }, () => number(random));
}

function confState(random: Random): ConfState {
  return {
    voters: ids(random),
    learners: ids(random),
    votersOutgoing: ids(random),
    learnersNext: ids(random),
    autoLeave: random.chance(0.5),
  };
}

function snapshot(random: Random): Snapshot {
  const metadata = { index: number(random) + 1, term: number(random), confState: confState(random) };
  return { data: random.bytes(random.pick([0, 3, 300])), metadata };
}

function message(random: Random): Message {
  const made = newMessage(random.pick(NETWORK_TYPES), number(random), number(random));
  made.term = number(random) + 1;
  if (random.chance(0.5)) made.logTerm = number(random);
  if (random.chance(0.5)) made.index = number(random);
  if (random.chance(0.5)) made.commit = number(random);
  if (random.chance(0.3)) made.rejectHint = number(random);
  made.reject = random.chance(0.3);
  if (random.chance(0.3)) made.context = random.bytes(random.between(1, 20));
  if (random.chance(0.2)) made.snapshot = snapshot(random);
  if (random.chance(0.5)) {
    // Mostly as in a real append, now and then any entries at all.
    const first = number(random);
    const term = number(random);
    made.entries = Array.from({ length: random.between(1, 6) }, (_, at) =>
      random.chance(0.8) ? entry(random, term, first + at) : entry(random),
    );
  }
  return made;
}

function change(random: Random): AnyConfChange {
  const context = random.bytes(random.between(0, 5));
  const single = () => ({ type: random.pick(CHANGE_TYPES), nodeId: number(random) });
  if (random.chance(0.5)) return { ...single(), context, id: number(random) };
  const transition = random.pick([
    'ConfChangeTransitionAuto',
    'ConfChangeTransitionJointImplicit',
    'ConfChangeTransitionJointExplicit',
  ] as const);
  return { transition, changes: Array.from({ length: random.between(0, 4) }, single), context };
}

/** A value of each kind, with its way through the codec. */
interface Kind<T> {
  readonly make: (random: Random) => T;
  readonly encode: (value: T) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => T;
}

/** Throws unless all values come back and all damaged bytes are handled. Returns what was tried. */
function checkKind<T>(kind: Kind<T>): string {
  const random = new Random(7);
  let decoded = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const value = kind.make(random);
    const bytes = kind.encode(value);
    assert.deepEqual(kind.decode(Uint8Array.from(bytes)), value);
    for (let n = 0; n < MUTATIONS; n += 1) decoded += decodeMutated(kind, mutated(random, bytes)) ? 1 : 0;
  }
  return `${ROUNDS} values come back; of ${ROUNDS * MUTATIONS} damaged ones ${decoded} still mean something`;
}

/** True if the damaged bytes decode; then the result must be encodable to something that decodes to the same. */
function decodeMutated<T>(kind: Kind<T>, bytes: Uint8Array): boolean {
  let value: T;
  try {
    value = kind.decode(bytes);
  } catch (error) {
    if (error instanceof RaftCodecError) return false;
    throw error;
  }
  const again = kind.decode(kind.encode(value));
  assert.deepEqual(again, value);
  return true;
}

function mutated(random: Random, bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  switch (random.between(0, 3)) {
    case 0:
      return copy.subarray(0, random.between(0, copy.length));
    case 1:
      return Uint8Array.from([...copy, ...random.bytes(random.between(1, 4))]);
    default:
      for (let n = random.between(1, 4); n > 0; n -= 1) {
        copy[random.between(0, copy.length - 1)] = random.pick([0, 1, 127, 128, 255, random.between(0, 255)]);
      }
      return copy;
  }
}

t.test('every kind of value comes back, and damaged bytes are refused or mean something', async (t) => {
  t.pass(checkKind({ make: message, encode: codec.encodeMessage, decode: codec.decodeMessage }));
  t.pass(checkKind({ make: entry, encode: codec.encodeEntry, decode: codec.decodeEntry }));
  t.pass(checkKind({ make: snapshot, encode: codec.encodeSnapshot, decode: codec.decodeSnapshot }));
  t.pass(checkKind({ make: confState, encode: codec.encodeConfState, decode: codec.decodeConfState }));
  t.pass(
    checkKind({
      make: (random) => snapshot(random).metadata,
      encode: codec.encodeSnapshotMetadata,
      decode: codec.decodeSnapshotMetadata,
    }),
  );
  t.pass(
    checkKind({
      make: (random) => ({ term: number(random), vote: number(random), commit: number(random) }),
      encode: codec.encodeHardState,
      decode: codec.decodeHardState,
    }),
  );
  for (const isV2 of [false, true]) {
    const type = isV2 ? 'EntryConfChangeV2' : 'EntryConfChange';
    const make = (random: Random): AnyConfChange => {
      for (let made = change(random); ; made = change(random)) if ('changes' in made === isV2) return made;
    };
    const decode = (data: Uint8Array) => codec.decodeConfChange({ type, data });
    t.pass(checkKind({ make, encode: (value) => codec.encodeConfChange(value).data, decode }));
  }
});

t.test('random bytes never do more than throw a coded error', async (t) => {
  const random = new Random(11);
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = random.bytes(random.between(0, 40));
    if (bytes.length > 2) bytes.set([codec.CODEC_VERSION, random.between(1, 8)]);
    for (const decode of [
      codec.decodeMessage,
      codec.decodeEntry,
      codec.decodeSnapshot,
      codec.decodeConfState,
    ]) {
      try {
        decode(bytes);
      } catch (error) {
        if (!(error instanceof RaftCodecError)) throw error;
      }
    }
  }
  t.pass('20000 inputs');
});

t.test('errors have codes', async (t) => {
  const good = codec.encodeHardState({ term: 1, vote: 2, commit: 300 });
  t.throws(() => codec.decodeHardState(good.subarray(0, 4)), { code: 'TRUNCATED' });
  t.throws(() => codec.decodeHardState(Uint8Array.from([...good, 0])), { code: 'TRAILING_BYTES' });
  t.throws(() => codec.decodeHardState(Uint8Array.from([9, ...good.subarray(1)])), { code: 'BAD_VERSION' });
  t.throws(() => codec.decodeEntry(good), { code: 'BAD_KIND' });
  t.throws(() => codec.encodeHardState({ term: 2 ** 53, vote: 0, commit: 0 }), { code: 'BAD_VALUE' });
  t.throws(() => codec.encodeHardState({ term: -1, vote: 0, commit: 0 }), { code: 'BAD_VALUE' });
  t.throws(
    () => codec.encodeMessage(newMessage('MsgHup', 1, 1)),
    { code: 'BAD_VALUE' },
    'local messages never travel',
  );
  t.throws(
    () => codec.encodeMessage(newMessage('MsgApp', 1, 1)),
    { code: 'BAD_VALUE' },
    'nor does one without a term',
  );
  const voters = Array.from({ length: codec.MAX_CODEC_MEMBERS + 1 }, (_, at) => at);
  const large = { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  t.throws(() => codec.encodeConfState(large), { code: 'TOO_LARGE' });
  t.throws(() => codec.decodeConfChange({ type: 'EntryNormal', data: good }), { code: 'BAD_KIND' });
});

t.test('a count that cannot fit is refused before anything is allocated', async (t) => {
  const bytes = Uint8Array.from([codec.CODEC_VERSION, 4, 0xff, 0x07]);
  t.throws(() => codec.decodeConfState(bytes), { code: 'TRUNCATED' });
});

t.test('numbers have one form only', async (t) => {
  const read = (...bytes: number[]) => new Reader(Uint8Array.from(bytes)).number('n');
  for (const value of [0, 1, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const writer = new Writer();
    writer.start();
    writer.number(value, 'n');
    t.equal(read(...writer.finish()), value);
  }
  t.throws(() => read(0x81, 0x00), { code: 'BAD_VALUE' }, 'padded with zeroes');
  t.throws(() => read(...new Array(8).fill(0xff), 1), { code: 'BAD_VALUE' }, 'above 2^53 - 1');
  t.throws(() => read(0x80), { code: 'TRUNCATED' });
});

t.test('an entry without data leaves a joint configuration', async (t) => {
  t.same(codec.decodeConfChange({ type: 'EntryConfChangeV2', data: new Uint8Array(0) }), {
    transition: 'ConfChangeTransitionAuto',
    changes: [],
    context: new Uint8Array(0),
  });
});
