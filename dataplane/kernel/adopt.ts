/** Reads back what the maps hold, so that a process that starts changes only what differs. */
import { type BpfMap, type Codec, u32 } from 'bpf-ts';
import { formatIpv4 } from '../addresses.ts';
import type { Allocation, Region } from '../state/allocate.ts';
import { emptyContents, type MapContents } from '../state/map-contents.ts';
import { ownersPerBucket } from '../state/owners.ts';
import type { Maps } from './programs.ts';

/** The used entries of an array map: decoding the unused ones, which are nearly all, would take a second. */
function usedEntries<V>(map: BpfMap<number, V>): [number, V][] {
  const codec = map.valueCodec;
  const sparse: Codec<V | undefined> = {
    size: codec.size,
    encode: () => {
      throw new Error('for reading only');
    },
    decode: (view, offset) => (isZero(view, offset, codec.size) ? undefined : codec.decode(view, offset)),
  };
  const entries = map.typed(u32, sparse).lookupBatch();
  return entries.filter((entry): entry is [number, V] => entry[1] !== undefined);
}

function isZero(view: DataView, offset: number, size: number): boolean {
  for (let at = offset; at < offset + size; at += 4) if (view.getUint32(at, true) !== 0) return false;
  return true;
}

/** The contents of the maps as `compile` would give them. Tables are those that frontends refer to. */
export function readContents(maps: Maps): MapContents {
  const contents = emptyContents();
  for (const [slot, node] of usedEntries(maps.nodes)) contents.nodes.set(slot, node);
  for (const [slot, endpoint] of usedEntries(maps.endpoints)) {
    if (endpoint.kind !== 0) contents.endpoints.set(slot, endpoint);
  }
  for (const [address, entry] of maps.meshAddresses.lookupBatch()) contents.meshAddresses.set(address, entry);
  for (const [key, slot] of maps.frontendSlots.lookupBatch()) {
    const protocol = key.protocol === 6 ? 'tcp' : 'udp';
    contents.frontendSlots.set(`${formatIpv4(key.address)}:${key.port}/${protocol}`, { key, slot });
  }
  const referenced = new Set([...contents.frontendSlots.values()].map(({ slot }) => slot));
  for (const slot of referenced) {
    const frontend = maps.frontends.lookup(slot);
    if (frontend === undefined) continue;
    contents.frontends.set(slot, frontend);
    if (!contents.tables.has(frontend.bucket_base)) {
      contents.tables.set(
        frontend.bucket_base,
        readTable(maps, { base: frontend.bucket_base, size: frontend.bucket_mask + 1 }),
      );
    }
  }
  return contents;
}

function readTable(maps: Maps, region: Region): Uint32Array {
  const table = new Uint32Array(region.size * ownersPerBucket);
  for (let bucket = 0; bucket < region.size; bucket += 1) {
    table.set(maps.buckets.lookup(region.base + bucket)?.owner ?? [], bucket * ownersPerBucket);
  }
  return table;
}

/**
 * The regions that adopted frontends use, by the service that each frontend slot belongs to. Regions of services that
 * are gone stay taken, under a name of their own, until the frontends that lead to them are.
 */
export function adoptedAllocation(
  contents: MapContents,
  services: readonly { readonly id: string; readonly publishes: readonly { readonly slot: number }[] }[],
): Allocation {
  const allocation = new Map<string, Region>();
  for (const service of services) {
    for (const { slot } of service.publishes) {
      const frontend = contents.frontends.get(slot);
      if (frontend === undefined) continue;
      allocation.set(service.id, { base: frontend.bucket_base, size: frontend.bucket_mask + 1 });
      break;
    }
  }
  const claimed = new Set([...allocation.values()].map(({ base }) => base));
  for (const { bucket_base: base, bucket_mask: mask } of contents.frontends.values()) {
    if (!claimed.has(base)) allocation.set(`unclaimed ${base}`, { base, size: mask + 1 });
  }
  return allocation;
}
