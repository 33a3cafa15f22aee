/** Rejecting messages that contradict themselves, before they can touch the state. */

import { RaftError } from './errors.ts';
import type { Message } from './types.ts';

/** Throws `INVALID_MESSAGE` if the message breaks what its kind promises. */
export function validateMessage(message: Message): void {
  switch (message.type) {
    case 'MsgApp':
      validateAppend(message);
      return;
    case 'MsgSnap':
      if (message.snapshot === null) invalid(message, 'has no snapshot');
      return;
    case 'MsgProp':
      if (message.entries.length === 0) invalid(message, 'proposes nothing');
      return;
    case 'MsgReadIndex':
    case 'MsgReadIndexResp':
      if (message.entries.length !== 1)
        invalid(message, `has ${message.entries.length} entries instead of one`);
      return;
    case 'MsgVote':
    case 'MsgPreVote':
      if (message.term === 0) invalid(message, 'has no term');
      return;
    default:
  }
}

/** Indexes without a gap, terms that never fall and none above the leader's. */
function validateAppend(message: Message): void {
  let { index, logTerm: term } = message;
  for (const entry of message.entries) {
    index += 1;
    if (entry.index !== index) invalid(message, `has entry ${entry.index} where ${index} is due`);
    if (entry.term < term) invalid(message, `has an entry of term ${entry.term} after one of term ${term}`);
    term = entry.term;
  }
  if (term > message.term) invalid(message, `of term ${message.term} has an entry of term ${term}`);
}

function invalid(message: Message, what: string): never {
  throw new RaftError('INVALID_MESSAGE', `${message.type} from node ${message.from} ${what}`);
}
