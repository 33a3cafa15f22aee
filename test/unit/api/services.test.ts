/** /v1/services: from body to command to answer, and back in every refusal. */
import t from 'tap';
import type {
  ChangedService,
  EndpointView,
  ServiceView,
} from '../../../control/api/routes/services/schemas.ts';
import { shoalError } from '../../../control/errors.ts';
import { defaultHealthCheck } from '../../../control/store/objects.ts';
import { fakeAgent } from './fake-agent.ts';
import { TestApi } from './http.ts';

const web = {
  name: 'web',
  publishes: [{ published: 80, target: 8080 }],
  endpoints: [
    { address: '127.0.0.1', port: 8080, node: 'edge-2' },
    { address: '10.9.0.1', port: 80 },
  ],
};

t.test('a service is created with defaults for what is left out', async (t) => {
  const agent = await fakeAgent();
  await using api = await TestApi.of(agent);
  const { status, body } = await api.call<ChangedService>('POST', '/v1/services', web);
  t.equal(status, 200);
  t.match(body, {
    name: 'web',
    vip: /^10\.248\./,
    publishes: [{ address: null, published: 80, target: 8080, protocol: 'tcp' }],
    hosts: [],
    check: defaultHealthCheck,
    endpointCounts: { eligible: 2, serving: 2 },
    convergence: { applied: ['edge-1', 'edge-2', 'edge-3'], missing: [] },
  });
  t.same(
    agent.cluster.waits,
    [{ version: agent.cluster.state.version, timeout_ms: 5_000 }],
    'it waits for the version that holds the endpoints, five seconds unless told',
  );
  const endpoints = await api.get<EndpointView[]>('/v1/services/web/endpoints');
  t.same(endpoints.body.map(({ address, port, node, eligible }) => [address, port, node, eligible]).sort(), [
    ['10.9.0.1', 80, null, true],
    ['127.0.0.1', 8080, 'edge-2', true],
  ]);
});

t.test('waiting can be longer, or not at all', async (t) => {
  const agent = await fakeAgent();
  agent.cluster.stuck.add(await agent.cluster.addNode('edge-4', 'worker', 4));
  await using api = await TestApi.of(agent);
  const waited = await api.call<ChangedService>('POST', '/v1/services?wait_ms=20000', web);
  t.same(waited.body.convergence?.missing, ['edge-4'], 'a node that does not have it is named');
  t.equal(agent.cluster.waits.at(-1)?.timeout_ms, 20_000);
  const not = await api.call<ChangedService>('PATCH', '/v1/services/web?wait_ms=0', {
    hostAdd: ['a.example.com'],
  });
  t.equal(not.body.convergence, undefined);
  t.same(not.body.hosts, ['a.example.com']);
  t.equal(agent.cluster.waits.length, 1);
});

t.test('a change that was made does not look refused when nobody can tell who has it', async (t) => {
  const agent = await fakeAgent();
  agent.cluster.waitApplied = () => Promise.reject(shoalError('NO_LEADER'));
  await using api = await TestApi.of(agent);
  const { status, body } = await api.call<ChangedService>('POST', '/v1/services', web);
  t.equal(status, 200);
  t.same(body.convergence, { applied: [], missing: ['edge-1', 'edge-2', 'edge-3'] });
});

t.test('services are found by name, id and unique beginning of an id', async (t) => {
  await using api = await TestApi.of(await fakeAgent());
  const { body } = await api.call<ChangedService>('POST', '/v1/services', web);
  for (const ref of ['web', body.id, body.id.slice(0, 12)]) {
    const found = await api.get<ServiceView>(`/v1/services/${ref}`);
    t.equal(found.body.id, body.id, ref);
  }
  t.match(await api.fails('GET', '/v1/services/wab'), {
    status: 404,
    code: 'UNKNOWN_SERVICE',
    message: 'there is no service "wab"',
    hint: 'shoal service ls lists the services',
  });
  t.match(await api.fails('GET', '/v1/services/we..b'), { status: 400, code: 'BAD_REQUEST' });
});

