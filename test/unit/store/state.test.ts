import t from 'tap';
import type { Command } from '../../../control/store/commands.ts';
import { parseCommand } from '../../../control/store/commands.ts';
import { rememberedRequestsLimit, State } from '../../../control/store/state.ts';
import { createCommand, endpoint, initCommand, newNode, publish } from './commands.ts';

/** A state with a cluster of one manager, and a function that applies a checked command to it. */
function initialised() {
  const state = new State();
  const apply = (command: Command, requestId?: string) =>
    state.apply(state.version + 1, parseCommand(command), requestId);
  apply(initCommand());
  return { state, apply };
}

function codeOf(result: ReturnType<State['apply']>): string {
  return result.ok ? 'ok' : result.error.code;
}

t.test('init makes the cluster, its first node and the network mesh', async (t) => {
  const { state, apply } = initialised();
  t.match(state.cluster(), { id: 'cluster-0001', version: 1 });
  t.match(state.byName('node', 'n1'), { slot: 1, meshAddress: '10.250.0.1', status: 'ready', version: 1 });
  t.match(state.byName('network', 'mesh'), { subnet: '10.249.0.0/22' });
  t.equal(codeOf(apply(initCommand())), 'ALREADY_INITIALISED');
  const bare = new State();
  const pool = initCommand() as Extract<Command, { type: 'cluster.init' }>;
  pool.cluster.meshPool = '10.249.0.0/13';
  t.equal(codeOf(bare.apply(1, pool)), 'BAD_REQUEST', 'an unaligned pool');
  t.equal(codeOf(bare.apply(2, createCommand('a'))), 'NOT_INITIALISED');
});

t.test('services get VIPs and slots that are used again as late as possible', async (t) => {
  const { state, apply } = initialised();
  apply(createCommand('a', { publishes: [publish(80)], endpoints: [endpoint(1), endpoint(2)] }));
  const a = state.byName('service', 'a');
  t.equal(a?.vip, '10.248.0.2');
  t.strictSame(
    a?.publishes.map((p) => p.slot),
    [1],
  );
  t.strictSame(
    state.endpointsOf('service-a').map((e) => e.slot),
    [1, 2],
  );
  apply({ type: 'service.remove', ref: 'a' });
  t.strictSame(state.list('endpoint'), []);
  apply(createCommand('b', { publishes: [publish(80)], endpoints: [endpoint(3)] }));
  t.match(state.byName('service', 'b'), { vip: '10.248.0.3', publishes: [{ slot: 2 }] });
  t.equal(state.endpointsOf('service-b')[0]?.slot, 3);
});

t.test('ports of two services exclude each other, unless host names tell them apart', async (t) => {
  const { apply } = initialised();
  const web = (name: string, hosts: string[], protocol: 'http' | 'tls' | 'tcp' | 'udp' = 'http') =>
    codeOf(apply(createCommand(name, { hosts, publishes: [publish(443, { protocol })] })));
  t.equal(web('a', ['a.example.com', '*.a.example.com']), 'ok');
  t.equal(web('b', ['b.example.com']), 'ok');
  t.equal(web('c', ['c.example.com', 'b.example.com']), 'HOST_IN_USE');
  t.equal(web('d', ['d.example.com'], 'tls'), 'PORT_IN_USE', 'http and tls do not share');
  t.equal(web('e', [], 'tcp'), 'PORT_IN_USE');
  t.equal(web('f', [], 'udp'), 'ok', 'another transport');
  t.equal(web('g', []), 'BAD_REQUEST', 'http needs a host');
  t.equal(
    codeOf(apply(createCommand('h', { publishes: [publish(443, { address: '192.0.2.1' })] }))),
    'ok',
    'an exact address is another frontend',
  );
  t.equal(
    codeOf(apply(createCommand('i', { publishes: [publish(9, {}), publish(9, {})] }))),
    'PORT_IN_USE',
    'also within one service',
  );
  t.equal(
    codeOf(apply({ type: 'service.update', ref: 'a', hostAdd: ['b.example.com'], at_ms: 1 })),
    'HOST_IN_USE',
  );
  t.equal(
    codeOf(
      apply({ type: 'service.update', ref: 'a', hostRemove: ['a.example.com', '*.a.example.com'], at_ms: 1 }),
    ),
    'BAD_REQUEST',
  );
});

t.test('a VIP that is given must be free and sensible', async (t) => {
  const { apply, state } = initialised();
  t.equal(codeOf(apply(createCommand('a', { vip: '10.248.0.2' }))), 'ok');
  t.equal(codeOf(apply(createCommand('b', { vip: '10.248.0.2' }))), 'NAME_IN_USE');
  t.equal(codeOf(apply(createCommand('c'))), 'ok');
  t.equal(state.byName('service', 'c')?.vip, '10.248.0.3', 'the pool passes over it');
  t.equal(codeOf(apply(createCommand('d', { vip: '10.250.0.1' }))), 'BAD_REQUEST', 'a mesh address');
  t.equal(codeOf(apply(createCommand('e', { vip: '192.0.2.1' }))), 'BAD_REQUEST', 'a node has it');
});

