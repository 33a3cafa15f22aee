import t from 'tap';
import { leadsBack } from '../../../control/dns/loops.ts';
import { parseResolvConf } from '../../../control/dns/resolv-conf.ts';
import { parseAddress } from '../../../control/dns/reverse.ts';
import { buildView, meshEndpointAddress } from '../../../control/dns/view.ts';
import {
  defaultHealthCheck,
  type Endpoint,
  type Node,
  type Service,
} from '../../../control/store/objects.ts';

const meshPool = '10.248.0.0/13';

function endpoint(slot: number, change: Partial<Endpoint> = {}): Endpoint {
  return {
    id: `e${slot}`,
    version: 1,
    serviceId: 's1',
    slot,
    address: '198.51.100.7',
    port: 80,
    nodeId: 'n1',
    attachmentId: null,
    health: 'healthy',
    healthReason: '',
    state: 'serving',
    createdAt_ms: 0,
    ...change,
  };
}

function node(id: string, status: Node['status']): Node {
  return {
    id,
    version: 1,
    name: id,
    role: 'worker',
    slot: 1,
    raftId: 0,
    advertiseAddress: '192.0.2.1',
    controlPort: 2_377,
    meshAddress: '10.250.0.1',
    addresses: [],
    status,
    createdAt_ms: 0,
  };
}

function service(id: string, name: string, vip: string | null): Service {
  return {
    id,
    version: 1,
    name,
    vip,
    publishes: [],
    hosts: [],
    check: defaultHealthCheck,
    generations: [],
    createdAt_ms: 0,
  };
}

t.test('mesh addresses of endpoints', async (t) => {
  t.equal(meshEndpointAddress(meshPool, 1), '10.252.0.1');
  t.equal(meshEndpointAddress(meshPool, 256), '10.252.1.0');
  t.equal(meshEndpointAddress(meshPool, 131_071), '10.253.255.255');
  t.equal(meshEndpointAddress('240.0.0.0/13', 2), '240.4.0.2');
  for (const pool of ['10.248.0.0', 'fd00::/13', '10.248.0.256/13', '']) {
    const refused = { name: 'RangeError', message: /is not an IPv4 address|is not a prefix/ };
    t.throws(() => meshEndpointAddress(pool, 1), refused, pool);
  }
  for (const slot of [0, -1, 131_072, 1.5]) {
    t.throws(() => meshEndpointAddress(meshPool, slot), /endpoint slot/, String(slot));
  }
});

t.test('the view lists endpoints that take connections, by the address that reaches them', async (t) => {
  const view = buildView({
    meshPool,
    nodes: [node('n1', 'ready'), node('n2', 'down')],
    services: [service('s1', 'web', '10.248.0.1'), service('s2', 'bare', null)],
    endpoints: [
      endpoint(1),
      endpoint(2, { health: 'unknown' }),
      endpoint(3, { health: 'unhealthy' }),
      endpoint(4, { state: 'removed' }),
      endpoint(5, { nodeId: 'n2' }),
      endpoint(6, { nodeId: 'n9' }),
      endpoint(7, { nodeId: null }),
      endpoint(8, { attachmentId: 'a1', address: '10.249.4.2' }),
      endpoint(9, { serviceId: 's9' }),
    ],
  });
  const web = view.lookup('web');
  t.match(web, {
    vip: '10.248.0.1',
    endpoints: ['10.252.0.1', '10.252.0.2', '10.252.0.7', '10.249.4.2'],
  });
  t.strictSame([...(web?.tasks?.keys() ?? [])], [1, 2, 3, 4, 5, 6, 7, 8], 'each can be named, well or not');
  t.strictSame(web?.tasks?.get(3), { slot: 3, address: '10.252.0.3', port: 80, eligible: false });
  t.match(view.lookup('bare'), { vip: null, endpoints: [], ports: [] });
  t.equal(view.lookup('other'), undefined);
  t.equal(view.lookup('constructor'), undefined);
});

