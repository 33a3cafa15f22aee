/** Putting together a Ready, and the messages by which storage work is handed out and reported. */

import { newMessage } from './messages.ts';
import type { Raft } from './raft.ts';
import {
  type Entry,
  type HardState,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  type Ready,
  type SoftState,
} from './types.ts';

/** What was handed out before, to tell what changed. */
export interface Handed {
  softState: SoftState;
  hardState: HardState;
}

/** True if there is anything to hand out. `allowUnstable`: entries may be applied before they are durable. */
export function hasReady(raft: Raft, handed: Handed, allowUnstable: boolean): boolean {
  return (
    raft.messages.length > 0 ||
    raft.messagesAfterAppend.length > 0 ||
    raft.log.unstable.hasPendingEntries ||
    raft.log.hasNextCommitted(allowUnstable) ||
    softStateChanged(raft, handed.softState) ||
    hardStateChanged(raft, handed.hardState) ||
    raft.log.unstable.pendingSnapshot() !== null ||
    raft.readStates.length > 0
  );
}

function softStateChanged(raft: Raft, before: SoftState): boolean {
  return raft.lead !== before.lead || raft.role !== before.role;
}

function hardStateChanged(raft: Raft, before: HardState): boolean {
  return raft.term !== before.term || raft.vote !== before.vote || raft.log.committed !== before.commit;
}

/** The next Ready. In asynchronous mode its storage work is among the messages. Changes nothing. */
export function buildReady(raft: Raft, handed: Handed, asynchronous: boolean): Ready {
  const { log } = raft;
  const entries = log.unstable.pendingEntries();
  const { term, vote } = raft;
  const before = handed.hardState;
  const messages = raft.messages;
  const ready: Ready = {
    softState: softStateChanged(raft, handed.softState) ? { lead: raft.lead, role: raft.role } : null,
    hardState: hardStateChanged(raft, before) ? { term, vote, commit: log.committed } : null,
    readStates: raft.readStates,
    entries,
    snapshot: log.unstable.pendingSnapshot(),
    committedEntries: log.nextCommitted(!asynchronous),
    messages,
    mustSync: entries.length > 0 || vote !== before.vote || term !== before.term,
  };
  if (asynchronous) {
    addStorageMessages(raft, ready, messages);
  } else {
    // Sent after the write, as all messages of this mode.
    for (const message of raft.messagesAfterAppend) {
      if (message.to !== raft.id) messages.push(message);
    }
  }
  return ready;
}

function addStorageMessages(raft: Raft, ready: Ready, messages: Message[]): void {
  const { entries, hardState, snapshot, committedEntries } = ready;
  const waiting = raft.messagesAfterAppend.length;
  if (entries.length > 0 || hardState !== null || snapshot !== null || waiting > 0) {
    messages.push(storageAppend(raft, ready));
  }
  if (committedEntries.length > 0) {
    const apply = newMessage('MsgStorageApply', LOCAL_APPLY_THREAD, raft.id);
    apply.entries = committedEntries;
    apply.responses = [storageApplyResponse(raft, committedEntries)];
    messages.push(apply);
  }
}

function storageAppend(raft: Raft, ready: Ready): Message {
  const append = newMessage('MsgStorageAppend', LOCAL_APPEND_THREAD, raft.id);
  append.entries = ready.entries;
  append.snapshot = ready.snapshot;
  if (ready.hardState !== null) {
    append.term = ready.hardState.term;
    append.vote = ready.hardState.vote;
    append.commit = ready.hardState.commit;
  }
  // The node's own acknowledgement comes first, while the entries' terms can still be told from memory.
  const report = storageAppendResponse(raft, ready);
  append.responses = report === null ? raft.messagesAfterAppend : [...raft.messagesAfterAppend, report];
  return append;
}

/**
 * The report that a write is durable, or null if none is needed. It names the end of the whole unstable log,
 * not just of the entries in this write: a report whose term is over is ignored (the same entries could be
 * replaced and put back by writes still in the queue), and the next write, even one without entries, makes up
 * for it.
 */
export function storageAppendResponse(raft: Raft, ready: Ready): Message | null {
  const hasUnstable = raft.log.unstable.length > 0;
  if (!hasUnstable && ready.snapshot === null) return null;
  const response = newMessage('MsgStorageAppendResp', raft.id, LOCAL_APPEND_THREAD);
  response.term = raft.term;
  if (hasUnstable) {
    const last = raft.log.lastEntryId();
    response.index = last.index;
    response.logTerm = last.term;
  }
  response.snapshot = ready.snapshot;
  return response;
}

/** The report that entries are applied. Without a term, since applying does not depend on any. */
export function storageApplyResponse(raft: Raft, entries: readonly Entry[]): Message {
  const response = newMessage('MsgStorageApplyResp', raft.id, LOCAL_APPLY_THREAD);
  response.entries = entries;
  return response;
}
