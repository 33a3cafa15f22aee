/** How every encoded value begins, the limits of all, and names as single bytes. */

import { RaftCodecError, Reader, Writer } from './cursor.ts';

/** Format version; the first byte of every value. */
export const CODEC_VERSION = 1;
/** Members in one list of a membership, and changes in one membership change. */
export const MAX_CODEC_MEMBERS = 1024;
/** Entries in one message. */
export const MAX_CODEC_ENTRIES = 1 << 20;
/** Bytes of one encoded value. */
export const MAX_CODEC_BYTES = 1 << 30;

/** What an encoded value is; its second byte. */
export const KIND = {
  message: 1,
  entry: 2,
  hardState: 3,
  confState: 4,
  snapshotMetadata: 5,
  snapshot: 6,
  confChange: 7,
  confChangeV2: 8,
} as const;

/** Encoding is synchronous, so one writer serves all. */
const sharedWriter = new Writer();

/** A writer with the first two bytes of a value. Only one value can be under way. */
export function startValue(kind: number): Writer {
  sharedWriter.start();
  sharedWriter.byte(CODEC_VERSION);
  sharedWriter.byte(kind);
  return sharedWriter;
}

/** A reader behind the first two bytes of a value. Throws RaftCodecError if they are not as expected. */
export function openValue(bytes: Uint8Array, kind: number): Reader {
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

/** Writes the position of a name in its list. */
export function writeName<T extends string>(writer: Writer, names: readonly T[], name: T): void {
  const position = names.indexOf(name);
  if (position < 0) throw new RaftCodecError('BAD_VALUE', `${name} cannot be encoded`);
  writer.byte(position);
}

/** The name at the position that is read. */
export function readName<T extends string>(reader: Reader, names: readonly T[], what: string): T {
  const position = reader.byte(what);
  const name = names[position];
  if (name === undefined) throw new RaftCodecError('BAD_VALUE', `${what} ${position} is unknown`);
  return name;
}
