/**
 * `node control/raft/transcripts/play.ts DIR` plays all transcripts under DIR against the Raft core and prints
 * ok or FAIL for each. Exit code 0: all match. 1: some differ. 2: there is nothing to play.
 */

import { readFileSync } from 'node:fs';
import { findTranscripts, type TranscriptFile } from './files.ts';
import { describeMismatch, playTranscript } from './player.ts';

/** Plays one file and prints how it went. True if it matches. */
function playFile(file: TranscriptFile): boolean {
  const { cases, mismatches, error } = playTranscript(file.kind, readFileSync(file.path, 'utf8'));
  const isOk = mismatches.length === 0 && error === undefined && cases > 0;
  console.log(`${isOk ? 'ok  ' : 'FAIL'} ${file.name} (${cases} cases)`);
  for (const mismatch of mismatches) console.log(`${describeMismatch(mismatch)}\n`);
  if (error !== undefined) console.log(error instanceof Error ? `${error.stack}\n` : `${error}\n`);
  if (cases === 0 && error === undefined) console.log('the file holds no case\n');
  return isOk;
}

function main(directories: readonly string[]): number {
  const [directory, ...more] = directories;
  if (directory === undefined || more.length > 0) {
    console.error(
      'usage: node control/raft/transcripts/play.ts DIR (which holds quorum/, confchange/, interaction/)',
    );
    return 2;
  }
  try {
    const files = findTranscripts(directory);
    const failed = files.filter((file) => !playFile(file)).length;
    console.log(`${files.length - failed} of ${files.length} transcripts match`);
    return failed === 0 ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 2;
  }
}

process.exitCode = main(process.argv.slice(2));