t.test('names of addresses, and of nodes', async (t) => {
  const view = buildView({
    meshPool,
    nodes: [node('n1', 'ready'), { ...node('n2', 'down'), meshAddress: '10.250.0.2' }],
    services: [service('s1', 'web', '10.248.0.1'), service('s2', 'api', null)],
    endpoints: [
      endpoint(1),
      endpoint(8, { attachmentId: 'a1', address: '10.249.4.2' }),
      endpoint(9, { serviceId: 's2', attachmentId: 'a1', address: '10.249.4.2', health: 'unhealthy' }),
    ],
  });
  const names = (address: string) => view.lookupAddress(parseAddress(address) ?? -1);
  t.strictSame(names('10.248.0.1'), ['web.shoal']);
  t.strictSame(names('10.252.0.1'), ['1.tasks.web.shoal']);
  t.strictSame(names('10.252.0.8'), ['8.tasks.web.shoal']);
  t.strictSame(names('10.249.4.2'), ['8.tasks.web.shoal', '9.tasks.api.shoal']);
  t.strictSame(names('10.250.0.1'), ['n1.node.shoal']);
  t.strictSame(names('10.248.0.2'), []);
  t.strictSame(names('198.51.100.7'), [], 'a plain address is not of the mesh');
  t.equal(view.lookupNode('n2'), '10.250.0.2', 'a node that is down keeps its name');
  t.equal(view.lookupNode('n3'), undefined);
  t.strictSame(view.meshPool, { base: 0x0af8_0000, prefixLength: 13 });
  const none = buildView({ meshPool: '', nodes: [], services: [], endpoints: [] });
  t.equal(none.meshPool, undefined);
});

t.test('one address has a bounded number of names', async (t) => {
  const count = 20;
  const view = buildView({
    meshPool,
    nodes: [],
    services: [service('s1', 'web', null)],
    endpoints: Array.from({ length: count }, (_, index) =>
      endpoint(index + 1, { attachmentId: 'a1', address: '10.249.4.2' }),
    ),
  });
  t.equal(view.lookupAddress(parseAddress('10.249.4.2') ?? -1).length, 8);
});

t.test('resolv.conf', async (t) => {
  const addresses = (text: string) => parseResolvConf(text).map((upstream) => upstream.address);
  t.strictSame(parseResolvConf('nameserver 192.0.2.1\n'), [{ address: '192.0.2.1', port: 53 }]);
  t.strictSame(
    addresses('# x\n;y\nsearch a b\nnameserver\t192.0.2.1 # main\r\noptions ndots:5\nnameserver 2001:db8::1'),
    ['192.0.2.1', '2001:db8::1'],
  );
  t.strictSame(addresses('nameserver 192.0.2.1\nnameserver 192.0.2.1\nnameserver 192.0.2.2'), [
    '192.0.2.1',
    '192.0.2.2',
  ]);
  t.strictSame(
    addresses(
      'nameserver\nnameserver example\nnameserver 1.2.3\nnameservers 192.0.2.1\n#nameserver 192.0.2.1',
    ),
    [],
  );
  t.strictSame(addresses([1, 2, 3, 4, 5].map((n) => `nameserver 192.0.2.${n}`).join('\n')).length, 3);
  t.strictSame(addresses('nameserver fe80::1%eth1'), ['fe80::1%eth1']);
  t.strictSame(addresses(''), []);
});

t.test('loops', async (t) => {
  const listeners = [
    { address: '127.0.0.11', port: 53 },
    { address: '127.0.0.1', port: 5_353 },
    { address: '0.0.0.0', port: 5_300 },
  ];
  const local = ['192.0.2.10', 'fe80::1'];
  const table: [string, number, boolean][] = [
    ['127.0.0.11', 53, true],
    ['127.0.0.11', 5_353, true],
    ['::ffff:127.0.0.11', 53, true],
    ['127.0.0.53', 53, false],
    ['127.0.0.1', 53, false],
    ['127.0.0.1', 5_353, true],
    ['0.0.0.0', 5_353, true],
    ['127.0.0.2', 5_353, false],
    ['127.0.0.2', 5_300, true],
    ['192.0.2.10', 5_300, true],
    ['192.0.2.10', 53, false],
    ['192.0.2.11', 5_300, false],
    ['::1', 5_300, true],
  ];
  for (const [address, port, expected] of table) {
    t.equal(leadsBack({ address, port }, listeners, local), expected, `${address}:${port}`);
  }
});
