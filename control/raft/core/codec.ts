/**
 * The binary form of what Raft stores and sends. Compact: numbers are varints, fields at their default are
 * left out, entries after the first are written as differences.
 *
 * Each value begins with a version byte and a kind byte; decoding is strict (bounds, ranges, nothing left
 * over), and decoded byte arrays are views into the input, which must not be changed afterwards. Malformed
 * bytes throw RaftCodecError and nothing else.
 */

import { RaftCodecError, Reader, Writer } from './cursor.ts';
import { isNetworkMessage, newMessage } from './messages.ts';
import { isEmptySnapshot } from './states.ts';
import {
  type AnyConfChange,
  type ConfChange,
  type ConfChangeSingle,
  type ConfChangeTransition,
  type ConfChangeType,
  type ConfChangeV2,
  type ConfState,
  type Entry,
  type EntryType,
  type HardState,
  type Message,
  type MessageType,
  NO_BYTES,
  type Snapshot,
  type SnapshotMetadata,
} from './types.ts';

/** Format version; the first byte of every value. */
export const CODEC_VERSION = 1;
/** Members in one list of a membership, and changes in one membership change. */
export const MAX_CODEC_MEMBERS = 1024;
/** Entries in one message. */
export const MAX_CODEC_ENTRIES = 1 << 20;
/** Bytes of one encoded value. */
export const MAX_CODEC_BYTES = 1 << 30;

const KIND = {
  message: 1,
  entry: 2,
  hardState: 3,
  confState: 4,
  snapshotMetadata: 5,
  snapshot: 6,
  confChange: 7,
  confChangeV2: 8,
} as const;

