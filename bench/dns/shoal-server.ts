/** Program: shoal's name server alone, with the names of the suite `dns`. Runs until it is ended. */
import { DnsServer } from '../../control/dns/server.ts';
import { buildView } from '../../control/dns/view.ts';
import { defaultHealthCheck, type Endpoint, type Service } from '../../control/store/objects.ts';
import { nameCount, ports, serviceName, slotsOf, vipOf } from './names.ts';

const loopback = '127.0.0.1';

function service(index: number): Service {
  return {
    id: `s${index}`,
    version: 1,
    name: serviceName(index),
    vip: vipOf(index),
    publishes: [],
    hosts: [],
    check: defaultHealthCheck,
    generations: [],
    createdAt_ms: 0,
  };
}

function endpoint(serviceIndex: number, slot: number): Endpoint {
  return {
    id: `e${slot}`,
    version: 1,
    serviceId: `s${serviceIndex}`,
    slot,
    address: '192.0.2.9',
    port: 80,
    nodeId: null,
    attachmentId: null,
    health: 'healthy',
    healthReason: '',
    state: 'serving',
    createdAt_ms: 0,
  };
}

const services = Array.from({ length: nameCount }, (_, index) => service(index));
const endpoints = services.flatMap((_, index) => slotsOf(index).map((slot) => endpoint(index, slot)));
const server = new DnsServer();
server.view = buildView({ meshPool: '10.248.0.0/13', nodes: [], services, endpoints });
server.setUpstreams([{ address: loopback, port: ports.upstream }]);
await server.listen({ address: loopback, port: ports.server });
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    console.log(JSON.stringify(server.counters.snapshot()));
    void server.close().then(() => process.exit(0));
  });
}
