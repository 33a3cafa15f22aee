/** The flow table as text, so that a test says what it expects of it in one line per entry. */
import { formatIpv4 } from '../../dataplane/addresses.ts';
import { flow_direction } from '../../dataplane/generated/shoal.ts';
import type { Fixture } from './fixture.ts';

/** One entry without its times; ends are `address:port`. */
export type FlowView = {
  readonly direction: 'forward' | 'reply';
  readonly protocol: number;
  readonly client: string;
  readonly server: string;
  /** What packets are rewritten to. */
  readonly source: string;
  readonly destination: string;
  readonly endpoint: number;
  readonly node: number;
  readonly seen: number;
  readonly packets: number;
  readonly bytes: number;
};

/** All entries, ordered by direction and key. */
export function flowTable(fixture: Fixture): FlowView[] {
  return fixture.flows().map(([key, flow]) => ({
    direction: key.direction === flow_direction.FLOW_FORWARD ? 'forward' : 'reply',
    protocol: key.protocol,
    client: end(key.client, key.client_port),
    server: end(key.server, key.server_port),
    source: end(flow.source, flow.source_port),
    destination: end(flow.destination, flow.destination_port),
    endpoint: flow.endpoint,
    node: flow.node,
    seen: flow.seen,
    packets: Number(flow.packets),
    bytes: Number(flow.bytes),
  }));
}

/** The two entries of one connection. */
export type Connection = {
  readonly protocol: number;
  /** The client's end, and the frontend's as the client sees it. */
  readonly client: string;
  readonly frontend: string;
  /** The client's end as the endpoint sees it, and the endpoint's own. Default: the client's. */
  readonly seenAs?: string;
  readonly endpoint: string;
  readonly slot: number;
  readonly node: number;
  /** Bits, packets and bytes of each direction. */
  readonly forward: readonly [seen: number, packets: number, bytes: number];
  readonly reply?: readonly [seen: number, packets: number, bytes: number];
};

/** The entries that a connection must have in the table. */
export function entriesOf(connection: Connection): FlowView[] {
  const { protocol, client, frontend, seenAs = client, endpoint, slot, node } = connection;
  const [seen, packets, bytes] = connection.forward;
  const [replySeen, replyPackets, replyBytes] = connection.reply ?? [0, 0, 0];
  const common = { protocol, endpoint: slot, node };
  return [
    {
      ...common,
      direction: 'forward',
      client,
      server: frontend,
      source: seenAs,
      destination: endpoint,
      seen,
      packets,
      bytes,
    },
    {
      ...common,
      direction: 'reply',
      client: seenAs,
      server: endpoint,
      source: frontend,
      destination: client,
      seen: replySeen,
      packets: replyPackets,
      bytes: replyBytes,
    },
  ];
}

function end(address: number, port: number): string {
  return `${formatIpv4(address)}:${port}`;
}
