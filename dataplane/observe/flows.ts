/** The flow table, for people: its two entries per connection put together. */
import type { BpfMap } from 'bpf-ts';
import { formatIpv4 } from '../addresses.ts';
import { type flow, flow_direction, type flow_key, flow_seen } from '../generated/shoal.ts';

export type FlowRow = {
  protocol: string;
  client: string;
  frontend: string;
  endpoint: string;
  /** Slot of the node that the client uses. */
  viaNode: number;
  state: string;
  packets: number;
  bytes: number;
  age_ms: number;
};

/**
 * At most `limit` connections of this node's endpoints, and how many there are. `now_ns` is the kernel's monotonic
 * clock, which the entries carry.
 */
export function readFlows(
  map: BpfMap<flow_key, flow>,
  limit: number,
  now_ns: bigint,
): { flows: FlowRow[]; total: number; limit: number } {
  const forward: [flow_key, flow][] = [];
  const reply = new Map<string, flow>();
  for (const [key, value] of map.entries()) {
    if (key.direction === flow_direction.FLOW_FORWARD) forward.push([key, value]);
    else reply.set(tuple(key.client, key.client_port, key.server, key.server_port, key.protocol), value);
  }
  const rows = forward.slice(0, limit).map(([key, value]) => {
    const back = reply.get(
      tuple(value.source, value.source_port, value.destination, value.destination_port, key.protocol),
    );
    return row(key, value, back, now_ns);
  });
  return { flows: rows, total: forward.length, limit };
}

function row(key: flow_key, forward: flow, reply: flow | undefined, now_ns: bigint): FlowRow {
  return {
    protocol: key.protocol === 6 ? 'tcp' : 'udp',
    client: `${formatIpv4(key.client)}:${key.client_port}`,
    frontend: `${formatIpv4(key.server)}:${key.server_port}`,
    endpoint: `${formatIpv4(forward.destination)}:${forward.destination_port}`,
    viaNode: forward.node,
    state: stateName(key.protocol, forward.seen, reply?.seen ?? 0),
    packets: Number(forward.packets + (reply?.packets ?? 0n)),
    bytes: Number(forward.bytes + (reply?.bytes ?? 0n)),
    age_ms: Number((now_ns - forward.created_ns) / 1_000_000n),
  };
}

/** Close to the names of RFC 9293, as far as two sets of flags tell. */
function stateName(protocol: number, client: number, server: number): string {
  if (protocol !== 6) return 'active';
  if ((client | server) & flow_seen.FLOW_SEEN_RST) return 'reset';
  if (client & server & flow_seen.FLOW_SEEN_FIN) return 'closed';
  if ((client | server) & flow_seen.FLOW_SEEN_FIN) return 'closing';
  if (!(server & flow_seen.FLOW_SEEN_SYN)) return 'syn-sent';
  return client & flow_seen.FLOW_SEEN_ACK ? 'established' : 'syn-received';
}

function tuple(a: number, b: number, c: number, d: number, e: number): string {
  return `${a}:${b}:${c}:${d}:${e}`;
}
