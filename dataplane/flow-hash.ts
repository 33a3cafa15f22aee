/**
 * The hash that picks a flow's bucket, bit for bit what `flow_hash` in bpf/include/balance.h computes: a 64-bit
 * multiply and xor-shift over the 5-tuple, keyed with the cluster's seed.
 */
import { parseIpv4 } from './addresses.ts';

/** A flow as its packets name it: from the client, to the frontend. */
export type FlowTuple = {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** IANA protocol number: 6 or 17. */
  readonly protocol: number;
};

const mask64 = 0xffff_ffff_ffff_ffffn;

/** The 32-bit hash of `flow` under `seed`. The bucket is its low bits. */
export function flowHash(flow: FlowTuple, seed: bigint): number {
  let hash = seed ^ ((BigInt(parseIpv4(flow.source)) << 32n) | BigInt(parseIpv4(flow.destination)));
  hash = (hash * 0x9e3779b97f4a7c15n) & mask64;
  hash ^= hash >> 32n;
  const transport = (BigInt(flow.sourcePort) << 16n) | BigInt(flow.destinationPort);
  hash = (hash + ((BigInt(flow.protocol) << 32n) | transport)) & mask64;
  hash = (hash * 0xd6e8feb86659fd93n) & mask64;
  hash ^= hash >> 32n;
  return Number(hash & 0xffff_ffffn);
}
