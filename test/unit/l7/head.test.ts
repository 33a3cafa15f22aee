import t from 'tap';
import {
  type HeadErrorCode,
  RequestHeadParser,
  ResponseHeadParser,
  responseFraming,
} from '../../../dataplane/l7/head.ts';
import { defaultLimits } from '../../../dataplane/l7/limits.ts';
import { pick, pieces, randomBytes, seeded } from './support.ts';

const latin1 = (text: string) => Buffer.from(text, 'latin1');
const parseRequest = (text: string, limits = defaultLimits) =>
  new RequestHeadParser(limits).push(latin1(text));
const get = (lines: string) => `GET / HTTP/1.1\r\nHost: a.example\r\n${lines}\r\n`;

const refused: [name: string, text: string, status: number, code: HeadErrorCode][] = [
  ['obs-fold', get('X: 1\r\n 2\r\n'), 400, 'obs-fold'],
  ['fold on the first header line', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400, 'obs-fold'],
  ['tab fold', get('X: 1\r\n\t2\r\n'), 400, 'obs-fold'],
  ['space before colon', get('Content-Length : 5\r\n'), 400, 'space-before-colon'],
  ['tab before colon', get('Transfer-Encoding\t: chunked\r\n'), 400, 'space-before-colon'],
  ['space inside name', get('Content Length: 5\r\n'), 400, 'field-name'],
  ['no colon', get('Nonsense\r\n'), 400, 'missing-colon'],
  ['empty name', get(': x\r\n'), 400, 'field-name'],
  ['high byte in name', get('X\xe9: x\r\n'), 400, 'field-name'],
  ['bare LF after request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 400, 'bare-lf'],
  ['bare LF after header', 'GET / HTTP/1.1\r\nHost: a\n\r\n', 400, 'bare-lf'],
  ['bare LF as the end', 'GET / HTTP/1.1\r\nHost: a\r\n\n', 400, 'bare-lf'],
  ['bare CR in value', get('X: 1\r2\r\n'), 400, 'bare-cr'],
  ['CR CR LF', get('X: 1\r\r\n'), 400, 'bare-cr'],
  ['NUL in value', get('X: \0\r\n'), 400, 'control-character'],
  ['vertical tab before chunked', get('Transfer-Encoding: \x0bchunked\r\n'), 400, 'control-character'],
  ['DEL in value', get('X: \x7f\r\n'), 400, 'control-character'],
  ['a TLS record', '\x16\x03\x01\x02\x00', 400, 'control-character'],
  ['two empty lines first', '\r\n\r\nGET / HTTP/1.1\r\n', 400, 'empty-start-line'],
  ['HTTP/0.9', 'GET /\r\n', 400, 'request-line'],
  ['two spaces', 'GET  / HTTP/1.1\r\n', 400, 'version'],
  ['extra word', 'GET / a HTTP/1.1\r\n', 400, 'version'],
  ['space at the start', ' GET / HTTP/1.1\r\n', 400, 'method'],
  ['tabs as separators', 'GET\t/\tHTTP/1.1\r\n', 400, 'request-line'],
  ['bad method', 'G@T / HTTP/1.1\r\n', 400, 'method'],
  ['long method', `${'M'.repeat(33)} / HTTP/1.1\r\n`, 501, 'method-too-long'],
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\n', 501, 'method-connect'],
  ['TRACE', 'TRACE / HTTP/1.1\r\n', 405, 'method-trace'],
  ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n', 505, 'version-unsupported'],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\n', 505, 'version-unsupported'],
  ['HTTP/1.10', 'GET / HTTP/1.10\r\n', 400, 'version'],
  ['lower-case version', 'GET / http/1.1\r\n', 400, 'version'],
  ['fragment', 'GET /#a HTTP/1.1\r\n', 400, 'target'],
  ['raw UTF-8 in target', 'GET /\xc3\xa9 HTTP/1.1\r\n', 400, 'target'],
  ['authority form without CONNECT', 'GET a.example:80 HTTP/1.1\r\n', 400, 'target-form'],
  ['asterisk without OPTIONS', 'GET * HTTP/1.1\r\n', 400, 'target-form'],
  ['absolute target with user', 'GET http://u@a/ HTTP/1.1\r\n', 400, 'host-invalid'],
  ['absolute target without host', 'GET http:///x HTTP/1.1\r\n', 400, 'host-invalid'],
  ['other scheme', 'GET ftp://a/ HTTP/1.1\r\n', 400, 'target-form'],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400, 'host-missing'],
  ['no Host with absolute target', 'GET http://a/ HTTP/1.1\r\n\r\n', 400, 'host-missing'],
  ['two Hosts', get('Host: a.example\r\n'), 400, 'host-duplicate'],
  ['two Hosts in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n', 400, 'host-duplicate'],
  ['Host list', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400, 'host-invalid'],
  ['Host with path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400, 'host-invalid'],
  ['Host with user', 'GET / HTTP/1.1\r\nHost: b@a\r\n\r\n', 400, 'host-invalid'],
  [
    'CL.TE',
    get('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n'),
    400,
    'content-length-with-transfer-encoding',
  ],
  [
    'TE.CL',
    get('Transfer-Encoding: chunked\r\nContent-Length: 6\r\n'),
    400,
    'content-length-with-transfer-encoding',
  ],
  ['CL.CL different', get('Content-Length: 6\r\nContent-Length: 5\r\n'), 400, 'content-length-duplicate'],
  ['CL.CL equal', get('Content-Length: 6\r\nContent-Length: 6\r\n'), 400, 'content-length-duplicate'],
  ['CL list', get('Content-Length: 6, 6\r\n'), 400, 'content-length'],
  ['CL signed', get('Content-Length: +6\r\n'), 400, 'content-length'],
  ['CL negative', get('Content-Length: -6\r\n'), 400, 'content-length'],
  ['CL hexadecimal', get('Content-Length: 0x6\r\n'), 400, 'content-length'],
  ['CL empty', get('Content-Length:\r\n'), 400, 'content-length'],
  ['CL beyond 2^53', get('Content-Length: 9007199254740993\r\n'), 400, 'content-length'],
  [
    'TE in HTTP/1.0',
    'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
    400,
    'transfer-encoding-version',
  ],
  ['TE.TE obfuscated', get('Transfer-Encoding: xchunked\r\n'), 400, 'transfer-encoding-not-final'],
  ['TE identity', get('Transfer-Encoding: identity\r\n'), 400, 'transfer-encoding-not-final'],
  ['TE chunked first', get('Transfer-Encoding: chunked, gzip\r\n'), 400, 'transfer-encoding-not-final'],
  [
    'TE chunked twice',
    get('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'),
    400,
    'transfer-encoding-not-final',
  ],
  ['TE empty', get('Transfer-Encoding:\r\n'), 400, 'transfer-encoding'],
  ['TE quoted', get('Transfer-Encoding: "chunked"\r\n'), 400, 'transfer-encoding'],
  ['TE empty member', get('Transfer-Encoding: ,chunked\r\n'), 400, 'transfer-encoding'],
  ['TE gzip, chunked', get('Transfer-Encoding: gzip, chunked\r\n'), 501, 'transfer-encoding-unsupported'],
  ['other expectation', get('Expect: tea\r\n'), 417, 'expectation'],
  ['long request line', `GET /${'a'.repeat(8_192)} HTTP/1.1\r\n`, 414, 'start-line-too-long'],
  ['long request line without an end', 'G'.repeat(8_195), 414, 'start-line-too-long'],
  ['long head', get(`X: ${'a'.repeat(16_384)}\r\n`), 431, 'head-too-long'],
  ['many fields', get('X: 1\r\n'.repeat(100)), 431, 'too-many-fields'],
];

