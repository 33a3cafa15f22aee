/** Packet counters of the programs: what each hook did with what it saw. */
import type { BpfMap } from 'bpf-ts';
import { packet_counter } from '../generated/shoal.ts';

/** Counts by name in lower case without the prefix (`xdp_encapsulated`), over all CPUs. */
export type PacketCounts = Record<string, number>;

export function readPackets(map: BpfMap<number, bigint>): PacketCounts {
  const counts: PacketCounts = {};
  for (const [key, index] of Object.entries(packet_counter)) {
    if (key === 'PACKETS_COUNTERS') continue;
    const perCpu = map.lookupPerCpu(index) ?? [];
    counts[key.replace('PACKETS_', '').toLowerCase()] = Number(perCpu.reduce((a, b) => a + b, 0n));
  }
  return counts;
}