t.test(
  'generations: the former set comes first, once, bounded, and keeps removed endpoints alive',
  async (t) => {
    const { state, apply } = initialised();
    apply(createCommand('a', { endpoints: [endpoint(1)] }));
    const generations = () => state.byName('service', 'a')?.generations;
    t.strictSame(generations(), [], 'the first set follows an empty one');
    apply({ type: 'service.update', ref: 'a', endpointAdd: [endpoint(2)], at_ms: 1 });
    t.strictSame(generations(), [[1]]);
    apply({
      type: 'service.update',
      ref: 'a',
      endpointRemove: [{ address: '198.51.100.1', port: 8_080 }],
      at_ms: 1,
    });
    t.strictSame(generations(), [[1, 2], [1]]);
    t.equal(state.get('endpoint', 'endpoint-1')?.state, 'removed', 'its flows live on');
    apply({
      type: 'service.update',
      ref: 'a',
      endpointAdd: [{ ...endpoint(1), id: 'endpoint-again' }],
      at_ms: 1,
    });
    t.match(
      state.get('endpoint', 'endpoint-1'),
      { state: 'serving', slot: 1 },
      'it serves again in its old slot',
    );
    t.strictSame(generations(), [[2], [1]], 'the current set is not in it');
    apply({
      type: 'endpoint.health',
      reports: [{ id: 'endpoint-2', health: 'unhealthy', reason: 'refused' }],
    });
    t.strictSame(generations(), [[1, 2], [2]]);
    const before = state.byName('service', 'a')?.version;
    apply({
      type: 'endpoint.health',
      reports: [{ id: 'endpoint-2', health: 'unhealthy', reason: 'refused' }],
    });
    t.equal(state.byName('service', 'a')?.version, before, 'a report that says nothing new changes nothing');
    for (let n = 3; n < 20; n += 1)
      apply({ type: 'service.update', ref: 'a', endpointAdd: [endpoint(n)], at_ms: 1 });
    t.equal(generations()?.length, 8);
    const all = generations() ?? [];
    apply({
      type: 'service.update',
      ref: 'a',
      endpointRemove: [{ address: '198.51.100.19', port: 8_080 }],
      at_ms: 1,
    });
    t.equal(state.get('endpoint', 'endpoint-19')?.state, 'removed');
    const newest = generations()?.[0];
    t.ok(newest?.includes(19), 'named by the newest generation');
    apply({ type: 'service.forget', id: 'service-a', generations: [newest ?? []] });
    t.equal(
      state.get('endpoint', 'endpoint-19'),
      undefined,
      'forgotten with the last generation that names it',
    );
    t.ok(all.length > 0);
  },
);

t.test('a node that is down takes its endpoints out, and brings them back', async (t) => {
  const { state, apply } = initialised();
  apply({ type: 'node.join', node: newNode(4) });
  apply(createCommand('a', { endpoints: [endpoint(1, 'node-0001'), endpoint(2, 'node-0004')] }));
  apply({ type: 'node.update', id: 'node-0004', patch: { status: 'down' } });
  t.strictSame(state.byName('service', 'a')?.generations, [[1, 2]]);
  apply({ type: 'node.update', id: 'node-0004', patch: { status: 'ready' } });
  t.strictSame(state.byName('service', 'a')?.generations, [[1]]);
  const version = state.get('node', 'node-0004')?.version;
  apply({ type: 'node.update', id: 'node-0004', patch: { status: 'ready' } });
  t.equal(state.get('node', 'node-0004')?.version, version, 'no change, no new version');
  apply({ type: 'node.remove', id: 'node-0004' });
  t.match(state.get('endpoint', 'endpoint-2'), { state: 'removed' });
  t.equal(state.get('node', 'node-0004'), undefined);
});

t.test('nodes are told apart by name, id, address and Raft id', async (t) => {
  const { apply } = initialised();
  const join = (patch: object) => codeOf(apply({ type: 'node.join', node: { ...newNode(2), ...patch } }));
  t.equal(join({ name: 'n1' }), 'NAME_IN_USE');
  t.equal(join({ id: 'node-0001' }), 'NAME_IN_USE');
  t.equal(join({ advertiseAddress: '192.0.2.1' }), 'NAME_IN_USE');
  t.equal(join({ raftId: 1 }), 'NAME_IN_USE');
  t.equal(join({ raftId: 0 }), 'BAD_REQUEST', 'a manager has a Raft id');
  t.equal(join({}), 'ok');
});

