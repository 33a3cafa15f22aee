/** The binary form of membership changes, as they stand in log entries. */

import { KIND, MAX_CODEC_MEMBERS, openValue, readName, startValue, writeName } from './codec-frame.ts';
import { RaftCodecError } from './cursor.ts';
import {
  type AnyConfChange,
  type ConfChange,
  type ConfChangeSingle,
  type ConfChangeTransition,
  type ConfChangeType,
  type ConfChangeV2,
  type Entry,
  type EntryType,
  NO_BYTES,
} from './types.ts';

/** Positions are the wire format: append only. */
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

/** Encodes a membership change as the type and data of a log entry. */
export function encodeConfChange(change: AnyConfChange): { type: EntryType; data: Uint8Array } {
  if ('changes' in change) {
    const writer = startValue(KIND.confChangeV2);
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
  const writer = startValue(KIND.confChange);
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
  const reader = openValue(data, KIND.confChange);
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
  const reader = openValue(data, KIND.confChangeV2);
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
