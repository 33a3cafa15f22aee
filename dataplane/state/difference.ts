/**
 * The changes that turn one set of map contents into another, in an order that never leaves a frontend pointing
 * at nothing: first what others point to (nodes, endpoints, addresses), then tables, frontends and the keys that
 * lead to them; then removals the other way round.
 */
import { isDeepStrictEqual } from 'node:util';
import type {
  EndpointEntry,
  FrontendEntry,
  FrontendKey,
  MapContents,
  MeshAddressEntry,
  NodeEntry,
} from './map-contents.ts';
import { ownersPerBucket } from './owners.ts';

/** One bucket: its index in the map and its owners. */
export type BucketUpdate = { readonly index: number; readonly owners: Uint32Array };

export type Changes = {
  readonly nodes: Map<number, NodeEntry>;
  readonly endpoints: Map<number, EndpointEntry>;
  readonly meshAddresses: Map<number, MeshAddressEntry>;
  readonly buckets: BucketUpdate[];
  readonly frontends: Map<number, FrontendEntry>;
  readonly frontendSlots: { key: FrontendKey; slot: number }[];
  readonly removedFrontendSlots: FrontendKey[];
  readonly removedFrontends: number[];
  readonly removedMeshAddresses: number[];
  readonly removedEndpoints: number[];
  readonly removedNodes: number[];
};

/** What to change so that maps which hold `from` hold `to`. Buckets that stay the same are not touched. */
export function difference(from: MapContents, to: MapContents): Changes {
  return {
    nodes: changed(from.nodes, to.nodes),
    endpoints: changed(from.endpoints, to.endpoints),
    meshAddresses: changed(from.meshAddresses, to.meshAddresses),
    buckets: changedBuckets(from.tables, to.tables),
    frontends: changed(from.frontends, to.frontends),
    frontendSlots: [...changed(from.frontendSlots, to.frontendSlots).values()],
    removedFrontendSlots: removed(from.frontendSlots, to.frontendSlots).map(([, entry]) => entry.key),
    removedFrontends: removed(from.frontends, to.frontends).map(([slot]) => slot),
    removedMeshAddresses: removed(from.meshAddresses, to.meshAddresses).map(([address]) => address),
    removedEndpoints: removed(from.endpoints, to.endpoints).map(([slot]) => slot),
    removedNodes: removed(from.nodes, to.nodes).map(([slot]) => slot),
  };
}

/** How many map entries the changes touch. */
export function countChanges(changes: Changes): number {
  return Object.values(changes).reduce(
    (total, part) => total + ('size' in part ? part.size : part.length),
    0,
  );
}

function changed<K, V>(from: ReadonlyMap<K, V>, to: ReadonlyMap<K, V>): Map<K, V> {
  return new Map([...to].filter(([key, value]) => !isDeepStrictEqual(from.get(key), value)));
}

function removed<K, V>(from: ReadonlyMap<K, V>, to: ReadonlyMap<K, V>): [K, V][] {
  return [...from].filter(([key]) => !to.has(key));
}

function changedBuckets(from: MapContents['tables'], to: MapContents['tables']): BucketUpdate[] {
  const updates: BucketUpdate[] = [];
  for (const [base, table] of to) {
    const old = from.get(base);
    for (let at = 0; at < table.length; at += ownersPerBucket) {
      const owners = table.subarray(at, at + ownersPerBucket);
      if (old !== undefined && owners.every((owner, index) => owner === old[at + index])) continue;
      updates.push({ index: base + at / ownersPerBucket, owners });
    }
  }
  return updates;
}
