/** Readable one-line forms of what the core handles: for logs, transcripts and failing tests. */

import { decodeConfChange } from './codec-confchange.ts';
import { quoteBytes } from './quote.ts';
import { isEmptyHardState, isEmptySnapshot, sortedIds } from './states.ts';
import type { ProgressStatus } from './status.ts';
import type { Membership } from './tracker.ts';
import {
  type AnyConfChange,
  type ConfChangeSingle,
  type ConfChangeType,
  type ConfState,
  type Entry,
  type HardState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  NO_NODE,
  type Ready,
  type Snapshot,
  type SoftState,
} from './types.ts';

const CHANGE_LETTER: Record<ConfChangeType, string> = {
  ConfChangeAddNode: 'v',
  ConfChangeAddLearnerNode: 'l',
  ConfChangeRemoveNode: 'r',
  ConfChangeUpdateNode: 'u',
};

/** A set of ids in hexadecimal: `(1 2 a)`. */
export function describeIds(ids: Iterable<number>): string {
  return `(${sortedIds(ids)
    .map((id) => id.toString(16))
    .join(' ')})`;
}

/** `voters=(1 2)&&(1 3) learners=(4) learners_next=(3) autoleave` */
export function describeMembership(membership: Membership): string {
  const { voters, learners, learnersNext, autoLeave } = membership;
  const outgoing = voters.isJoint ? `&&${describeIds(voters.outgoing.ids)}` : '';
  return [
    `voters=${describeIds(voters.incoming.ids)}${outgoing}`,
    ...(learners.size > 0 ? [`learners=${describeIds(learners)}`] : []),
    ...(learnersNext.size > 0 ? [`learners_next=${describeIds(learnersNext)}`] : []),
    ...(autoLeave ? ['autoleave'] : []),
  ].join(' ');
}

/** Changes as they are typed: `v1 l2 r3 u4`. */
export function describeChanges(changes: readonly ConfChangeSingle[]): string {
  return changes.map(({ type, nodeId }) => `${CHANGE_LETTER[type]}${nodeId}`).join(' ');
}

/** The changes of either form of a membership change. */
export function describeConfChange(change: AnyConfChange): string {
  return describeChanges('changes' in change ? change.changes : [change]);
}

/** `StateReplicate match=5 next=6 learner paused pendingSnap=4 inactive inflight=2[full]` */
export function describeProgress(progress: ProgressStatus): string {
  return [
    `${progress.state} match=${progress.match} next=${progress.next}`,
    ...(progress.isLearner ? ['learner'] : []),
    ...(progress.paused ? ['paused'] : []),
    ...(progress.pendingSnapshot > 0 ? [`pendingSnap=${progress.pendingSnapshot}`] : []),
    ...(progress.recentActive ? [] : ['inactive']),
    ...(progress.inflight > 0
      ? [`inflight=${progress.inflight}${progress.inflightFull ? '[full]' : ''}`]
      : []),
  ].join(' ');
}

/** `Term:1 Vote:2 Commit:3` */
export function describeHardState(state: HardState): string {
  return `Term:${state.term}${state.vote === 0 ? '' : ` Vote:${state.vote}`} Commit:${state.commit}`;
}

/** `Lead:1 State:StateFollower` */
export function describeSoftState(state: SoftState): string {
  return `Lead:${state.lead} State:${state.role}`;
}

/** All lists of a stored membership. */
export function describeConfState(state: ConfState): string {
  const list = (ids: readonly number[]) => `[${ids.join(' ')}]`;
  return (
    `Voters:${list(state.voters)} VotersOutgoing:${list(state.votersOutgoing)} ` +
    `Learners:${list(state.learners)} LearnersNext:${list(state.learnersNext)} AutoLeave:${state.autoLeave}`
  );
}

/** Where a snapshot stands, without its data. */
export function describeSnapshot(snapshot: Snapshot): string {
  const { index, term, confState } = snapshot.metadata;
  return `Index:${index} Term:${term} ConfState:${describeConfState(confState)}`;
}

/** `1/5 EntryNormal "data"` */
export function describeEntry(entry: Entry): string {
  const content = entry.type === 'EntryNormal' ? quoteBytes(entry.data) : describeChangeEntry(entry);
  return `${entry.term}/${entry.index} ${entry.type}${content === '' ? '' : ` ${content}`}`;
}

function describeChangeEntry(entry: Entry): string {
  try {
    return describeConfChange(decodeConfChange(entry));
  } catch (error) {
    return String(error);
  }
}

/** One entry per line, each with its line end. */
export function describeEntries(entries: readonly Entry[]): string {
  return entries.map((entry) => `${describeEntry(entry)}\n`).join('');
}

function describeTarget(id: number): string {
  if (id === NO_NODE) return 'None';
  if (id === LOCAL_APPEND_THREAD) return 'AppendThread';
  if (id === LOCAL_APPLY_THREAD) return 'ApplyThread';
  return id.toString(16);
}

/** A message with all its fields; several lines if it has several entries, a snapshot or responses. */
export function describeMessage(message: Message, indent = ''): string {
  const { entries, snapshot, responses } = message;
  let text =
    `${indent}${describeTarget(message.from)}->${describeTarget(message.to)} ${message.type} ` +
    `Term:${message.term} Log:${message.logTerm}/${message.index}`;
  if (message.reject) text += ` Rejected (Hint: ${message.rejectHint})`;
  if (message.commit !== 0) text += ` Commit:${message.commit}`;
  if (message.vote !== 0) text += ` Vote:${message.vote}`;
  if (entries.length === 1) {
    text += ` Entries:[${entries.map(describeEntry).join('')}]`;
  } else if (entries.length > 1) {
    text += ` Entries:[${entries.map((entry) => `\n${indent}  ${describeEntry(entry)}`).join('')}\n${indent}]`;
  }
  if (snapshot !== null && !isEmptySnapshot(snapshot)) {
    text += `\n${indent}  Snapshot: ${describeSnapshot(snapshot)}`;
  }
  if (responses.length > 0) {
    const inner = `${indent}  `;
    text += ` Responses:[${responses.map((response) => `\n${describeMessage(response, inner)}`).join('')}\n${indent}]`;
  }
  return text;
}

/** Everything in a Ready, one thing per line. */
export function describeReady(ready: Ready): string {
  let text = '';
  if (ready.softState !== null) text += `${describeSoftState(ready.softState)}\n`;
  if (ready.hardState !== null && !isEmptyHardState(ready.hardState)) {
    text += `HardState ${describeHardState(ready.hardState)}\n`;
  }
  if (ready.readStates.length > 0) {
    const states = ready.readStates.map(({ index, context }) => `{${index} [${context.join(' ')}]}`);
    text += `ReadStates [${states.join(' ')}]\n`;
  }
  if (ready.entries.length > 0) text += `Entries:\n${describeEntries(ready.entries)}`;
  if (ready.snapshot !== null && !isEmptySnapshot(ready.snapshot)) {
    text += `Snapshot ${describeSnapshot(ready.snapshot)}\n`;
  }
  if (ready.committedEntries.length > 0) {
    text += `CommittedEntries:\n${describeEntries(ready.committedEntries)}`;
  }
  if (ready.messages.length > 0) {
    text += `Messages:\n${ready.messages.map((message) => `${describeMessage(message)}\n`).join('')}`;
  }
  return text === '' ? '<empty Ready>' : `Ready MustSync=${ready.mustSync}:\n${text}`;
}
