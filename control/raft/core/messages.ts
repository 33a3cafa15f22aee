/** Making messages, and what kind each is. */

import {
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  type MessageType,
  NO_BYTES,
} from './types.ts';

const NO_ENTRIES: readonly never[] = [];

/** A message of `type` for node `to`, with all other fields at their defaults, to be filled in. */
export function newMessage(type: MessageType, to: number, from = 0): Message {
  return {
    type,
    to,
    from,
    term: 0,
    logTerm: 0,
    index: 0,
    entries: NO_ENTRIES,
    commit: 0,
    vote: 0,
    snapshot: null,
    reject: false,
    rejectHint: 0,
    context: NO_BYTES,
    responses: NO_ENTRIES,
  };
}

/** True for messages that a node only sends to itself, and that must never be taken from a peer. */
export function isLocalMessage(type: MessageType): boolean {
  switch (type) {
    case 'MsgHup':
    case 'MsgBeat':
    case 'MsgUnreachable':
    case 'MsgSnapStatus':
    case 'MsgCheckQuorum':
    case 'MsgStorageAppend':
    case 'MsgStorageAppendResp':
    case 'MsgStorageApply':
    case 'MsgStorageApplyResp':
      return true;
    default:
      return false;
  }
}

/** True for answers, which only make sense from a member. */
export function isResponseMessage(type: MessageType): boolean {
  switch (type) {
    case 'MsgAppResp':
    case 'MsgVoteResp':
    case 'MsgHeartbeatResp':
    case 'MsgUnreachable':
    case 'MsgReadIndexResp':
    case 'MsgPreVoteResp':
    case 'MsgStorageAppendResp':
    case 'MsgStorageApplyResp':
      return true;
    default:
      return false;
  }
}

/** True for the ids of the storage threads, which are no nodes. */
export function isLocalTarget(id: number): boolean {
  return id === LOCAL_APPEND_THREAD || id === LOCAL_APPLY_THREAD;
}

/**
 * True if a transport may pass `message`, received from a peer, on to `RawNode.step`: it is of a kind that
 * travels, has a term where it must, and does not pretend to come from a local storage thread.
 */
export function isNetworkMessage(message: Message): boolean {
  const isForwarded = message.type === 'MsgProp' || message.type === 'MsgReadIndex';
  return (
    !isLocalMessage(message.type) &&
    message.type !== 'MsgForgetLeader' &&
    (message.term > 0 || isForwarded) &&
    !isLocalTarget(message.from) &&
    message.responses.length === 0
  );
}

/** The answer that belongs to a vote request. */
export function voteResponseType(request: 'MsgVote' | 'MsgPreVote'): 'MsgVoteResp' | 'MsgPreVoteResp' {
  return request === 'MsgVote' ? 'MsgVoteResp' : 'MsgPreVoteResp';
}
