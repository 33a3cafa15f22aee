/** What the maps hold, as plain values: the result of `compile`, and the two sides of `difference`. */
import type { endpoint, frontend, frontend_key, mesh_address, node } from '../generated/shoal.ts';

export type EndpointEntry = endpoint;
export type FrontendEntry = frontend;
export type FrontendKey = frontend_key;
export type MeshAddressEntry = mesh_address;
export type NodeEntry = node;

export type MapContents = {
  /** By `address:port/protocol`. */
  readonly frontendSlots: Map<string, { key: FrontendKey; slot: number }>;
  /** By frontend slot. */
  readonly frontends: Map<number, FrontendEntry>;
  /** By first bucket: owners of the buckets from there on, `ownersPerBucket` each. */
  readonly tables: Map<number, Uint32Array>;
  /** By endpoint slot. */
  readonly endpoints: Map<number, EndpointEntry>;
  /** By node slot. */
  readonly nodes: Map<number, NodeEntry>;
  /** By address, host order. */
  readonly meshAddresses: Map<number, MeshAddressEntry>;
};

/** An Ethernet address that is not known or not needed. */
export const noMac = new Uint8Array(6);

/** Maps with nothing in them. */
export function emptyContents(): MapContents {
  return {
    frontendSlots: new Map(),
    frontends: new Map(),
    tables: new Map(),
    endpoints: new Map(),
    nodes: new Map(),
    meshAddresses: new Map(),
  };
}
