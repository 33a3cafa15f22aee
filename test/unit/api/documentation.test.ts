/** The API describes itself, wholly. */
import t from 'tap';
import { fakeAgent } from './fake-agent.ts';
import { TestApi } from './http.ts';

type Schema = { type?: string; anyOf?: object[]; description?: string };
type Route = {
  summary?: string;
  tags?: string[];
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
  requestBody?: { content: Record<string, { schema: Schema & { additionalProperties?: boolean } }> };
};

t.test('every route has a summary, a tag and schemas for its answers', async (t) => {
  await using api = await TestApi.of(await fakeAgent());
  const { body } = await api.get<{ openapi: string; paths: Record<string, Record<string, Route>> }>(
    '/openapi.json',
  );
  t.match(body.openapi, /^3\.1/);
  const routes = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, route]) => ({ name: `${method.toUpperCase()} ${path}`, route })),
  );
  t.same(
    routes.map(({ name }) => name).sort(),
    [
      'DELETE /v1/attachments/{ref}',
      'DELETE /v1/networks/{ref}',
      'DELETE /v1/services/{ref}',
      'GET /docs',
      'GET /openapi.json',
      'GET /v1/attachments',
      'GET /v1/cluster',
      'GET /v1/drops',
      'GET /v1/flows',
      'GET /v1/join-tokens/{role}',
      'GET /v1/networks',
      'GET /v1/networks/{ref}',
      'GET /v1/nodes',
      'GET /v1/nodes/{ref}',
      'GET /v1/services',
      'GET /v1/services/{ref}',
      'GET /v1/services/{ref}/endpoints',
      'GET /v1/status',
      'PATCH /v1/services/{ref}',
      'POST /v1/attachments',
      'POST /v1/cluster/init',
      'POST /v1/cluster/join',
      'POST /v1/cluster/leave',
      'POST /v1/join-tokens/{role}/rotate',
      'POST /v1/networks',
      'POST /v1/services',
    ],
    'the routes are those that the callers were told of',
  );
  for (const { name, route } of routes) {
    t.ok(route.summary, `${name} has a summary`);
    t.equal(route.tags?.length, 1, `${name} has a tag`);
    for (const status of ['200', '4XX', '5XX']) {
      const schema = Object.values(route.responses[status]?.content ?? {})[0]?.schema;
      t.ok(schema?.type ?? schema?.anyOf, `${name} says what ${status} looks like`);
    }
    for (const { schema } of Object.values(route.requestBody?.content ?? {})) {
      t.equal(schema.additionalProperties, false, `${name} refuses unknown fields`);
    }
  }
});

t.test('the page for people needs nothing from elsewhere', async (t) => {
  await using api = await TestApi.of(await fakeAgent());
  const page = await api.app.inject({ method: 'GET', url: '/docs' });
  t.match(page.headers['content-type'], /^text\/html/);
  t.match(page.headers['content-security-policy'], /default-src 'none'/);
  t.match(page.payload, /^<!doctype html>/);
  t.notMatch(page.payload, /https?:\/\//);
});
