/**
 * The binary form of what Raft stores and sends. Compact: numbers are varints, fields at their default are
 * left out, entries after the first are written as differences.
 *
 * Each value begins with a version byte and a kind byte; decoding is strict (bounds, ranges, nothing left
 * over), and decoded byte arrays are views into the input, which must not be changed afterwards. Malformed
 * bytes throw RaftCodecError and nothing else.
 */

import {
  KIND,
  MAX_CODEC_ENTRIES,
  MAX_CODEC_MEMBERS,
  openValue,
  readName,
  startValue,
  writeName,
} from './codec-frame.ts';
import { RaftCodecError, type Reader, type Writer } from './cursor.ts';
import { isNetworkMessage, newMessage } from './messages.ts';
import { isEmptySnapshot } from './states.ts';
import type {
  ConfState,
  Entry,
  EntryType,
  HardState,
  Message,
  MessageType,
  Snapshot,
  SnapshotMetadata,
} from './types.ts';

export { decodeConfChange, encodeConfChange } from './codec-confchange.ts';
export { CODEC_VERSION, MAX_CODEC_BYTES, MAX_CODEC_ENTRIES, MAX_CODEC_MEMBERS } from './codec-frame.ts';

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

/** Encodes a message that travels between nodes. Local kinds are refused (`BAD_VALUE`). */
export function encodeMessage(message: Message): Uint8Array {
  if (!isNetworkMessage(message)) {
    throw new RaftCodecError('BAD_VALUE', `${message.type} from ${message.from} is local and never travels`);
  }
  const snapshot = isEmptySnapshot(message.snapshot) ? null : message.snapshot;
  const writer = startValue(KIND.message);
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
  const reader = openValue(bytes, KIND.message);
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
  const writer = startValue(KIND.entry);
  writeName(writer, ENTRY_TYPES, entry.type);
  writer.number(entry.term, 'term');
  writer.number(entry.index, 'index');
  writer.bytes(entry.data);
  return writer.finish();
}

/** Decodes what `encodeEntry` made. */
export function decodeEntry(bytes: Uint8Array): Entry {
  const reader = openValue(bytes, KIND.entry);
  const type = readName(reader, ENTRY_TYPES, 'entry type');
  const term = reader.number('term');
  const index = reader.number('index');
  const data = reader.bytes('data');
  reader.end();
  return { type, term, index, data };
}

/** Encodes a hard state, for storage. */
export function encodeHardState(state: HardState): Uint8Array {
  const writer = startValue(KIND.hardState);
  writer.number(state.term, 'term');
  writer.number(state.vote, 'vote');
  writer.number(state.commit, 'commit');
  return writer.finish();
}

/** Decodes what `encodeHardState` made. */
export function decodeHardState(bytes: Uint8Array): HardState {
  const reader = openValue(bytes, KIND.hardState);
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
  const writer = startValue(KIND.confState);
  writeConfState(writer, state);
  return writer.finish();
}

/** Decodes what `encodeConfState` made. */
export function decodeConfState(bytes: Uint8Array): ConfState {
  const reader = openValue(bytes, KIND.confState);
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
  const writer = startValue(KIND.snapshotMetadata);
  writeSnapshotMetadata(writer, metadata);
  return writer.finish();
}

/** Decodes what `encodeSnapshotMetadata` made. */
export function decodeSnapshotMetadata(bytes: Uint8Array): SnapshotMetadata {
  const reader = openValue(bytes, KIND.snapshotMetadata);
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
  const writer = startValue(KIND.snapshot);
  writeSnapshot(writer, snapshot);
  return writer.finish();
}

/** Decodes what `encodeSnapshot` made. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  const reader = openValue(bytes, KIND.snapshot);
  const snapshot = readSnapshot(reader);
  reader.end();
  return snapshot;
}

function readFlag(reader: Reader, what: string): boolean {
  const value = reader.byte(what);
  if (value > 1) throw new RaftCodecError('BAD_VALUE', `${what} ${value} is neither 0 nor 1`);
  return value === 1;
}
