import t from 'tap';
import { type Endpoint, eligible, type Node, type Service } from '../../../control/store/objects.ts';
import { planL7 } from '../../../dataplane/l7/plan.ts';

const base = { version: 1, createdAt_ms: 0 };
const node = (id: string, address: string, status: Node['status'] = 'ready'): Node => ({
  ...base,
  id,
  name: id,
  role: 'worker',
  slot: 1,
  raftId: 0,
  advertiseAddress: address,
  controlPort: 2377,
  meshAddress: '10.250.0.1',
  addresses: [address],
  status,
});
const service = (
  id: string,
  hosts: string[],
  publishes: Omit<Service['publishes'][number], 'slot'>[],
): Service => ({
  ...base,
  id,
  name: `name-${id}`,
  vip: null,
  hosts,
  generations: [],
  publishes: publishes.map((publish) => ({ slot: 0, ...publish })),
  check: { kind: 'none', path: '/', interval_ms: 200, timeout_ms: 200, rise: 1, fall: 1 },
});
const endpoint = (id: string, serviceId: string, more: Partial<Endpoint> = {}): Endpoint => ({
  ...base,
  id,
  serviceId,
  slot: 1,
  address: `10.0.0.${id.slice(1)}`,
  port: 3_000,
  nodeId: 'n1',
  attachmentId: null,
  health: 'healthy',
  healthReason: '',
  state: 'serving',
  ...more,
});

const nodes = [node('n1', '192.0.2.1'), node('n2', '192.0.2.2'), node('n3', '192.0.2.3', 'down')];
const connectAddress = ({ address, port }: Endpoint) => ({ address, port });
const any = { address: null, target: null } as const;

t.test('a plan has the L7 publishes, their hosts and the eligible endpoints', async (t) => {
  const services = [
    service(
      'b',
      ['b.example', '*.B.example'],
      [
        { ...any, published: 80, protocol: 'http' },
        { ...any, published: 443, target: 8_443, protocol: 'tls' },
      ],
    ),
    service(
      'a',
      ['a.example'],
      [
        { ...any, published: 80, protocol: 'http' },
        { ...any, published: 53, protocol: 'udp' },
      ],
    ),
    service('c', [], [{ ...any, published: 5_432, protocol: 'tcp' }]),
  ];
  const endpoints = [
    endpoint('e2', 'a', { health: 'unknown' }),
    endpoint('e1', 'a'),
    endpoint('e3', 'a', { health: 'unhealthy' }),
    endpoint('e4', 'a', { state: 'removed' }),
    endpoint('e5', 'a', { nodeId: 'n3' }),
    endpoint('e6', 'a', { nodeId: null, address: '198.51.100.1' }),
    endpoint('e7', 'b'),
  ];
  const plan = planL7({
    services,
    endpoints,
    nodes,
    selfNodeId: 'n1',
    eligible,
    connectAddress: (wanted) => (wanted.nodeId === null ? null : connectAddress(wanted)),
  });
  t.same(plan, {
    listeners: [
      { port: 80, protocol: 'http', address: null },
      { port: 443, protocol: 'tls', address: null },
    ],
    routes: [
      { port: 80, protocol: 'http', host: 'a.example', service: 'a' },
      { port: 80, protocol: 'http', host: '*.B.example', service: 'b' },
      { port: 80, protocol: 'http', host: 'b.example', service: 'b' },
      { port: 443, protocol: 'tls', host: '*.B.example', service: 'b:8443' },
      { port: 443, protocol: 'tls', host: 'b.example', service: 'b:8443' },
    ],
    services: {
      a: {
        name: 'name-a',
        endpoints: [
          { id: 'e1', address: '10.0.0.1', port: 3_000 },
          { id: 'e2', address: '10.0.0.2', port: 3_000 },
        ],
      },
      b: { name: 'name-b', endpoints: [{ id: 'e7', address: '10.0.0.7', port: 3_000 }] },
      'b:8443': { name: 'name-b', endpoints: [{ id: 'e7', address: '10.0.0.7', port: 8_443 }] },
    },
  });
  const shuffled = planL7({
    services: services.toReversed(),
    endpoints: endpoints.toReversed(),
    nodes,
    selfNodeId: 'n1',
    eligible,
    connectAddress: (wanted) => (wanted.nodeId === null ? null : connectAddress(wanted)),
  });
  t.same(shuffled, plan, 'the order of the input does not matter');
});

t.test('addresses: own and floating ones are listened on, other nodes’ are not', async (t) => {
  const on = (address: string, id: string) =>
    service(id, [`${id}.example`], [{ address, published: 80, target: null, protocol: 'http' }]);
  const services = [on('192.0.2.1', 'a'), on('192.0.2.2', 'b'), on('203.0.113.9', 'c')];
  const view = { endpoints: [], nodes, selfNodeId: 'n1', eligible, connectAddress };
  const plan = planL7({ ...view, services });
  t.same(
    plan.listeners.map(({ address }) => address),
    ['192.0.2.1', '203.0.113.9'],
  );
  t.same(
    plan.routes.map(({ address, service: id }) => [address, id]),
    [
      ['192.0.2.1', 'a'],
      ['203.0.113.9', 'c'],
    ],
  );
  const all = service('d', ['d.example'], [{ ...any, published: 80, protocol: 'http' }]);
  t.same(
    planL7({ ...view, services: [...services, all] }).listeners,
    [{ port: 80, protocol: 'http', address: null }],
    'a socket for all addresses takes the place of those for one',
  );
});
