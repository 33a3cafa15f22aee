/** Transcripts of quorum decisions: `committed` and `vote`. */

import { type AckedIndex, JointConfig, MajorityConfig } from '../core/quorum.ts';
import { badCase, parseNumber } from './arguments.ts';
import type { TranscriptCase } from './datadriven.ts';

interface Ballot {
  /** The voters in the order in which they were given, each once: the order of indexes and votes. */
  readonly order: readonly number[];
  readonly incoming: MajorityConfig;
  readonly outgoing: MajorityConfig;
  /** `cfgj=` was given, be it `zero`. */
  readonly isJoint: boolean;
  readonly indexes: readonly number[];
  readonly votes: readonly number[];
}

/** Votes as they share the parser with indexes: 0 is unknown. */
const VOTE_CODES: Record<string, number> = { _: 0, n: 1, y: 2 };

/** Runs one case and returns its output. */
export function playQuorumCase(given: TranscriptCase): string {
  if (given.command !== 'committed' && given.command !== 'vote') badCase(given, 'unknown command');
  const ballot = parseBallot(given);
  const joint = new JointConfig(ballot.incoming, ballot.outgoing);
  const input = given.command === 'vote' ? ballot.votes : ballot.indexes;
  if (joint.ids.length !== input.length) {
    const ids = joint.ids.map((id) => `${id}:{}`).join(' ');
    return `error: mismatched input (explicit or _) for voters map[${ids}]: [${input.join(' ')}]\n`;
  }
  const known = byVoter(ballot, input);
  return given.command === 'vote' ? playVote(ballot, joint, known) : playCommitted(ballot, joint, known);
}

function parseBallot(given: TranscriptCase): Ballot {
  const ids: number[] = [];
  const outgoingIds: number[] = [];
  const indexes: number[] = [];
  const votes: number[] = [];
  let isJoint = false;
  for (const { key, values } of given.args) {
    for (const value of values) {
      switch (key) {
        case 'cfg':
          ids.push(parseNumber(given, value));
          break;
        case 'cfgj':
          isJoint = true;
          if (value !== 'zero') outgoingIds.push(parseNumber(given, value));
          break;
        case 'idx':
          indexes.push(value === '_' ? 0 : parseNumber(given, value));
          break;
        case 'votes':
          votes.push(VOTE_CODES[value] ?? badCase(given, `unknown vote ${value}`));
          break;
        default:
          badCase(given, `unknown argument ${key}`);
      }
    }
  }
  const order = [...new Set([...ids, ...outgoingIds])];
  const [incoming, outgoing] = [new MajorityConfig(ids), new MajorityConfig(outgoingIds)];
  return { order, incoming, outgoing, isJoint, indexes, votes };
}

/** The known inputs by voter. */
function byVoter(ballot: Ballot, input: readonly number[]): Map<number, number> {
  const known = new Map<number, number>();
  for (const [at, id] of ballot.order.entries()) {
    const value = input[at] ?? 0;
    if (value !== 0) known.set(id, value);
  }
  return known;
}

function playCommitted(ballot: Ballot, joint: JointConfig, known: ReadonlyMap<number, number>): string {
  const acked: AckedIndex = (id) => known.get(id);
  const { incoming, outgoing } = ballot;
  let text = describeAcked(joint.ids, acked);
  const index = joint.committedIndex(acked);
  const expectSame = (other: number, via: string) => {
    if (other !== index) text += `${indexText(other)} <-- via ${via}\n`;
  };
  if (ballot.isJoint) {
    expectSame(new JointConfig(outgoing, incoming).committedIndex(acked), 'symmetry');
  } else {
    expectSame(incoming.committedIndex(acked), 'majority quorum');
    expectSame(new JointConfig(incoming, MajorityConfig.EMPTY).committedIndex(acked), 'zero-joint quorum');
    expectSame(new JointConfig(incoming, incoming).committedIndex(acked), 'self-joint quorum');
    text += describeOverlays(incoming, acked, index);
  }
  return `${text}${indexText(index)}\n`;
}

/** A voter below the committed index has no part in it: lowering its index further must change nothing. */
function describeOverlays(voters: MajorityConfig, acked: AckedIndex, index: number): string {
  let text = '';
  for (const id of voters.ids) {
    const own = acked(id) ?? 0;
    if (own === 0 || own >= index) continue;
    for (const lowered of [own - 1, 0]) {
      const other = voters.committedIndex((voter) => (voter === id ? lowered : acked(voter)));
      if (other !== index) text += `${indexText(other)} <-- overlaying ${id}->${lowered}`;
    }
  }
  return text;
}

function playVote(ballot: Ballot, joint: JointConfig, known: ReadonlyMap<number, number>): string {
  const votes = new Map([...known].map(([id, code]) => [id, code === VOTE_CODES.y] as const));
  const result = ballot.isJoint ? joint.voteResult(votes) : ballot.incoming.voteResult(votes);
  const mirrored = new JointConfig(ballot.outgoing, ballot.incoming).voteResult(votes);
  const note = ballot.isJoint && mirrored !== result ? `${mirrored} <-- via symmetry\n` : '';
  return `${note}${result}\n`;
}

function indexText(index: number): string {
  return Number.isFinite(index) ? String(index) : '∞';
}

/** The acknowledged indexes as bars: the more voters are behind one, the longer is its bar. */
function describeAcked(ids: readonly number[], acked: AckedIndex): string {
  if (ids.length === 0) return '<empty majority quorum>';
  const width = ids.length;
  const sorted = ids.map((id) => acked(id) ?? 0).sort((a, b) => a - b);
  let text = `${' '.repeat(width)}    idx\n`;
  for (const id of ids) {
    const index = acked(id);
    // The first position of an index in ascending order is the number of voters below it.
    const behind = sorted.indexOf(index ?? 0);
    const bar =
      index === undefined ? `?${' '.repeat(width)}` : `${'x'.repeat(behind)}>${' '.repeat(width - behind)}`;
    text += `${bar} ${String(index ?? 0).padStart(5)}    (id=${id.toString(16)})\n`;
  }
  return text;
}