t.test('a node whose control port is published on its addresses cannot join', async (t) => {
  const { apply } = initialised();
  apply(createCommand('a', { publishes: [publish(5_000)] }));
  const join = (controlPort: number) =>
    codeOf(apply({ type: 'node.join', node: { ...newNode(2), controlPort } }));
  t.equal(join(5_000), 'PORT_IN_USE');
  t.equal(join(5_001), 'ok');
});

t.test('attachments get addresses of their network and become endpoints', async (t) => {
  const { state, apply } = initialised();
  apply(createCommand('a', { publishes: [publish(80, { target: 8_080 })] }));
  const attach = (id: string, more: object = {}) =>
    apply({
      type: 'attachment.create',
      id: `attachment-${id}`,
      nodeId: 'node-0001',
      network: 'mesh',
      netns: `/run/netns/${id}`,
      endpointId: `endpoint-${id}`,
      at_ms: 1,
      ...more,
    });
  t.match(attach('1'), { ok: true, value: { address: '10.249.0.2' } });
  t.equal(codeOf(attach('1')), 'NAME_IN_USE');
  t.equal(codeOf(attach('2', { network: 'none' })), 'NOT_FOUND');
  t.equal(codeOf(attach('2', { service: 'none' })), 'UNKNOWN_SERVICE');
  t.match(
    attach('2', { service: 'a' }),
    { ok: true, value: { address: '10.249.0.3' } },
    'refusals took no address',
  );
  t.match(state.get('endpoint', 'endpoint-2'), {
    address: '10.249.0.3',
    port: 8_080,
    attachmentId: 'attachment-2',
  });
  t.equal(codeOf(apply({ type: 'network.remove', ref: 'mesh' })), 'BAD_REQUEST');
  apply({ type: 'attachment.remove', id: 'attachment-2' });
  t.match(state.get('endpoint', 'endpoint-2'), { state: 'removed' });
  t.match(attach('3'), { ok: true, value: { address: '10.249.0.4' } });
});

t.test('a writer that read an older version is told', async (t) => {
  const { state, apply } = initialised();
  apply(createCommand('a'));
  const version = state.byName('service', 'a')?.version ?? 0;
  t.equal(
    codeOf(apply({ type: 'service.update', ref: 'a', version, publishAdd: [publish(80)], at_ms: 1 })),
    'ok',
  );
  t.equal(
    codeOf(apply({ type: 'service.update', ref: 'a', version, publishAdd: [publish(81)], at_ms: 1 })),
    'VERSION_CONFLICT',
  );
  t.equal(codeOf(apply({ type: 'service.remove', ref: 'a', version })), 'VERSION_CONFLICT');
});

t.test('a request that is repeated is answered again and not applied again', async (t) => {
  const { state, apply } = initialised();
  const first = apply(createCommand('a'), 'request-1');
  const second = apply(createCommand('a'), 'request-1');
  t.strictSame(second, first);
  t.equal(codeOf(apply(createCommand('a'), 'request-2')), 'NAME_IN_USE');
  t.equal(codeOf(apply({ type: 'service.remove', ref: 'a' }, 'request-3')), 'ok');
  t.equal(
    codeOf(apply(createCommand('a'), 'request-2')),
    'NAME_IN_USE',
    'the answer stays, though it would work now',
  );
  const restored = State.restore(state.snapshot());
  t.equal(codeOf(restored.apply(state.version + 1, createCommand('a'), 'request-2')), 'NAME_IN_USE');
  for (let n = 0; n < rememberedRequestsLimit; n += 1) {
    apply({ type: 'endpoint.health', reports: [] }, `later-${n}`);
  }
  t.equal(codeOf(apply(createCommand('a'), 'request-2')), 'ok', 'the memory is bounded');
});

t.test('what a worker is given holds no secrets', async (t) => {
  const { state } = initialised();
  const bytes = Buffer.from(state.snapshot({ forWorker: true })).toString();
  t.notMatch(bytes, /key-of-the-root/);
  t.notMatch(bytes, /mmmmm|wwwww/);
  t.match(Buffer.from(state.snapshot()).toString(), /key-of-the-root/);
});

t.test('bad snapshots are refused and leave the state as it was', async (t) => {
  const { state } = initialised();
  const before = state.snapshot();
  t.throws(() => state.load(Buffer.from('{')), { code: 'STORAGE_FAILED' });
  t.throws(() => state.load(Buffer.from('{"format":99}')), { code: 'STORAGE_FAILED' });
  t.strictSame(state.snapshot(), before);
  t.throws(() => state.skip(state.version), /does not follow/);
});
