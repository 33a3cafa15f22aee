/** Everything that drivers, storage and transport need of the Raft core. */

export * from './codec.ts';
export { ConfChangeError, type ConfChangeRefusal } from './confchange.ts';
export { DEFAULT_MAX_PENDING_READS } from './config.ts';
export { type CodecErrorCode, RaftCodecError } from './cursor.ts';
export * from './describe.ts';
export { isRaftError, RaftError, type RaftErrorCode } from './errors.ts';
export { asConfChangeV2, leavesJoint } from './membership.ts';
export { MemoryStorage } from './memory-storage.ts';
export {
  isLocalMessage,
  isLocalTarget,
  isNetworkMessage,
  isResponseMessage,
  newMessage,
} from './messages.ts';
export { RawNode, type SnapshotOutcome } from './rawnode.ts';
export { entriesSize, entrySize, limitSize } from './sizes.ts';
export * from './states.ts';
export type { BasicStatus, ProgressStatus, Status } from './status.ts';
export * from './types.ts';