/** Positions are the wire format: append only. */
const MESSAGE_TYPES: readonly MessageType[] = [
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
const ENTRY_TYPES: readonly EntryType[] = ['EntryNormal', 'EntryConfChange', 'EntryConfChangeV2'];
const CHANGE_TYPES: readonly ConfChangeType[] = [
  'ConfChangeAddNode',
  'ConfChangeRemoveNode',
  'ConfChangeUpdateNode',
  'ConfChangeAddLearnerNode',
];
const TRANSITIONS: readonly ConfChangeTransition[] = [
  'ConfChangeTransitionAuto',
  'ConfChangeTransitionJointImplicit',
  'ConfChangeTransitionJointExplicit',
];

/** Which fields of a message follow. */
const HAS = {
  term: 1,
  logTerm: 2,
  index: 4,
  entries: 8,
  commit: 16,
  snapshot: 32,
  reject: 64,
  rejectHint: 128,
  context: 256,
} as const;
const ALL_FIELDS = 511;

/** Encoding is synchronous, so one writer serves all. */
const sharedWriter = new Writer();

function start(kind: number): Writer {
  sharedWriter.start();
  sharedWriter.byte(CODEC_VERSION);
  sharedWriter.byte(kind);
  return sharedWriter;
}

function open(bytes: Uint8Array, kind: number): Reader {
  if (bytes.length > MAX_CODEC_BYTES) {
    throw new RaftCodecError('TOO_LARGE', `${bytes.length} bytes are more than ${MAX_CODEC_BYTES}`);
  }
  const reader = new Reader(bytes);
  const version = reader.byte('version');
  if (version !== CODEC_VERSION) {
    throw new RaftCodecError('BAD_VERSION', `version ${version} is not ${CODEC_VERSION}, the only one known`);
  }
  const found = reader.byte('kind');
  if (found !== kind) throw new RaftCodecError('BAD_KIND', `kind ${found} stands where ${kind} is expected`);
  return reader;
}

function writeName<T extends string>(writer: Writer, names: readonly T[], name: T): void {
  const position = names.indexOf(name);
  if (position < 0) throw new RaftCodecError('BAD_VALUE', `${name} cannot be encoded`);
  writer.byte(position);
}

function readName<T extends string>(reader: Reader, names: readonly T[], what: string): T {
  const position = reader.byte(what);
  const name = names[position];
  if (name === undefined) throw new RaftCodecError('BAD_VALUE', `${what} ${position} is unknown`);
  return name;
}

function readFlag(reader: Reader, what: string): boolean {
  const value = reader.byte(what);
  if (value > 1) throw new RaftCodecError('BAD_VALUE', `${what} ${value} is neither 0 nor 1`);
  return value === 1;
}

/** Encodes a message that travels between nodes. Local kinds are refused (`BAD_VALUE`). */
export function encodeMessage(message: Message): Uint8Array {
  if (!isNetworkMessage(message)) {
    throw new RaftCodecError('BAD_VALUE', `${message.type} from ${message.from} is local and never travels`);
  }
  const snapshot = isEmptySnapshot(message.snapshot) ? null : message.snapshot;
  const writer = start(KIND.message);
  writeName(writer, MESSAGE_TYPES, message.type);
  writer.number(
    (message.term === 0 ? 0 : HAS.term) |
      (message.logTerm === 0 ? 0 : HAS.logTerm) |
      (message.index === 0 ? 0 : HAS.index) |
      (message.entries.length === 0 ? 0 : HAS.entries) |
      (message.commit === 0 ? 0 : HAS.commit) |
      (snapshot === null ? 0 : HAS.snapshot) |
      (message.reject ? HAS.reject : 0) |
      (message.rejectHint === 0 ? 0 : HAS.rejectHint) |
      (message.context.length === 0 ? 0 : HAS.context),
    'fields',
  );
  writer.number(message.to, 'to');
  writer.number(message.from, 'from');
  if (message.term !== 0) writer.number(message.term, 'term');
  if (message.logTerm !== 0) writer.number(message.logTerm, 'logTerm');
  if (message.index !== 0) writer.number(message.index, 'index');
  if (message.entries.length !== 0) writeEntries(writer, message.entries);
  if (message.commit !== 0) writer.number(message.commit, 'commit');
  if (snapshot !== null) writeSnapshot(writer, snapshot);
  if (message.rejectHint !== 0) writer.number(message.rejectHint, 'rejectHint');
  if (message.context.length !== 0) writer.bytes(message.context);
  return writer.finish();
}

/** Decodes what `encodeMessage` made. */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = open(bytes, KIND.message);
  const message = newMessage(readName(reader, MESSAGE_TYPES, 'message type'), 0);
  const fields = reader.number('fields');
  if (fields > ALL_FIELDS) throw new RaftCodecError('BAD_VALUE', `fields ${fields} are unknown`);
  message.to = reader.number('to');
  message.from = reader.number('from');
  if (fields & HAS.term) message.term = reader.number('term');
  if (fields & HAS.logTerm) message.logTerm = reader.number('logTerm');
  if (fields & HAS.index) message.index = reader.number('index');
  if (fields & HAS.entries) message.entries = readEntries(reader);
  if (fields & HAS.commit) message.commit = reader.number('commit');
  if (fields & HAS.snapshot) message.snapshot = readSnapshot(reader);
  message.reject = (fields & HAS.reject) !== 0;
  if (fields & HAS.rejectHint) message.rejectHint = reader.number('rejectHint');
  if (fields & HAS.context) message.context = reader.bytes('context');
  reader.end();
  if (!isNetworkMessage(message)) {
    throw new RaftCodecError('BAD_VALUE', `${message.type} from ${message.from} pretends to be local`);
  }
  return message;
}

/** Entries of one message, whose terms and indexes mostly follow from those of the entry before. */
const ENTRY_TYPE_MASK = 3;
const ENTRY_NEXT = 4;

function writeEntries(writer: Writer, entries: readonly Entry[]): void {
  if (entries.length > MAX_CODEC_ENTRIES) {
    throw new RaftCodecError('TOO_LARGE', `${entries.length} entries are more than ${MAX_CODEC_ENTRIES}`);
  }
  writer.number(entries.length, 'entries');
  let term = 0;
  let index = 0;
  for (const entry of entries) {
    const follows = entry.term === term && entry.index === index + 1;
    writer.byte(ENTRY_TYPES.indexOf(entry.type) | (follows ? ENTRY_NEXT : 0));
    if (!follows) {
      writer.number(entry.term, 'entry term');
      writer.number(entry.index, 'entry index');
    }
    writer.bytes(entry.data);
    ({ term, index } = entry);
  }
}

