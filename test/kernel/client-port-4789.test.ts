/** A client may use the tunnel's port as its own: the reply to it is translated like any other. */
import t from 'tap';
import { clusterState, endpoints, frontendSlot, ports } from './cluster.ts';
import { Fixture, hosts, macs } from './fixture.ts';
import { ethernet, hex, stamped, udpPacket } from './packets.ts';

const fixture = await Fixture.open();
t.teardown(() => fixture[Symbol.dispose]());
fixture.apply(clusterState());
const stamp = { kind: 1, slot: endpoints.host, frontend: frontendSlot(ports.host, 'udp'), node: 1 };
fixture.runTc(
  'uplink_ingress',
  stamped(
    stamp,
    udpPacket({
      source: hosts.client,
      sourcePort: 4789,
      destination: hosts.self,
      destinationPort: ports.host,
    }),
  ),
);
const leaving = { destination: macs.gateway, source: macs.uplink };
const { frame, counts } = fixture.runTc(
  'uplink_egress',
  ethernet(
    leaving,
    udpPacket({ source: '127.0.0.1', sourcePort: 9001, destination: hosts.client, destinationPort: 4789 }),
  ),
);
t.strictSame(
  hex(frame),
  hex(
    ethernet(
      leaving,
      udpPacket({
        source: hosts.self,
        sourcePort: ports.host,
        destination: hosts.client,
        destinationPort: 4789,
      }),
    ),
  ),
);
t.strictSame(counts, { replies_direct: 1 });
