import t from 'tap';
import { parseIpv4 } from '../../../dataplane/addresses.ts';
import { type CompileContext, compile } from '../../../dataplane/state/compile.ts';
import type { DesiredService, DesiredState } from '../../../dataplane/state/desired.ts';
import { ownersPerBucket } from '../../../dataplane/state/owners.ts';

const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
const context: CompileContext = {
  facts: { uplinkIfindex: 3, veths: new Map([['10.249.0.5', { ifindex: 17, mac }]]) },
  allocation: new Map(),
  bucketCapacity: 4096,
};

const web: DesiredService = {
  id: 'web',
  vip: '10.248.0.1',
  publishes: [
    { slot: 1, address: null, port: 80, target: 8080, protocol: 'tcp' },
    { slot: 2, address: '192.0.2.77', port: 53, target: null, protocol: 'udp' },
  ],
  owners: [11, 12],
  generations: [],
};

const state: DesiredState = {
  self: 1,
  nodes: [
    {
      slot: 1,
      vtep: '192.0.2.1',
      meshAddress: '10.250.0.1',
      addresses: ['192.0.2.1', '192.0.2.101'],
    },
    { slot: 2, vtep: '192.0.2.2', meshAddress: '10.250.0.2', addresses: ['192.0.2.2'] },
  ],
  services: [web],
  endpoints: [
    { slot: 11, address: '127.0.0.1', port: 8080, kind: 'host', node: 1 },
    { slot: 12, address: '10.249.0.5', port: 8080, kind: 'namespace', node: 1 },
    { slot: 13, address: '10.249.0.6', port: 8080, kind: 'namespace', node: 2 },
    { slot: 14, address: '203.0.113.9', port: 8080, kind: 'nat', node: 1 },
    { slot: 15, address: '203.0.113.10', port: 8080, kind: 'nat', node: 2 },
  ],
  sharedAddresses: ['10.248.9.9'],
  attachments: [
    { id: 'a', address: '10.249.0.5', node: 1, netns: '/run/netns/a' },
    { id: 'b', address: '10.249.0.6', node: 2, netns: '/run/netns/b' },
    { id: 'c', address: '10.249.0.7', node: 1, netns: '/run/netns/c' },
  ],
};

t.test('the keys that lead to a published port', async (t) => {
  const { contents } = compile(state, context);
  t.strictSame(
    [...contents.frontendSlots].map(([key, { slot }]) => [key, slot]),
    [
      ['192.0.2.1:80/tcp', 1],
      ['192.0.2.101:80/tcp', 1],
      ['10.248.0.1:80/tcp', 1],
      ['192.0.2.77:53/udp', 2],
      ['10.248.0.1:53/udp', 2],
    ],
    'every address of this node or the one asked for, and the VIP',
  );
  t.strictSame(contents.frontendSlots.get('192.0.2.77:53/udp')?.key, {
    address: parseIpv4('192.0.2.77'),
    port: 53,
    protocol: 17,
    reserved: 0,
  });
});

t.test('both ports of a service share one table', async (t) => {
  const { contents, allocation } = compile(state, context);
  t.strictSame([...allocation], [['web', { base: 0, size: 64 }]]);
  const common = { bucket_base: 0, bucket_mask: 63, refuse: 0, reserved: 0 };
  t.strictSame(
    [...contents.frontends],
    [
      [1, { ...common, target_port: 8080 }],
      [2, { ...common, target_port: 0 }],
    ],
  );
  t.strictSame([...contents.tables.keys()], [0]);
  t.equal(contents.tables.get(0)?.length, 64 * ownersPerBucket);
});

t.test('a service that publishes nothing takes no buckets', async (t) => {
  const { contents, allocation } = compile({ ...state, services: [{ ...web, publishes: [] }] }, context);
  t.equal(allocation.size, 0);
  t.equal(contents.tables.size, 0);
  t.equal(contents.frontendSlots.size, 0);
});

t.test('without an endpoint for new connections, they are refused', async (t) => {
  const { contents } = compile(
    { ...state, services: [{ ...web, owners: [], generations: [[11]] }] },
    context,
  );
  t.equal(contents.frontends.get(1)?.refuse, 1);
  t.equal(contents.tables.get(0)?.[0], 11, 'and open ones find their endpoint');
});

t.test('devices and addresses are those of this node only', async (t) => {
  const { contents } = compile(state, context);
  const device = (slot: number): unknown => {
    const { node, kind, ifindex, mac: address } = contents.endpoints.get(slot) ?? {};
    return [node, kind, ifindex, address?.[5]];
  };
  t.strictSame(device(11), [1, 1, 0, 0]);
  t.strictSame(device(12), [1, 2, 17, 9], 'a namespace here: its veth');
  t.strictSame(device(13), [2, 2, 0, 0]);
  t.strictSame(device(14), [1, 3, 3, 0], 'a plain address at home here: the uplink');
  t.strictSame(device(15), [2, 3, 0, 0]);
  t.strictSame(
    [...contents.meshAddresses].map(([address, { node, ifindex }]) => [address, node, ifindex]),
    [
      [parseIpv4('10.250.0.1'), 1, 0],
      [parseIpv4('10.250.0.2'), 2, 0],
      [parseIpv4('10.249.0.5'), 1, 17],
      [parseIpv4('10.249.0.6'), 2, 0],
      [parseIpv4('10.248.9.9'), 1, 0],
    ],
    'an attachment of this node without a veth is left out',
  );
  t.strictSame(
    [...contents.nodes],
    [
      [1, { vtep: parseIpv4('192.0.2.1') }],
      [2, { vtep: parseIpv4('192.0.2.2') }],
    ],
  );
});

t.test('earlier owners that do not exist any more own nothing', async (t) => {
  const services = [{ ...web, owners: [11], generations: [[99], [13]] }];
  const { contents } = compile({ ...state, services }, context);
  t.strictSame([...(contents.tables.get(0)?.subarray(0, 4) ?? [])], [11, 13, 0, 0]);
});

t.test('two nodes with the same state agree on every bucket', async (t) => {
  const one = compile(state, context).contents;
  const two = compile(
    { ...state, self: 2 },
    { ...context, facts: { uplinkIfindex: 9, veths: new Map() } },
  ).contents;
  t.strictSame(one.tables, two.tables);
  t.strictSame(one.frontends, two.frontends);
  t.strictSame(
    [...two.frontendSlots.keys()].filter((key) => key.startsWith('192.0.2.2:')),
    ['192.0.2.2:80/tcp'],
  );
});

t.test('no room for the tables', async (t) => {
  t.throws(() => compile(state, { ...context, bucketCapacity: 32 }), { name: 'BucketsExhausted' });
});
