/** The errors of the Raft core. Callers decide by `code`; the text is for people. */

/**
 * - `COMPACTED`: the log entry asked for is covered by a snapshot and gone.
 * - `UNAVAILABLE`: the log entry asked for does not exist yet.
 * - `SNAPSHOT_OUT_OF_DATE`: a snapshot older than the stored one.
 * - `SNAPSHOT_TEMPORARILY_UNAVAILABLE`: a snapshot is being made; ask again later.
 * - `PROPOSAL_DROPPED`: not accepted, and never will be; propose again.
 * - `READ_DROPPED`: too many reads are waiting; ask again later.
 * - `STEP_LOCAL_MESSAGE`: a message that never travels was stepped as if it came from a peer.
 * - `STEP_PEER_NOT_FOUND`: an answer from a node that is not a member.
 * - `INVALID_MESSAGE`: a message that contradicts itself.
 * - `INVALID_CONFIG`: the configuration cannot work.
 * - `INVALID_CONF_CHANGE`: the membership change cannot be applied to the present membership.
 * - `INVARIANT`: Raft's own rules were broken (by a bug, or by storage that lost data). Stop the node.
 */
export type RaftErrorCode =
  | 'COMPACTED'
  | 'UNAVAILABLE'
  | 'SNAPSHOT_OUT_OF_DATE'
  | 'SNAPSHOT_TEMPORARILY_UNAVAILABLE'
  | 'PROPOSAL_DROPPED'
  | 'READ_DROPPED'
  | 'STEP_LOCAL_MESSAGE'
  | 'STEP_PEER_NOT_FOUND'
  | 'INVALID_MESSAGE'
  | 'INVALID_CONFIG'
  | 'INVALID_CONF_CHANGE'
  | 'INVARIANT';

/** An error with a code to decide by. */
export class RaftError extends Error {
  override readonly name = 'RaftError';
  readonly code: RaftErrorCode;

  constructor(code: RaftErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** True if `error` is a RaftError with this code. */
export function isRaftError(error: unknown, code: RaftErrorCode): error is RaftError {
  return error instanceof RaftError && error.code === code;
}

/** Throws `INVARIANT` with `what`: a rule of Raft is broken, and going on could lose data. */
export function invariantBroken(what: string): never {
  throw new RaftError('INVARIANT', `${what}. This is a bug, or storage lost data: stop this node`);
}

/** Asserts that `value` is a safe, non-negative integer, as all ids, terms and indexes are. */
export function assertSafeInteger(value: number, name: string): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    invariantBroken(`${name} ${value} is not an integer between 0 and 2^53 - 1`);
  }
}
