/** Bringing followers' logs to agree with the leader's (dissertation 3.5): what the leader sends. */

import { invariantBroken, isRaftError } from './errors.ts';
import { newMessage } from './messages.ts';
import type { Progress } from './progress.ts';
import type { Raft } from './raft.ts';
import { payloadSize } from './sizes.ts';
import { isEmptySnapshot } from './states.ts';
import type { Entry, Snapshot } from './types.ts';

const NO_ENTRIES: Entry[] = [];

/**
 * Sends `to` what it lacks, as far as flow control lets it: entries, or a snapshot if they are compacted.
 * `sendIfEmpty`: also without entries, to tell the commit index. True if something was sent.
 */
export function maybeSendAppend(raft: Raft, to: number, progress: Progress, sendIfEmpty: boolean): boolean {
  if (progress.isPaused) return false;
  const { log } = raft;
  const previous = progress.next - 1;
  const previousTerm = log.term(previous);
  if (previousTerm === undefined) return maybeSendSnapshot(raft, to, progress);

  let entries = NO_ENTRIES;
  // Into a full window only empty appends go: they find out what became of the others.
  if (progress.state !== 'StateReplicate' || !progress.inflights.full) {
    const available = entriesFrom(raft, progress.next);
    if (available === undefined) return sendIfEmpty && maybeSendSnapshot(raft, to, progress);
    entries = available;
  }
  if (entries.length === 0 && !sendIfEmpty) return false;

  const append = newMessage('MsgApp', to);
  append.index = previous;
  append.logTerm = previousTerm;
  append.entries = entries;
  append.commit = log.committed;
  raft.send(append);
  progress.sentEntries(entries.length, payloadSize(entries));
  progress.sentCommit = log.committed;
  return true;
}

/** Entries for one append, or undefined if they are compacted. */
function entriesFrom(raft: Raft, index: number): Entry[] | undefined {
  try {
    return raft.log.entries(index, raft.config.maxMessageBytes);
  } catch (error) {
    if (isRaftError(error, 'COMPACTED')) return undefined;
    throw error;
  }
}

function maybeSendSnapshot(raft: Raft, to: number, progress: Progress): boolean {
  if (!progress.recentActive) {
    raft.logger?.debug(`${raft.id} sends no snapshot to ${to}, which was not active recently`);
    return false;
  }
  const snapshot = availableSnapshot(raft);
  if (snapshot === undefined) {
    raft.logger?.debug(`${raft.id} sends no snapshot to ${to} yet: one is being made`);
    return false;
  }
  if (isEmptySnapshot(snapshot)) invariantBroken('the log is compacted, but there is no snapshot');
  progress.becomeSnapshot(snapshot.metadata.index);
  raft.logger?.debug(`${raft.id} sends snapshot ${snapshot.metadata.index} to ${to} and pauses its appends`);
  const message = newMessage('MsgSnap', to);
  message.snapshot = snapshot;
  raft.send(message);
  return true;
}

function availableSnapshot(raft: Raft): Snapshot | undefined {
  try {
    return raft.log.snapshot();
  } catch (error) {
    if (isRaftError(error, 'SNAPSHOT_TEMPORARILY_UNAVAILABLE')) return undefined;
    throw error;
  }
}

/** Sends each other member what it lacks, or at least the commit index. */
export function broadcastAppend(raft: Raft): void {
  for (const [id, progress] of raft.tracker.members) {
    if (id !== raft.id) maybeSendAppend(raft, id, progress, true);
  }
}

/** Sends each other member a heartbeat, with the number of the newest unconfirmed read. */
export function broadcastHeartbeat(raft: Raft): void {
  const context = raft.readOnly.heartbeatContext();
  for (const [id, progress] of raft.tracker.members) {
    if (id === raft.id) continue;
    const heartbeat = newMessage('MsgHeartbeat', id);
    // No further than the follower's log is known to agree: beyond, it may hold something else.
    heartbeat.commit = Math.min(progress.match, raft.log.committed);
    heartbeat.context = context;
    raft.send(heartbeat);
    progress.sentCommit = heartbeat.commit;
  }
}
