import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import {
  parseDirective,
  parseTranscript,
  TranscriptError,
} from '../../../control/raft/transcripts/datadriven.ts';
import { findTranscripts } from '../../../control/raft/transcripts/files.ts';
import { describeMismatch, playTranscript } from '../../../control/raft/transcripts/player.ts';

/** Transcripts of etcd's Raft are not part of the repository; SHOAL_PEERS names another place for them. */
const ROOT = resolve(import.meta.dirname, '../../..');
const DIRECTORY = process.env.SHOAL_PEERS ?? resolve(ROOT, '../shared/peers/etcd-raft');

t.test('the core replays all transcripts of etcd', async (t) => {
  // Throws, and so fails, if the directory is missing or empty.
  for (const { kind, name, path } of findTranscripts(DIRECTORY)) {
    const { cases, mismatches, error } = playTranscript(kind, readFileSync(path, 'utf8'));
    t.equal(mismatches.map(describeMismatch).join('\n\n'), '', name);
    t.equal(error, undefined, `${name}: no error`);
    t.ok(cases > 0, `${name}: ${cases} cases`);
  }
});

t.test('a missing or empty directory is an error', async (t) => {
  t.throws(() => findTranscripts('/nonexistent'), {
    message: 'no transcripts: /nonexistent is not a directory',
  });
  t.throws(() => findTranscripts(t.testdir({ quorum: {} })), { message: /there is no \.txt file/ });
  t.equal(findTranscripts(t.testdir({ quorum: { 'a.txt': '', 'b.md': '' } })).length, 1);
});

t.test('a transcript that differs is noticed, and shown', async (t) => {
  const wrong = 'vote cfg=(1,2) votes=(y,_)\n----\nVoteWon\n\nvote cfg=(1) votes=(y)\n----\nVoteWon\n';
  const { cases, mismatches } = playTranscript('quorum', wrong);
  t.equal(cases, 2);
  t.equal(mismatches.length, 1);
  t.equal(
    mismatches.map(describeMismatch).join(),
    'line 1: vote cfg=(1,2) votes=(y,_)\n  - VoteWon\n  + VotePending',
  );
  const broken = playTranscript('interaction', 'campaign 1\n----\nok\n');
  t.match(
    broken.error,
    { message: 'there is no node 1, only 0' },
    'a wrong case is an error, not a mismatch',
  );
  t.ok(playTranscript('quorum', 'vote cfg=(1)').error instanceof TranscriptError);
  const unknown = playTranscript('interaction', 'fly 1\n----\nunknown command\n');
  t.same([unknown.error, unknown.mismatches], [undefined, []]);
});

t.test('what commands print when they cannot do it', async (t) => {
  const { cases, mismatches, error } = playTranscript(
    'interaction',
    readFileSync(resolve(import.meta.dirname, 'commands.txt'), 'utf8'),
  );
  t.equal(mismatches.map(describeMismatch).join('\n'), '');
  t.equal(error, undefined);
  t.equal(cases, 29);
});

t.test('log lines are not compared, all others are', async (t) => {
  const setUp = 'add-nodes 1 voters=(1) index=2\n----\nINFO worded in another way\n\n';
  t.same(playTranscript('interaction', `${setUp}tick-heartbeat 1\n----\nok\n`).mismatches, []);
  t.equal(playTranscript('interaction', `${setUp}tick-heartbeat 1\n----\nsomething\n`).mismatches.length, 1);
});

t.test('command lines', async (t) => {
  t.same(parseDirective('a b c=d e=(1, 2,(3,4)) f= g=()', 1), {
    command: 'a',
    args: [
      { key: 'b', values: [] },
      { key: 'c', values: ['d'] },
      { key: 'e', values: ['1', '2', '(3,4)'] },
      { key: 'f', values: [''] },
      { key: 'g', values: [''] },
    ],
  });
  t.throws(() => parseDirective('a b=(1', 7), { message: /^line 7: a parenthesis is not closed/ });
  t.throws(() => parseDirective('a =b', 7), { message: /^line 7: a word is expected/ });
});

t.test('cases with comments, continued lines, input and blank lines in the output', async (t) => {
  const text =
    '# comment\nsubtest x\n\na b \\\n  c\nin 1\nin 2\n----\nout\n\nd\n----\n----\none\n\ntwo\n----\n----\n';
  t.same(
    parseTranscript(text).map(({ line, command, args, input, expected }) => [
      line,
      command,
      args.length,
      input,
      expected,
    ]),
    [
      [4, 'a', 2, 'in 1\nin 2', 'out\n'],
      [11, 'd', 0, '', 'one\n\ntwo\n'],
    ],
  );
});
