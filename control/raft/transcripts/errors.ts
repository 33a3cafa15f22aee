/** Errors as transcripts print them. */

import { ConfChangeError, type ConfChangeRefusal } from '../core/confchange.ts';
import { RaftError, type RaftErrorCode } from '../core/errors.ts';

const CODES: Partial<Record<RaftErrorCode, string>> = {
  COMPACTED: 'requested index is unavailable due to compaction',
  UNAVAILABLE: 'requested entry at index is unavailable',
  SNAPSHOT_OUT_OF_DATE: 'requested index is older than the existing snapshot',
  SNAPSHOT_TEMPORARILY_UNAVAILABLE: 'snapshot is temporarily unavailable',
  PROPOSAL_DROPPED: 'raft proposal dropped',
  STEP_LOCAL_MESSAGE: 'raft: cannot step raft local message',
  STEP_PEER_NOT_FOUND: 'raft: cannot step as peer not found',
};

const REFUSALS: Record<ConfChangeRefusal, string> = {
  ALREADY_JOINT: 'config is already joint',
  NOT_JOINT: "can't leave a non-joint config",
  SIMPLE_WHILE_JOINT: "can't apply simple config change in joint config",
  JOINT_WITHOUT_VOTERS: "can't make a zero-voter config joint",
  NO_VOTERS_LEFT: 'removed all voters',
  SEVERAL_VOTERS_CHANGED: 'more than one voter changed without entering joint config',
};

/** What a transcript prints for an error of the core; errors that it never prints are thrown again. */
export function transcriptErrorText(error: unknown): string {
  if (error instanceof ConfChangeError) return REFUSALS[error.refusal];
  const text = error instanceof RaftError ? CODES[error.code] : undefined;
  if (text === undefined) throw error;
  return text;
}