t.test('the beginning of two ids is refused', async (t) => {
  const agent = await fakeAgent();
  await using api = await TestApi.of(agent);
  // 37 ids of 36 possible first characters: at least two begin alike.
  for (let index = 0; index < 37; index++) {
    await api.call('POST', '/v1/services?wait_ms=0', { name: `s${index}` });
  }
  const firsts = agent.cluster.state.list('service').map(({ id }) => id.slice(0, 1));
  const twice = firsts.find((first, index) => firsts.indexOf(first) !== index) ?? '';
  t.match(await api.fails('GET', `/v1/services/${twice}`), {
    code: 'BAD_REQUEST',
    message: /is the beginning of the ids of \d+ services/,
  });
});

t.test('an update changes what it names, and a check in part', async (t) => {
  const agent = await fakeAgent();
  await using api = await TestApi.of(agent);
  const made = await api.call<ChangedService>('POST', '/v1/services', web);
  const { status, body } = await api.call<ChangedService>('PATCH', '/v1/services/web', {
    endpointAdd: [{ address: '10.9.0.2', port: 80 }],
    endpointRemove: [{ address: '127.0.0.1', port: 8080, node: 'edge-2' }],
    publishAdd: [{ published: 81, protocol: 'udp', address: '10.0.0.1' }],
    publishRemove: [{ published: 80, target: 8080 }],
    check: { kind: 'http', path: '/up' },
  });
  t.equal(status, 200);
  t.match(body, {
    publishes: [{ address: '10.0.0.1', published: 81, target: null, protocol: 'udp' }],
    check: { ...defaultHealthCheck, kind: 'http', path: '/up' },
    endpointCounts: { serving: 2 },
  });
  t.match(
    agent.cluster.proposed.at(-1),
    { type: 'service.update', version: made.body.version },
    'a check in part holds only for the version it was completed from',
  );
  t.match(await api.fails('PATCH', '/v1/services/web', { version: made.body.version, hostAdd: ['a.b'] }), {
    status: 409,
    code: 'VERSION_CONFLICT',
  });
});

t.test('removal', async (t) => {
  const agent = await fakeAgent();
  await using api = await TestApi.of(agent);
  const made = await api.call<ChangedService>('POST', '/v1/services', web);
  t.match(await api.fails('DELETE', '/v1/services/web?version=1'), { code: 'VERSION_CONFLICT' });
  const { body } = await api.call('DELETE', `/v1/services/web?version=${made.body.version}`);
  t.same(body, { id: made.body.id, name: 'web' });
  t.same((await api.get<ServiceView[]>('/v1/services')).body, []);
});

t.test('what the store refuses comes with its own code', async (t) => {
  await using api = await TestApi.of(await fakeAgent());
  await api.call('POST', '/v1/services', web);
  t.match(await api.fails('POST', '/v1/services', web), {
    status: 409,
    code: 'NAME_IN_USE',
    message: 'service "web" exists already',
  });
  t.match(await api.fails('POST', '/v1/services', { ...web, name: 'other' }), {
    status: 409,
    code: 'PORT_IN_USE',
    message: 'port 80/tcp is published by service "web"',
  });
  const elsewhere = { name: 'x', endpoints: [{ address: '10.9.0.1', port: 80, node: 'edge-9' }] };
  t.match(await api.fails('POST', '/v1/services', elsewhere), {
    status: 404,
    code: 'UNKNOWN_NODE',
    message: 'there is no node "edge-9" in this cluster',
  });
});