t.test('what is refused, by name', async (t) => {
  for (const [name, text, status, code] of refused) {
    t.match(parseRequest(text), { state: 'error', error: { status, code } }, name);
  }
});

t.test('what is accepted', async (t) => {
  const head = (text: string) => {
    const result = parseRequest(text);
    if (result.state !== 'head') throw new Error(`not a head: ${JSON.stringify(result)}`);
    return result.head;
  };
  t.match(head(get('')), {
    method: 'GET',
    target: '/',
    authority: 'a.example',
    framing: { kind: 'none' },
    keepAlive: true,
  });
  t.match(head(get('Content-Length: 5\r\n')).framing, { kind: 'length', length: 5 });
  t.match(head(get('Content-Length: 0\r\n')).framing, { kind: 'none' });
  t.match(head(get('Transfer-Encoding: \tChunked \r\n')).framing, { kind: 'chunked' });
  t.match(head(get('Connection: keep-alive, Close\r\n')), { keepAlive: false });
  t.match(head('GET / HTTP/1.0\r\n\r\n'), { minorVersion: 0, authority: null, keepAlive: false });
  t.match(head('GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n'), { keepAlive: true });
  t.match(head('GET HTTP://B.example:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n'), {
    authority: 'B.example:81',
    target: '/x?y',
  });
  t.match(head('GET http://b?y HTTP/1.1\r\nHost: a\r\n\r\n'), { authority: 'b', target: '/?y' });
  t.match(head('OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n'), { authority: 'b', target: '*' });
  t.match(head('OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'), { target: '*' });
  t.match(head('GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n'), { authority: '[::1]:80' });
  t.match(head(get('Connection: Upgrade\r\nUpgrade: websocket\r\n')), { upgrade: 'websocket' });
  t.match(head(get('Upgrade: websocket\r\n')), { upgrade: null }, 'an Upgrade that Connection does not name');
  t.match(head(get('Expect: 100-Continue\r\n')), { expectContinue: true });
  t.match(head(`\r\n${get('X: caf\xe9\t!\r\nY:\r\n')}`).fields.slice(1), [
    { value: 'caf\xe9\t!' },
    { lower: 'y', value: '' },
  ]);
  const exact = `GET /${'a'.repeat(8_192 - 14)} HTTP/1.1\r\n`;
  t.match(head(`${exact}Host: a\r\n\r\n`).target.length, 8_179, 'a request line as long as allowed');
  const filler = 16_384 - get('X: \r\n').length;
  t.match(head(get(`X: ${'a'.repeat(filler)}\r\n`)).fields.length, 2, 'a head as long as allowed');
  t.match(
    parseRequest(get(`X: ${'a'.repeat(filler + 1)}\r\n`)),
    { error: { status: 431 } },
    'and one byte more',
  );
});

