/** Finding transcripts on disk. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TRANSCRIPT_KINDS, type TranscriptKind } from './player.ts';

/** One transcript file. */
export interface TranscriptFile {
  readonly kind: TranscriptKind;
  readonly path: string;
  /** The path below the directory that was searched. */
  readonly name: string;
}

/**
 * All `.txt` files in the subdirectories `quorum`, `confchange` and `interaction` of `directory`, sorted.
 * Throws an Error that says what is wrong if the directory is missing or holds none.
 */
export function findTranscripts(directory: string): TranscriptFile[] {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new Error(`no transcripts: ${directory} is not a directory`);
  }
  const files = TRANSCRIPT_KINDS.flatMap((kind) => transcriptsIn(directory, kind));
  if (files.length === 0) {
    const places = TRANSCRIPT_KINDS.map((kind) => `${kind}/`).join(', ');
    throw new Error(`no transcripts: there is no .txt file in ${places} of ${directory}`);
  }
  return files;
}

function transcriptsIn(directory: string, kind: TranscriptKind): TranscriptFile[] {
  const place = join(directory, kind);
  if (statSync(place, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return readdirSync(place)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => ({ kind, path: join(place, name), name: join(kind, name) }));
}
