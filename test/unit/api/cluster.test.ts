/** Membership, tokens, nodes, networks, attachments and counters. */
import t from 'tap';
import type { AttachmentView } from '../../../control/api/routes/attachments/schemas.ts';
import type { JoinToken } from '../../../control/api/routes/join-tokens/schemas.ts';
import type { NetworkView } from '../../../control/api/routes/networks/schemas.ts';
import type { NodeView } from '../../../control/api/routes/nodes/schemas.ts';
import type { Status } from '../../../control/api/routes/status/schemas.ts';
import { FakeAgent, fakeAgent } from './fake-agent.ts';
import { TestApi } from './http.ts';

t.test('a node outside of a cluster says so, and refuses what needs one', async (t) => {
  await using api = await TestApi.of(new FakeAgent());
  const { body } = await api.get<Status>('/v1/status');
  t.match(body, { membership: 'none', nodeId: null, leader: null, dataplane: { uplink: 'eth0' } });
  const refused: ['GET' | 'POST' | 'PATCH' | 'DELETE', string, object?][] = [
    ['GET', '/v1/cluster'],
    ['GET', '/v1/nodes'],
    ['GET', '/v1/nodes/self'],
    ['GET', '/v1/networks'],
    ['POST', '/v1/networks', { name: 'backend' }],
    ['DELETE', '/v1/networks/backend'],
    ['GET', '/v1/services'],
    ['GET', '/v1/services/web'],
    ['GET', '/v1/services/web/endpoints'],
    ['POST', '/v1/services', { name: 'web' }],
    ['PATCH', '/v1/services/web', { hostAdd: ['a.b'] }],
    ['DELETE', '/v1/services/web'],
    ['GET', '/v1/attachments'],
    ['POST', '/v1/attachments', { pid: 1 }],
    ['DELETE', '/v1/attachments/abc'],
    ['GET', '/v1/join-tokens/worker'],
    ['POST', '/v1/join-tokens/worker/rotate'],
    ['POST', '/v1/cluster/leave', {}],
  ];
  for (const [method, url, sent] of refused) {
    const error = await api.fails(method, url, sent);
    t.match(
      error,
      { status: 409, code: 'NOT_INITIALISED', hint: /shoal init .* shoal join/ },
      `${method} ${url}`,
    );
  }
});

t.test('init, then leave', async (t) => {
  const agent = new FakeAgent();
  await using api = await TestApi.of(agent);
  const made = await api.call<Status>('POST', '/v1/cluster/init', { meshPool: '10.64.0.0/13' });
  t.match(made.body, {
    membership: 'member',
    role: 'manager',
    nodeName: 'edge-1',
    leader: { name: 'edge-1', address: '10.0.0.1:2377' },
    counts: { nodes: 1, nodesReady: 1, networks: 1 },
  });
  t.match(await api.fails('POST', '/v1/cluster/init', {}), { status: 409, code: 'ALREADY_INITIALISED' });
  const cluster = await api.get<Record<string, unknown>>('/v1/cluster');
  t.match(cluster.body, { meshPool: '10.64.0.0/13', caCertificate: 'CERTIFICATE' });
  t.notMatch(cluster.raw.payload, /SECRET|caKey|joinSecrets/, 'neither keys nor secrets are shown');
  const left = await api.call<Status>('POST', '/v1/cluster/leave', { force: true });
  t.match(left.body, { membership: 'none', version: 0 });
});

t.test('join passes on what the cluster says', async (t) => {
  await using api = await TestApi.of(new FakeAgent());
  const join = (address: string) => api.fails('POST', '/v1/cluster/join', { token: 'SHTKN-1-x', address });
  t.match(await join('10.0.0.1:2377'), { status: 401, code: 'INVALID_TOKEN', message: /another cluster/ });
  t.match(await join('192.0.2.1:2377'), { status: 502, code: 'UNREACHABLE', message: /192\.0\.2\.1:2377/ });
  t.match(await join('10.0.0.1'), { status: 400, code: 'BAD_REQUEST' });
});

t.test('join tokens are for managers, and can be made anew', async (t) => {
  const agent = await fakeAgent();
  await using api = await TestApi.of(agent);
  const { body } = await api.get<JoinToken>('/v1/join-tokens/worker');
  t.match(body.token, /^SHTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/);
  t.equal(body.command, `shoal join --token ${body.token} 10.0.0.1:2377`);
  const manager = await api.get<JoinToken>('/v1/join-tokens/manager');
  const rotated = await api.call<JoinToken>('POST', '/v1/join-tokens/worker/rotate');
  t.not(rotated.body.token, body.token);
  t.equal((await api.get<JoinToken>('/v1/join-tokens/worker')).body.token, rotated.body.token);
  t.equal((await api.get<JoinToken>('/v1/join-tokens/manager')).body.token, manager.body.token);
  t.match(await api.fails('GET', '/v1/join-tokens/boss'), {
    code: 'BAD_REQUEST',
    message: /role is "boss", expected "manager" or "worker"/,
  });
  const { membership } = agent.cluster;
  if (membership.state === 'member') agent.cluster.membership = { ...membership, role: 'worker' };
  t.match(await api.fails('GET', '/v1/join-tokens/worker'), { status: 403, code: 'FORBIDDEN' });
});

