/** Puts changes into the maps, in batches, in the order that `difference` documents. */
import type { Changes } from '../state/difference.ts';
import { noMac } from '../state/map-contents.ts';
import type { Maps } from './programs.ts';

/** What an array slot holds that nothing uses. */
const zero = {
  frontend: { bucket_base: 0, bucket_mask: 0, target_port: 0, refuse: 1, reserved: 0 },
  endpoint: {
    node: 0,
    address: 0,
    port: 0,
    kind: 0,
    reserved: 0,
    ifindex: 0,
    mac: noMac,
    reserved_tail: new Uint8Array(2),
  },
  node: { vtep: 0 },
} as const;

/** Applies all of `changes`. Throws a `BpfError` that names the map; what was applied before it stays. */
export function applyChanges(maps: Maps, changes: Changes): void {
  maps.nodes.updateBatch(changes.nodes);
  maps.endpoints.updateBatch(changes.endpoints);
  maps.meshAddresses.updateBatch(changes.meshAddresses);
  maps.buckets.updateBatch(
    changes.buckets.map(({ index, owners }) => [index, { owner: [...owners] }] as const),
  );
  maps.frontends.updateBatch(changes.frontends);
  maps.frontendSlots.updateBatch(changes.frontendSlots.map(({ key, slot }) => [key, slot] as const));

  maps.frontendSlots.deleteBatch(changes.removedFrontendSlots);
  maps.frontends.updateBatch(changes.removedFrontends.map((slot) => [slot, zero.frontend] as const));
  maps.meshAddresses.deleteBatch(changes.removedMeshAddresses);
  maps.endpoints.updateBatch(changes.removedEndpoints.map((slot) => [slot, zero.endpoint] as const));
  maps.nodes.updateBatch(changes.removedNodes.map((slot) => [slot, zero.node] as const));
}
