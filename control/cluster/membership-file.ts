/** The record of a node's membership: what a restart resumes from. It is written last when entering, and goes first. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { shoalError } from '../errors.ts';
import { wipeIdentity } from '../pki/identity.ts';
import { Sealer } from '../raft/sealing.ts';
import { RaftStorage } from '../raft/storage.ts';
import { writeFileDurably } from '../store/files.ts';
import type { Role } from '../store/objects.ts';

/** Where a manager is reached. */
export type ManagerAddress = { nodeId: string; raftId: number; address: string; controlPort: number };

/** The record. `managers` are those that were known last: whom to ask until the store says more. */
export type MembershipRecord = {
  format: 1;
  nodeId: string;
  clusterId: string;
  role: Role;
  raftId: number;
  managers: ManagerAddress[];
};

/** Files of a data folder. */
export const paths = {
  record: (dataDir: string) => join(dataDir, 'membership.json'),
  dataKey: (dataDir: string) => join(dataDir, 'data.key'),
  raft: (dataDir: string) => join(dataDir, 'raft.lmdb'),
};

/** Writes the record: from here on the node is a member, also after a crash. */
export function saveRecord(dataDir: string, record: MembershipRecord): void {
  writeFileDurably(paths.record(dataDir), `${JSON.stringify(record, null, 2)}\n`);
}

/** The record; null if this node is in no cluster. Throws STORAGE_FAILED if it cannot be read. */
export function loadRecord(dataDir: string): MembershipRecord | null {
  const path = paths.record(dataDir);
  if (!existsSync(path)) return null;
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as MembershipRecord;
    if (record.format === 1 && record.nodeId && record.clusterId && Array.isArray(record.managers))
      return record;
    throw new Error(`it has format ${String(record.format)}; this version reads 1`);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw shoalError('STORAGE_FAILED', { path, reason }, cause);
  }
}

/** Makes the folder, and removes what an attempt to enter that did not end has left. */
export function prepareDataDir(dataDir: string): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  wipe(dataDir);
}

/** Deletes record, keys and store. The record goes first, so that a crash in between leaves no half member. */
export function wipe(dataDir: string): void {
  rmSync(paths.record(dataDir), { force: true });
  wipeIdentity(dataDir);
  RaftStorage.wipe(paths.raft(dataDir));
  rmSync(paths.dataKey(dataDir), { force: true });
}

/** Opens a manager's store; `create` makes its data key. */
export function openStorage(dataDir: string, create: boolean): Promise<RaftStorage> {
  return RaftStorage.open(paths.raft(dataDir), Sealer.open(paths.dataKey(dataDir), create));
}