t.test('nodes', async (t) => {
  const agent = await fakeAgent();
  await using api = await TestApi.of(agent);
  const { body } = await api.get<NodeView[]>('/v1/nodes');
  t.same(
    body.map(({ name, role, leader, self }) => [name, role, leader, self]),
    [
      ['edge-1', 'manager', true, true],
      ['edge-2', 'worker', false, false],
      ['edge-3', 'worker', false, false],
    ],
  );
  t.equal((await api.get<NodeView>('/v1/nodes/self')).body.name, 'edge-1');
  t.equal((await api.get<NodeView>('/v1/nodes/edge-3')).body.name, 'edge-3');
  t.match(await api.fails('GET', '/v1/nodes/edge-9'), { status: 404, code: 'UNKNOWN_NODE' });
  agent.cluster.leads = false;
  t.equal((await api.get<Status>('/v1/status')).body.leader, null);
  t.equal((await api.get<NodeView>('/v1/nodes/self')).body.leader, false);
});

t.test('networks', async (t) => {
  await using api = await TestApi.of(await fakeAgent());
  const made = await api.call<NetworkView>('POST', '/v1/networks', { name: 'backend' });
  t.match(made.body, { name: 'backend', subnet: /\/22$/, attachments: 0 });
  t.same(
    (await api.get<NetworkView[]>('/v1/networks')).body.map(({ name }) => name),
    ['backend', 'mesh'],
  );
  t.equal((await api.get<NetworkView>(`/v1/networks/${made.body.id}`)).body.name, 'backend');
  t.match(await api.fails('POST', '/v1/networks', { name: 'backend' }), { code: 'NAME_IN_USE' });
  t.same((await api.call('DELETE', '/v1/networks/backend')).body, { id: made.body.id, name: 'backend' });
  t.match(await api.fails('DELETE', '/v1/networks/backend'), {
    status: 404,
    code: 'NOT_FOUND',
    message: 'there is no network "backend"',
  });
  t.match(await api.fails('DELETE', '/v1/networks/mesh'), { code: 'BAD_REQUEST' });
});

t.test('attachments', async (t) => {
  const agent = await fakeAgent();
  await using api = await TestApi.of(agent);
  await api.call('POST', '/v1/services', { name: 'web', publishes: [{ published: 80 }] });
  await api.call('POST', '/v1/networks', { name: 'backend' });
  const body = { netns: '/run/netns/app', service: 'web', port: 8080 };
  const made = await api.call<AttachmentView>('POST', '/v1/attachments', body);
  t.match(made.body, {
    node: 'edge-1',
    network: 'mesh',
    service: 'web',
    port: 8080,
    netns: '/run/netns/app',
    address: /^10\.249\./,
  });
  const second = await api.call<AttachmentView>('POST', '/v1/attachments', { pid: 42, network: 'backend' });
  t.match(second.body, { netns: '/proc/42/ns/net', network: 'backend', service: null, port: null });
  t.equal((await api.get<AttachmentView[]>('/v1/attachments')).body.length, 2);

  t.match(await api.fails('POST', '/v1/attachments', {}), { message: /either netns or pid/ });
  t.match(await api.fails('POST', '/v1/attachments', { pid: 1, netns: '/x' }), {
    message: /either netns or pid/,
  });
  t.match(await api.fails('POST', '/v1/attachments', { pid: 1, port: 80 }), {
    message: /port needs a service/,
  });
  t.match(await api.fails('POST', '/v1/attachments', { pid: 1, network: 'no' }), { code: 'NOT_FOUND' });
  t.match(await api.fails('POST', '/v1/attachments', { pid: 1, service: 'no' }), { code: 'UNKNOWN_SERVICE' });

  const path = encodeURIComponent('/run/netns/app');
  await api.call('POST', '/v1/attachments', { netns: '/run/netns/app', network: 'backend' });
  t.match(await api.fails('DELETE', `/v1/attachments/${path}`), {
    message: /is the namespace of 2 attachments/,
  });
  t.equal((await api.call<AttachmentView>('DELETE', `/v1/attachments/${made.body.id}`)).body.service, 'web');
  t.equal((await api.call<AttachmentView>('DELETE', `/v1/attachments/${path}`)).body.network, 'backend');
  t.match(await api.fails('DELETE', `/v1/attachments/${path}`), { status: 404, code: 'NOT_FOUND' });

  const away = agent.cluster.state.byName('node', 'edge-2')?.id ?? '';
  await agent.cluster.propose({
    type: 'attachment.create',
    id: 'elsewhere-1',
    nodeId: away,
    network: 'mesh',
    netns: '/run/netns/far',
    endpointId: 'endpoint-far',
    at_ms: 1,
  });
  t.match(await api.fails('DELETE', '/v1/attachments/elsewhere-1'), {
    code: 'BAD_REQUEST',
    message: /is on node "edge-2": detach it there/,
  });
});

t.test('drops and flows', async (t) => {
  const agent = await fakeAgent();
  agent.flowCount = 250;
  await using api = await TestApi.of(agent);
  t.match((await api.get('/v1/drops')).body, [{ reason: 'no_endpoint', packets: 7 }, { packets: 0 }]);
  const flows = await api.get<{ flows: object[]; total: number; limit: number }>('/v1/flows');
  t.match(flows.body, { total: 250, limit: 100, flows: [{ client: '198.51.100.1:40000', age_ms: 61_000 }] });
  t.equal(flows.body.flows.length, 100);
  t.equal((await api.get<{ flows: object[] }>('/v1/flows?limit=200')).body.flows.length, 200);
  t.match(await api.fails('GET', '/v1/flows?limit=0'), { message: /limit is 0, expected at least 1/ });
  t.match(await api.fails('GET', '/v1/flows?limit=many'), { message: /limit is "many", expected integer/ });
});