t.test('what does not fit the schema names the field, the value and what is expected', async (t) => {
  await using api = await TestApi.of(await fakeAgent());
  const cases: [object, string][] = [
    [{}, 'the body lacks the field "name"'],
    [{ name: 'web', colour: 'red' }, 'there is no field "colour" in the body'],
    [{ name: 'Web' }, 'name is "Web", expected text that matches'],
    [{ name: 'web', vip: 'yes' }, 'vip is "yes", expected "auto" or null or an IPv4 address'],
    [
      { name: 'web', publishes: [{ published: 80 }, { published: 0 }] },
      'publishes[1].published is 0, expected at least 1',
    ],
    [{ name: 'web', publishes: [{ published: '80' }] }, 'publishes[0].published is "80", expected integer'],
    [
      { name: 'web', publishes: [{ published: 80, protocol: 'sctp' }] },
      'publishes[0].protocol is "sctp", expected "tcp" or "udp" or "http" or "tls"',
    ],
    [
      { name: 'web', publishes: [{ published: 80, mode: 1 }] },
      'there is no field "publishes[0].mode" in the body',
    ],
    [
      { name: 'web', endpoints: [{ address: '10.0.0.256', port: 1 }] },
      'endpoints[0].address is "10.0.0.256", expected an IPv4 address',
    ],
    [{ name: 'web', endpoints: [{ address: '10.0.0.1' }] }, 'the body lacks the field "endpoints[0].port"'],
    [{ name: 'web', check: { interval_ms: 1 } }, 'check.interval_ms is 1, expected at least 50'],
    [{ name: 'web', hosts: ['A.b'] }, 'hosts[0] is "A.b", expected text that matches'],
    [
      { name: 'web', endpoints: Array.from({ length: 1_001 }, () => ({ address: '10.0.0.1', port: 1 })) },
      'expected at most 1000 items',
    ],
    [[], 'body is [], expected object'],
  ];
  for (const [body, message] of cases) {
    const error = await api.fails('POST', '/v1/services', body);
    t.match(error, { status: 400, code: 'BAD_REQUEST' }, message);
    t.ok(error.message.includes(message), `${error.message} has: ${message}`);
  }
  await api.call('POST', '/v1/services', web);
  t.match(await api.fails('PATCH', '/v1/services/web', {}), { message: /names nothing to change/ });
  t.match(await api.fails('PATCH', '/v1/services/web', { version: 3 }), {
    message: /names nothing to change/,
  });
  t.match(await api.fails('POST', '/v1/services?wait_ms=99999999', web), {
    message: 'the request is not valid: wait_ms is 99999999, expected at most 20000',
  });
  t.match(await api.fails('POST', '/v1/services?wait=1', web), { message: /no field "wait" in the query/ });
});

t.test('ports of the cluster itself, and those that nobody reaches, are refused', async (t) => {
  const agent = await fakeAgent();
  await using api = await TestApi.of(agent);
  await api.call('POST', '/v1/services', web);
  const node = agent.cluster.state.list('node')[0];
  const cluster = agent.cluster.state.cluster();
  if (node === undefined || cluster === undefined) throw new Error('the fake agent is in a cluster');
  const proposed = agent.cluster.proposed.length;
  for (const [publish, reason] of [
    [{ published: node.controlPort }, /is the control port of node "edge-\d"/],
    [{ published: node.controlPort, protocol: 'http' }, /is the control port/],
    [{ published: node.controlPort, address: node.addresses[0] }, /is the control port of node "edge-\d"/],
    [{ published: cluster.tunnelPort, protocol: 'udp' }, /carries the tunnels between nodes/],
    [{ published: 99, address: '127.0.0.1' }, /no client reaches 127\.0\.0\.1/],
  ] as const) {
    const refusal = { status: 400, body: { error: { code: 'BAD_REQUEST', message: reason } } };
    t.match(await api.call('POST', '/v1/services', { name: 'x', publishes: [publish] }), refusal);
    t.match(await api.call('PATCH', '/v1/services/web', { publishAdd: [publish] }), refusal);
  }
  t.equal(agent.cluster.proposed.length, proposed, 'the cluster was not asked');
  const fine = [{ published: node.controlPort, protocol: 'udp' }, { published: cluster.tunnelPort }];
  t.match(await api.call('POST', '/v1/services', { name: 'fine', publishes: fine }), { status: 200 });
});