function readEntries(reader: Reader): Entry[] {
  const count = reader.count('entries', MAX_CODEC_ENTRIES, 2);
  const entries: Entry[] = [];
  let term = 0;
  let index = 0;
  for (let n = 0; n < count; n += 1) {
    const head = reader.byte('entry head');
    const type = ENTRY_TYPES[head & ENTRY_TYPE_MASK];
    if (type === undefined || head > (ENTRY_TYPE_MASK | ENTRY_NEXT)) {
      throw new RaftCodecError('BAD_VALUE', `entry head ${head} is unknown`);
    }
    if (head & ENTRY_NEXT) {
      index += 1;
      if (!Number.isSafeInteger(index))
        throw new RaftCodecError('BAD_VALUE', 'entry index is above 2^53 - 1');
    } else {
      term = reader.number('entry term');
      index = reader.number('entry index');
    }
    entries.push({ type, term, index, data: reader.bytes('entry data') });
  }
  return entries;
}

/** Encodes one log entry, for storage. */
export function encodeEntry(entry: Entry): Uint8Array {
  const writer = start(KIND.entry);
  writeName(writer, ENTRY_TYPES, entry.type);
  writer.number(entry.term, 'term');
  writer.number(entry.index, 'index');
  writer.bytes(entry.data);
  return writer.finish();
}

/** Decodes what `encodeEntry` made. */
export function decodeEntry(bytes: Uint8Array): Entry {
  const reader = open(bytes, KIND.entry);
  const type = readName(reader, ENTRY_TYPES, 'entry type');
  const term = reader.number('term');
  const index = reader.number('index');
  const data = reader.bytes('data');
  reader.end();
  return { type, term, index, data };
}

/** Encodes a hard state, for storage. */
export function encodeHardState(state: HardState): Uint8Array {
  const writer = start(KIND.hardState);
  writer.number(state.term, 'term');
  writer.number(state.vote, 'vote');
  writer.number(state.commit, 'commit');
  return writer.finish();
}

/** Decodes what `encodeHardState` made. */
export function decodeHardState(bytes: Uint8Array): HardState {
  const reader = open(bytes, KIND.hardState);
  const term = reader.number('term');
  const vote = reader.number('vote');
  const commit = reader.number('commit');
  reader.end();
  return { term, vote, commit };
}

function writeIds(writer: Writer, ids: readonly number[], what: string): void {
  if (ids.length > MAX_CODEC_MEMBERS) {
    throw new RaftCodecError('TOO_LARGE', `${ids.length} ${what} are more than ${MAX_CODEC_MEMBERS}`);
  }
  writer.number(ids.length, what);
  for (const id of ids) writer.number(id, 'id');
}

function readIds(reader: Reader, what: string): number[] {
  const count = reader.count(what, MAX_CODEC_MEMBERS, 1);
  return Array.from({ length: count }, () => reader.number('id'));
}

function writeConfState(writer: Writer, state: ConfState): void {
  writeIds(writer, state.voters, 'voters');
  writeIds(writer, state.learners, 'learners');
  writeIds(writer, state.votersOutgoing, 'outgoing voters');
  writeIds(writer, state.learnersNext, 'next learners');
  writer.byte(state.autoLeave ? 1 : 0);
}

function readConfState(reader: Reader): ConfState {
  const voters = readIds(reader, 'voters');
  const learners = readIds(reader, 'learners');
  const votersOutgoing = readIds(reader, 'outgoing voters');
  const learnersNext = readIds(reader, 'next learners');
  return { voters, learners, votersOutgoing, learnersNext, autoLeave: readFlag(reader, 'autoLeave') };
}

/** Encodes a membership. */
export function encodeConfState(state: ConfState): Uint8Array {
  const writer = start(KIND.confState);
  writeConfState(writer, state);
  return writer.finish();
}

/** Decodes what `encodeConfState` made. */
export function decodeConfState(bytes: Uint8Array): ConfState {
  const reader = open(bytes, KIND.confState);
  const state = readConfState(reader);
  reader.end();
  return state;
}

function writeSnapshotMetadata(writer: Writer, metadata: SnapshotMetadata): void {
  writer.number(metadata.index, 'index');
  writer.number(metadata.term, 'term');
  writeConfState(writer, metadata.confState);
}

