/** Drop counters, with a sentence for each reason. */
import type { BpfMap } from 'bpf-ts';
import { drop_reason } from '../generated/shoal.ts';

/** The name and meaning of every reason, keyed as in bpf/include/types.h. */
const descriptions: Record<keyof typeof drop_reason, [name: string, description: string] | undefined> = {
  DROP_NONE: undefined,
  DROP_REASONS: undefined,
  DROP_MALFORMED_IP: ['malformed-ip', 'IPv4 header too short, or with lengths that the frame does not hold'],
  DROP_MALFORMED_TRANSPORT: ['malformed-transport', 'TCP or UDP header too short or with wrong lengths'],
  DROP_MALFORMED_TUNNEL: ['malformed-tunnel', 'VXLAN packet to this node that no node of ours would send'],
  DROP_FORGED_STAMP: ['forged-stamp', 'frame from the wire with an Ethernet address reserved for the mesh'],
  DROP_FORGED_TUNNEL: ['forged-tunnel', 'tunnel packet whose sender is not a node of the mesh'],
  DROP_LOOPBACK_ON_WIRE: ['loopback-on-wire', 'packet from the wire with a 127.0.0.0/8 address'],
  DROP_SPOOFED_SOURCE: ['spoofed-source', 'attached namespace sent from an address that is not its own'],
  DROP_NO_ENDPOINT: ['no-endpoint', 'published port without a healthy endpoint: refused'],
  DROP_NO_FLOW: ['no-flow', 'TCP segment of a connection that no owner of its bucket knows: reset'],
  DROP_ENDPOINT_GONE: ['endpoint-gone', 'endpoint is not (or not yet) on this node'],
  DROP_NODE_GONE: ['node-gone', 'endpoint on a node whose address is not known'],
  DROP_TOO_BIG: ['too-big', 'packet does not fit the uplink once it is in the tunnel'],
  DROP_FLOW_TABLE_FULL: ['flow-table-full', 'no room for a new flow'],
  DROP_NAT_PORTS_EXHAUSTED: ['nat-ports-exhausted', 'no free port for NAT to a plain address'],
  DROP_NO_ROUTE: ['no-route', 'packet from the mesh to an address that is not in it'],
  DROP_FRAGMENT: ['fragment', 'IP fragment for a published port'],
  DROP_INTERNAL: ['internal', 'the kernel refused an operation on the packet'],
};

export type DropCounter = { reason: string; description: string; packets: number };

/** One counter per reason, over all CPUs, since the maps were made. */
export function readDrops(map: BpfMap<number, bigint>): DropCounter[] {
  return Object.entries(drop_reason).flatMap(([key, index]) => {
    const text = descriptions[key as keyof typeof drop_reason];
    if (text === undefined) return [];
    const perCpu = map.lookupPerCpu(index) ?? [];
    return [{ reason: text[0], description: text[1], packets: Number(perCpu.reduce((a, b) => a + b, 0n)) }];
  });
}
