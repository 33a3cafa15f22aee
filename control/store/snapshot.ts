/**
 * The state as bytes: JSON with objects sorted by kind and id, so that equal states have equal bytes.
 *
 * `format` is raised when the meaning of anything in it changes.
 */
import { shoalError } from '../errors.ts';
import { type Kind, kinds, type Objects } from './objects.ts';
import type { ApplyResult } from './state.ts';
import { type Cursors, Tables } from './tables.ts';
import type { Change } from './watch.ts';

const format = 1;

type Document = {
  format: number;
  version: number;
  objects: { [K in Kind]: Objects[K][] };
  cursors: Cursors;
  requests: [string, ApplyResult][];
};

/** What a snapshot is made from; `transform` may leave things out of objects. */
export type SnapshotSource = {
  version: number;
  tables: Tables;
  requests: Map<string, ApplyResult>;
  transform: (object: Objects[Kind], kind: Kind) => Objects[Kind];
};

/** An object as workers may see it: the cluster without root key and join secrets. */
export function withoutSecrets(object: Objects[Kind], kind: Kind): Objects[Kind] {
  if (kind !== 'cluster') return object;
  return { ...(object as Objects['cluster']), caKey: '', joinSecrets: { manager: '', worker: '' } };
}

/** A change as workers may see it. */
export function changeWithoutSecrets(change: Change): Change {
  return { ...change, object: withoutSecrets(change.object, change.kind) } as Change;
}

/** The bytes of a snapshot. */
export function encodeSnapshot(source: SnapshotSource): Uint8Array {
  const objects = Object.fromEntries(
    kinds.map((kind) => [kind, source.tables.sorted(kind).map((object) => source.transform(object, kind))]),
  ) as Document['objects'];
  const document: Document = {
    format,
    version: source.version,
    objects,
    cursors: source.tables.cursors(),
    requests: [...source.requests],
  };
  return Buffer.from(JSON.stringify(document));
}

/** The reverse of {@link encodeSnapshot}. Throws STORAGE_FAILED for anything that is not a snapshot. */
export function decodeSnapshot(bytes: Uint8Array): {
  version: number;
  tables: Tables;
  requests: Map<string, ApplyResult>;
} {
  let document: Document;
  try {
    document = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw shoalError('STORAGE_FAILED', { reason: 'a snapshot of the store cannot be read' }, cause);
  }
  if (document?.format !== format) {
    throw shoalError('STORAGE_FAILED', {
      reason: `a snapshot of the store has format ${String(document?.format)}; this version reads ${format}`,
    });
  }
  const tables = new Tables();
  for (const kind of kinds) {
    for (const object of document.objects[kind]) tables.replay({ kind, op: 'put', object } as Change);
  }
  tables.setCursors(document.cursors);
  return { version: document.version, tables, requests: new Map(document.requests) };
}