function readSnapshotMetadata(reader: Reader): SnapshotMetadata {
  const index = reader.number('index');
  const term = reader.number('term');
  return { index, term, confState: readConfState(reader) };
}

/** Encodes where a snapshot stands, without its data. */
export function encodeSnapshotMetadata(metadata: SnapshotMetadata): Uint8Array {
  const writer = start(KIND.snapshotMetadata);
  writeSnapshotMetadata(writer, metadata);
  return writer.finish();
}

/** Decodes what `encodeSnapshotMetadata` made. */
export function decodeSnapshotMetadata(bytes: Uint8Array): SnapshotMetadata {
  const reader = open(bytes, KIND.snapshotMetadata);
  const metadata = readSnapshotMetadata(reader);
  reader.end();
  return metadata;
}

function writeSnapshot(writer: Writer, snapshot: Snapshot): void {
  writeSnapshotMetadata(writer, snapshot.metadata);
  writer.bytes(snapshot.data);
}

function readSnapshot(reader: Reader): Snapshot {
  const metadata = readSnapshotMetadata(reader);
  return { metadata, data: reader.bytes('snapshot data') };
}

/** Encodes a snapshot with its data. */
export function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  const writer = start(KIND.snapshot);
  writeSnapshot(writer, snapshot);
  return writer.finish();
}

/** Decodes what `encodeSnapshot` made. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  const reader = open(bytes, KIND.snapshot);
  const snapshot = readSnapshot(reader);
  reader.end();
  return snapshot;
}

/** Encodes a membership change as the type and data of a log entry. */
export function encodeConfChange(change: AnyConfChange): { type: EntryType; data: Uint8Array } {
  if ('changes' in change) {
    const writer = start(KIND.confChangeV2);
    writeName(writer, TRANSITIONS, change.transition);
    if (change.changes.length > MAX_CODEC_MEMBERS) {
      throw new RaftCodecError(
        'TOO_LARGE',
        `${change.changes.length} changes are more than ${MAX_CODEC_MEMBERS}`,
      );
    }
    writer.number(change.changes.length, 'changes');
    for (const single of change.changes) {
      writeName(writer, CHANGE_TYPES, single.type);
      writer.number(single.nodeId, 'nodeId');
    }
    writer.bytes(change.context);
    return { type: 'EntryConfChangeV2', data: writer.finish() };
  }
  const writer = start(KIND.confChange);
  writeName(writer, CHANGE_TYPES, change.type);
  writer.number(change.nodeId, 'nodeId');
  writer.number(change.id, 'id');
  writer.bytes(change.context);
  return { type: 'EntryConfChange', data: writer.finish() };
}

/** The change that an entry of type EntryConfChange or EntryConfChangeV2 holds. */
export function decodeConfChange(entry: Pick<Entry, 'type' | 'data'>): AnyConfChange {
  switch (entry.type) {
    case 'EntryConfChange':
      return decodeConfChangeV1(entry.data);
    case 'EntryConfChangeV2':
      return decodeConfChangeV2(entry.data);
    case 'EntryNormal':
      throw new RaftCodecError('BAD_KIND', 'an EntryNormal holds no membership change');
  }
}

function decodeConfChangeV1(data: Uint8Array): ConfChange {
  const reader = open(data, KIND.confChange);
  const type = readName(reader, CHANGE_TYPES, 'change type');
  const nodeId = reader.number('nodeId');
  const id = reader.number('id');
  const context = reader.bytes('context');
  reader.end();
  return { type, nodeId, id, context };
}

function decodeConfChangeV2(data: Uint8Array): ConfChangeV2 {
  // No data at all: leave the joint configuration, as proposed by a leader on its own behalf.
  if (data.length === 0) return { transition: 'ConfChangeTransitionAuto', changes: [], context: NO_BYTES };
  const reader = open(data, KIND.confChangeV2);
  const transition = readName(reader, TRANSITIONS, 'transition');
  const count = reader.count('changes', MAX_CODEC_MEMBERS, 2);
  const changes: ConfChangeSingle[] = [];
  for (let n = 0; n < count; n += 1) {
    const type = readName(reader, CHANGE_TYPES, 'change type');
    changes.push({ type, nodeId: reader.number('nodeId') });
  }
  const context = reader.bytes('context');
  reader.end();
  return { transition, changes, context };
}
