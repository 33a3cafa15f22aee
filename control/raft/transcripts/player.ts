/** Plays transcript files and compares what comes out. */

import { newConfChangePlayer } from './confchange.ts';
import { parseTranscript, type TranscriptCase } from './datadriven.ts';
import { newInteractionPlayer } from './interaction.ts';
import { playQuorumCase } from './quorum.ts';

/** Kinds of transcripts, named like the directories that hold them. */
export const TRANSCRIPT_KINDS = ['quorum', 'confchange', 'interaction'] as const;

/** What a transcript is about. */
export type TranscriptKind = (typeof TRANSCRIPT_KINDS)[number];

/** A case whose output differs. */
export interface Mismatch {
  readonly given: TranscriptCase;
  /** Without log lines, as it was compared. */
  readonly expected: readonly string[];
  readonly actual: readonly string[];
}

/** What playing one transcript came to. */
export interface PlayResult {
  readonly cases: number;
  /** Empty if all cases match. Playing goes on after a mismatch, up to a limit. */
  readonly mismatches: readonly Mismatch[];
  /** Why playing stopped early: the transcript cannot be read, or the core broke down. */
  readonly error: unknown;
}

/** Mismatches after which a transcript is not played on. */
const MAX_MISMATCHES = 3;

/** A line of the core's log. Transcripts keep them, but each implementation words them in its own way. */
const LOG_LINE = /^\s*(DEBUG|INFO|WARN|ERROR)\b/;

function newPlayer(kind: TranscriptKind): (given: TranscriptCase) => string {
  switch (kind) {
    case 'quorum':
      return playQuorumCase;
    case 'confchange':
      return newConfChangePlayer();
    case 'interaction':
      return newInteractionPlayer();
  }
}

/** Plays the text of one transcript. Never throws. */
export function playTranscript(kind: TranscriptKind, text: string): PlayResult {
  const mismatches: Mismatch[] = [];
  let cases = 0;
  try {
    const play = newPlayer(kind);
    for (const given of parseTranscript(text)) {
      cases += 1;
      const expected = comparable(given.expected);
      const actual = comparable(play(given));
      if (expected.join('\n') !== actual.join('\n')) mismatches.push({ given, expected, actual });
      if (mismatches.length === MAX_MISMATCHES) break;
    }
  } catch (error) {
    return { cases, mismatches, error };
  }
  return { cases, mismatches, error: undefined };
}

/** The lines of an output without the log. `ok` stands for no output, and so does a log alone. */
function comparable(output: string): string[] {
  const lines = output.split('\n').filter((line) => !LOG_LINE.test(line));
  if (lines.at(-1) === '') lines.pop();
  return lines.length === 1 && lines[0] === 'ok' ? [] : lines;
}

/** A mismatch for people: the command, and all lines from the first to the last difference. */
export function describeMismatch({ given, expected, actual }: Mismatch): string {
  const args = given.args.map(({ key, values }) =>
    values.length > 0 ? `${key}=(${values.join(',')})` : key,
  );
  const head = `line ${given.line}: ${[given.command, ...args].join(' ')}`;
  return [head, ...diffLines(expected, actual)].join('\n');
}

/** Lines around a difference that are shown as well. */
const CONTEXT_LINES = 3;

/** What is between the common beginning and the common end: `-` expected, `+` actual. */
export function diffLines(expected: readonly string[], actual: readonly string[]): string[] {
  const shorter = Math.min(expected.length, actual.length);
  let head = 0;
  while (head < shorter && expected[head] === actual[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && expected.at(-1 - tail) === actual.at(-1 - tail)) tail += 1;
  const from = Math.max(0, head - CONTEXT_LINES);
  return [
    ...expected.slice(from, head).map((line) => `    ${line}`),
    ...expected.slice(head, expected.length - tail).map((line) => `  - ${line}`),
    ...actual.slice(head, actual.length - tail).map((line) => `  + ${line}`),
    ...expected
      .slice(expected.length - tail, expected.length - tail + CONTEXT_LINES)
      .map((line) => `    ${line}`),
  ];
}
