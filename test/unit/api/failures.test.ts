/** What the API answers when something is wrong with the request, the cluster or shoal itself. */
import t from 'tap';
import { buildApp } from '../../../control/api/app.ts';
import { apiLimits } from '../../../control/api/limits.ts';
import { fieldName } from '../../../control/api/validation.ts';
import { errorCodes, shoalError } from '../../../control/errors.ts';
import { fakeAgent } from './fake-agent.ts';
import { TestApi } from './http.ts';

t.test('a fault inside shoal shows neither its message nor a stack trace', async (t) => {
  const agent = await fakeAgent();
  await using api = await TestApi.of(agent);
  agent.cluster.nextFailure = new TypeError('cannot read /etc/secret of undefined');
  const error = await api.fails('POST', '/v1/services', { name: 'web' });
  t.match(error, { status: 500, code: 'INTERNAL', hint: /log of the agent/ });
  t.notMatch(error.text, /secret|TypeError|\.ts|stack/);
});

t.test('every error of the catalogue keeps code, status and hint', async (t) => {
  const agent = await fakeAgent();
  await using api = await TestApi.of(agent);
  for (const code of errorCodes) {
    const made = shoalError(code, { kind: 'service', name: 'web' });
    agent.cluster.nextFailure = made;
    const error = await api.fails('POST', '/v1/services', { name: 'web' });
    t.equal(error.status, made.status, code);
    t.equal(error.code, code);
    t.equal(error.message, made.message);
    t.equal(error.hint, made.hint);
  }
});

t.test('a handler that does not come back is TIMEOUT, whose outcome is unknown', async (t) => {
  const agent = await fakeAgent();
  agent.cluster.propose = () => new Promise(() => undefined);
  const app = await buildApp({ services: agent, surface: 'local', handlerTime_ms: 20 });
  await using api = new TestApi(app);
  t.match(await api.fails('POST', '/v1/networks', { name: 'x' }), {
    status: 504,
    code: 'TIMEOUT',
    message: /took too long; the outcome is unknown/,
  });
});

t.test('bodies that are no JSON, empty, too large or of another type', async (t) => {
  await using api = await TestApi.of(await fakeAgent());
  const post = (payload: string, type = 'application/json') =>
    api.app.inject({ method: 'POST', url: '/v1/services', payload, headers: { 'content-type': type } });
  for (const payload of ['{', '', 'null', '"x"', '[1]']) {
    const answer = await post(payload);
    t.equal(answer.statusCode, 400, payload);
    t.equal(answer.json().error.code, 'BAD_REQUEST');
  }
  const poisoned = await post('{"name":"web","__proto__":{"x":1}}');
  t.equal(poisoned.json().error.code, 'BAD_REQUEST');
  const large = await post(JSON.stringify({ name: 'x'.repeat(apiLimits.bodySize_bytes) }));
  t.match(large.json(), { error: { code: 'LIMIT_REACHED', message: /524288 bytes/ } });
  const form = await post('name=web', 'application/x-www-form-urlencoded');
  t.match(form.json(), { error: { code: 'BAD_REQUEST', message: /application\/json/ } });
  const text = await post('{"name":"web"}', 'text/plain');
  t.match(text.json(), { error: { code: 'BAD_REQUEST', message: /application\/json/ } });
});

t.test('a long value is not repeated in full', async (t) => {
  await using api = await TestApi.of(await fakeAgent());
  const error = await api.fails('POST', '/v1/services', { name: 'x'.repeat(10_000) });
  t.ok(error.text.length < 600, `${error.text.length} characters`);
  const field = await api.fails('POST', '/v1/services', { name: 'x', ['y'.repeat(10_000)]: 1 });
  t.ok(field.text.length < 600, `${field.text.length} characters`);
});

t.test('paths that no route has', async (t) => {
  await using api = await TestApi.of(await fakeAgent());
  t.match(await api.fails('GET', '/v1/pods?x=1'), {
    status: 404,
    code: 'NOT_FOUND',
    message: 'there is no route "GET /v1/pods"',
  });
  t.match(await api.fails('DELETE', '/v1/services'), { status: 404, code: 'NOT_FOUND' });
  t.match(await api.fails('GET', '/v1/services/%zz'), { status: 400, code: 'BAD_REQUEST' });
  t.match(await api.fails('GET', `/v1/attachments/${'x'.repeat(4_000)}`), { code: 'NOT_FOUND' });
});

t.test('field names', async (t) => {
  t.equal(fieldName('/endpoints/0/port'), 'endpoints[0].port');
  t.equal(fieldName('/a~1b/c~0d'), 'a/b.c~d');
  t.equal(fieldName(''), '');
});
