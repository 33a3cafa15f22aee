/** Who may call what on the control port. */

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FastifyRequest } from 'fastify';
import t from 'tap';
import { peerOfSocket } from '../../../control/api/access.ts';
import { buildApp } from '../../../control/api/app.ts';
import type { Peer } from '../../../control/cluster/types.ts';
import { fakeAgent } from './fake-agent.ts';
import { TestApi } from './http.ts';

const routes: ['GET' | 'POST' | 'PATCH' | 'DELETE', string, object?][] = [
  ['GET', '/v1/status'],
  ['GET', '/v1/nodes'],
  ['GET', '/v1/nodes/edge-1'],
  ['GET', '/v1/services'],
  ['GET', '/v1/services/web'],
  ['GET', '/v1/services/web/endpoints'],
  ['GET', '/openapi.json'],
  ['GET', '/docs'],
  ['GET', '/v1/cluster'],
  ['GET', '/v1/networks'],
  ['GET', '/v1/networks/mesh'],
  ['GET', '/v1/attachments'],
  ['GET', '/v1/drops'],
  ['GET', '/v1/flows'],
  ['GET', '/v1/join-tokens/manager'],
  ['POST', '/v1/join-tokens/manager/rotate'],
  ['POST', '/v1/services', { name: 'api' }],
  ['PATCH', '/v1/services/web', { hostAdd: ['a.b'] }],
  ['DELETE', '/v1/services/web'],
  ['POST', '/v1/networks', { name: 'backend' }],
  ['DELETE', '/v1/networks/backend'],
  ['POST', '/v1/attachments', { pid: 1 }],
  ['DELETE', '/v1/attachments/%2Fproc%2F1%2Fns%2Fnet'],
  ['POST', '/v1/cluster/init', {}],
  ['POST', '/v1/cluster/join', { token: 'x', address: 'a:1' }],
  ['POST', '/v1/cluster/leave', {}],
];

/** Status of every route for one caller, by method and path. */
async function statuses(peer: Peer | undefined): Promise<Record<string, number>> {
  const agent = await fakeAgent();
  await using local = await TestApi.of(agent);
  await local.call('POST', '/v1/services', { name: 'web' });
  await using api = await TestApi.of(agent, 'remote', () => peer);
  const found: Record<string, number> = {};
  for (const [method, url, body] of routes) {
    const sent = body === undefined ? {} : { payload: body };
    found[`${method} ${url}`] = (await api.app.inject({ method, url, ...sent })).statusCode;
  }
  return found;
}

t.test('a worker reads status, nodes and services, and nothing else', async (t) => {
  const found = await statuses({ nodeId: 'n', role: 'worker' });
  const allowed = routes.slice(0, 8).map(([method, url]) => `${method} ${url}`);
  for (const [route, status] of Object.entries(found)) {
    t.equal(status, allowed.includes(route) ? 200 : 403, route);
  }
});

t.test('a manager may do everything but what is of the node itself', async (t) => {
  const found = await statuses({ nodeId: 'n', role: 'manager' });
  for (const [route, status] of Object.entries(found)) {
    t.equal(status, /cluster\/(init|join|leave)/.test(route) ? 403 : 200, route);
  }
});

t.test('whoever has shown no certificate may do nothing', async (t) => {
  for (const [route, status] of Object.entries(await statuses(undefined))) t.equal(status, 401, route);
  await using api = await TestApi.of(await fakeAgent(), 'remote', () => undefined);
  t.match(await api.fails('GET', '/nowhere'), { status: 401, code: 'UNAUTHENTICATED' });
});

t.test('the peer is what the TLS layer left on the socket, and nothing that looks like it', async (t) => {
  const peerOf = (peer: unknown) => peerOfSocket({ raw: { socket: { peer } } } as unknown as FastifyRequest);
  t.same(peerOf({ nodeId: 'n', role: 'manager' }), { nodeId: 'n', role: 'manager' });
  for (const wrong of [undefined, null, 'manager', {}, { nodeId: 'n' }, { nodeId: 'n', role: 'root' }]) {
    t.equal(peerOf(wrong), undefined);
  }
});

t.test('requests that arrive elsewhere are handed to the app with their peer', async (t) => {
  const app = await buildApp({ services: await fakeAgent(), surface: 'remote' });
  const server = createServer((request, response) => app.routing(request, response));
  let peer: Peer | undefined = { nodeId: 'n', role: 'worker' };
  server.on('connection', (socket) => Object.assign(socket, { peer }));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const get = (path: string) =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } });
  t.equal((await get('/v1/nodes')).status, 200);
  t.match(await (await get('/v1/networks')).json(), {
    error: { code: 'FORBIDDEN', message: /only managers/ },
  });
  peer = undefined;
  t.equal((await get('/v1/nodes')).status, 401);
  await new Promise((resolve) => server.close(resolve));
  await app.close();
});
