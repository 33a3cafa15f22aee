/** A node's own keys as files of its data folder, readable by their owner alone. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { shoalError } from '../errors.ts';
import { writeFileDurably } from '../store/files.ts';

/** What a node shows to others and checks them against; all PEM. */
export type Identity = { certificate: string; key: string; rootCertificate: string };

const names = { certificate: 'node.crt', key: 'node.key', rootCertificate: 'root.crt' } as const;

/** Writes an identity, so that it survives a crash from here on. */
export function saveIdentity(dataDir: string, identity: Identity): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  for (const part of Object.keys(names) as (keyof Identity)[]) {
    writeFileDurably(join(dataDir, names[part]), identity[part]);
  }
}

/** Reads an identity. Throws STORAGE_FAILED that names the file which is missing. */
export function loadIdentity(dataDir: string): Identity {
  const read = (name: string) => {
    const path = join(dataDir, name);
    if (!existsSync(path)) {
      throw shoalError('STORAGE_FAILED', {
        path,
        reason: 'the file is missing; leave with force and join again',
      });
    }
    return readFileSync(path, 'utf8');
  };
  return {
    certificate: read(names.certificate),
    key: read(names.key),
    rootCertificate: read(names.rootCertificate),
  };
}

/** Deletes an identity. */
export function wipeIdentity(dataDir: string): void {
  for (const name of Object.values(names)) rmSync(join(dataDir, name), { force: true });
}