t.test('pipelined heads are told apart, and a reader goes on after one', async (t) => {
  const parser = new RequestHeadParser(defaultLimits);
  const bytes = latin1(get('') + get('X: 2\r\n'));
  const first = parser.push(bytes);
  t.match(first, { state: 'head', consumed: get('').length });
  t.match(parser.push(bytes.subarray(get('').length)), { state: 'head', consumed: get('X: 2\r\n').length });
});

t.test('the same bytes give the same result however they are cut', async (t) => {
  const random = seeded(1);
  const texts = [
    ...refused.map(([, text]) => text),
    get('X: 1\r\nContent-Length: 3\r\n'),
    `\r\n${get('')}abc`,
  ];
  for (const text of texts) {
    const whole = parseRequest(text);
    for (let round = 0; round < 5; round += 1) {
      const parser = new RequestHeadParser(defaultLimits);
      let before = 0;
      let result = parser.push(Buffer.alloc(0));
      for (const piece of pieces(latin1(text), random)) {
        result = parser.push(piece);
        if (result.state !== 'more') break;
        before += piece.length;
      }
      if (result.state === 'head') result = { ...result, consumed: before + result.consumed };
      t.same(result, whole, JSON.stringify(text.slice(0, 60)));
    }
  }
});

t.test('random and mutated bytes never throw, and are never waited on beyond the limit', async (t) => {
  const random = seeded(2);
  let heads = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = latin1(get('Content-Length: 3\r\nAccept: x\r\n').repeat(1 + pick(random, 2)));
    for (let i = pick(random, 4); i > 0; i -= 1) bytes[pick(random, bytes.length)] = pick(random, 256);
    const input = random() < 0.3 ? randomBytes(random, 200) : bytes.subarray(0, pick(random, bytes.length));
    if (new RequestHeadParser(defaultLimits).push(input).state === 'head') heads += 1;
    new ResponseHeadParser(defaultLimits).push(input);
  }
  t.ok(heads > 0 && heads < 20_000, `both outcomes are met (${heads} heads)`);
  const parser = new RequestHeadParser(defaultLimits);
  let last = parser.push(latin1('GET / HTTP/1.1\r\n'));
  for (let i = 0; i < 20_000 && last.state === 'more'; i += 1) last = parser.push(latin1('a'));
  t.match(last, { error: { status: 431 } });
});

t.test('responses', async (t) => {
  const parse = (text: string) => new ResponseHeadParser(defaultLimits).push(latin1(text));
  const framing = (text: string, method = 'GET') => {
    const result = parse(text);
    if (result.state !== 'head') throw new Error(`not a head: ${JSON.stringify(result)}`);
    return responseFraming(result.head, method);
  };
  t.match(framing('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n'), { kind: 'length', length: 3 });
  t.match(framing('HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n'), { kind: 'chunked' });
  t.match(framing('HTTP/1.0 200 OK\r\n\r\n'), { kind: 'until-close' });
  t.match(framing('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n', 'HEAD'), { kind: 'none' });
  for (const status of [100, 103, 204, 304]) {
    t.match(framing(`HTTP/1.1 ${status} X\r\nContent-Length: 3\r\n\r\n`), { kind: 'none' }, String(status));
  }
  for (const text of [
    'HTTP/2 200 OK\r\n',
    'HTTP/1.1 99 X\r\n',
    'HTTP/1.1 2000 X\r\n',
    'SSH-2.0-x\r\n',
    'HTTP/1.1 200 OK\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(20_000)}`,
  ]) {
    t.match(parse(text), { state: 'error', error: { status: 502 } }, JSON.stringify(text.slice(0, 50)));
  }
});
