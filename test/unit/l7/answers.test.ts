import t from 'tap';
import { answerBytes, answers } from '../../../dataplane/l7/answers.ts';

const form = { keepAlive: true, clientMinorVersion: 1, date: 'Thu, 01 Jan 1970 00:00:00 GMT' } as const;
const accept = (value: string) => ({ method: 'GET', fields: [{ name: 'Accept', lower: 'accept', value }] });
const text = (bytes: Buffer) => String(bytes);

t.test('text by default, JSON where it is asked for first', async (t) => {
  const answer = answers.hostUnknown('a.example');
  t.match(
    text(answerBytes(answer, null, form)),
    /^HTTP\/1\.1 404 Not Found\r\n[\s\S]*text\/plain[\s\S]*host a\.example/,
  );
  for (const value of ['application/json', 'application/problem+json, text/plain']) {
    const [head = '', body = ''] = text(answerBytes(answer, accept(value), form)).split('\r\n\r\n');
    t.match(head, /Content-Type: application\/json/);
    t.equal(Number(/Content-Length: (\d+)/.exec(head)?.[1]), Buffer.byteLength(body));
    t.match(JSON.parse(body), { error: { code: 'NO_SUCH_HOST', message: /a\.example/, hint: String } });
  }
  for (const value of ['text/html, application/json', '*/*']) {
    t.match(text(answerBytes(answer, accept(value), form)), /Content-Type: text\/plain/);
  }
});

t.test('the head says what the connection does', async (t) => {
  const answer = answers.noEndpoint('web');
  t.match(text(answerBytes(answer, null, { ...form, keepAlive: false })), /Connection: close\r\n/);
  t.match(text(answerBytes(answer, null, { ...form, clientMinorVersion: 0 })), /Connection: keep-alive\r\n/);
  t.notMatch(text(answerBytes(answer, null, form)), /Connection:/);
  t.match(text(answerBytes(answer, null, form)), /Retry-After: 1\r\n/);
  t.ok(
    text(answerBytes(answer, { method: 'HEAD', fields: [] }, form)).endsWith('\r\n\r\n'),
    'HEAD gets no body',
  );
});
