import t from 'tap';
import { type BodyError, BodyReader, type Framing } from '../../../dataplane/l7/body.ts';
import { defaultLimits } from '../../../dataplane/l7/limits.ts';
import { pick, pieces, randomBytes, seeded } from './support.ts';

type Outcome = { consumed: number; done: boolean; error: BodyError | null; data: string };

function read(framing: Framing, cut: Buffer[]): Outcome {
  const reader = new BodyReader(framing, defaultLimits);
  let consumed = 0;
  let data = '';
  for (const piece of cut) {
    const used = reader.push(piece, (start, end) => {
      data += piece.toString('latin1', start, end);
    });
    consumed += used;
    if (used < piece.length) break;
  }
  return { consumed, done: reader.done, error: reader.error, data };
}

const chunked = (text: string) => read({ kind: 'chunked' }, [Buffer.from(text, 'latin1')]);

const whole: [name: string, text: string, data: string][] = [
  ['empty', '0\r\n\r\n', ''],
  ['one chunk', '5\r\nhello\r\n0\r\n\r\n', 'hello'],
  [
    'two chunks, hexadecimal',
    'A\r\n0123456789\r\n00b\r\n0123456789a\r\n000\r\n\r\n',
    '01234567890123456789a',
  ],
  ['extension', '1;a=b;c="d e"\r\nx\r\n0;end\r\n\r\n', 'x'],
  ['space before an extension', '1 \t;a\r\nx\r\n0\r\n\r\n', 'x'],
  ['trailers', '1\r\nx\r\n0\r\nDigest: abc\r\nX: y\r\n\r\n', 'x'],
  ['data that looks like chunks', '5\r\n0\r\n\r\n\r\n0\r\n\r\n', '0\r\n\r\n'],
];

const broken: [name: string, text: string, error: BodyError][] = [
  ['no size', '\r\n', 'chunk-size'],
  ['no digits', ';a\r\n', 'chunk-size'],
  ['signed', '-1\r\n', 'chunk-size'],
  ['0x', '0x5\r\nhello\r\n', 'chunk-size'],
  ['space first', ' 5\r\nhello\r\n', 'chunk-size'],
  ['space at the end', '5 \r\nhello\r\n', 'chunk-size'],
  ['size ends in bare LF', '5\nhello\r\n', 'chunk-size'],
  ['CR without LF after size', '5\rhello\r\n', 'chunk-size'],
  ['too many digits', '00000000000005\r\n', 'chunk-size-too-large'],
  ['overflow', 'ffffffffffffffff\r\n', 'chunk-size-too-large'],
  ['extension ends in bare LF', '5;a\nhello\r\n', 'chunk-extension'],
  ['NUL in extension', '5;\0\r\nhello', 'chunk-extension'],
  ['CR in extension', '5;a\rb\r\nhello', 'chunk-size'],
  ['data too long', '4\r\nhello\r\n', 'chunk-end'],
  ['data ends in bare LF', '5\r\nhello\n0\r\n\r\n', 'chunk-end'],
  ['CR without LF after data', '5\r\nhello\rx', 'chunk-end'],
  ['folded trailer', '0\r\nA: b\r\n c\r\n\r\n', 'trailer-line'],
  ['trailer without colon', '0\r\nabc\r\n\r\n', 'trailer-line'],
  ['bare LF in trailer', '0\r\nA: b\n\r\n', 'trailer-line'],
  ['CR without LF in trailer', '0\r\n\rx', 'trailer-line'],
  ['Content-Length as trailer', '0\r\nContent-Length: 5\r\n\r\n', 'trailer-framing-field'],
  ['Transfer-Encoding as trailer', '0\r\ntransfer-encoding: chunked\r\n\r\n', 'trailer-framing-field'],
  ['long trailer', `0\r\nA: ${'a'.repeat(9_000)}`, 'trailer-too-long'],
  ['many trailers', `0\r\n${'A: b\r\n'.repeat(33)}`, 'trailer-too-long'],
  ['long extension', `1;${'a'.repeat(17_000)}`, 'chunk-extensions-too-long'],
  ['many extensions', '1;aaaaaaaaaaaaaaaaaaaa\r\nx\r\n'.repeat(1_000), 'chunk-extensions-too-long'],
];

t.test('whole chunked bodies, with what follows left alone', async (t) => {
  for (const [name, text, data] of whole) {
    t.same(chunked(`${text}GET / HTTP/1.1`), { consumed: text.length, done: true, error: null, data }, name);
    t.equal(chunked(text.slice(0, -1)).done, false, `${name}, one byte short`);
  }
});

t.test('broken chunked bodies, by name', async (t) => {
  for (const [name, text, error] of broken) t.match(chunked(text), { done: false, error }, name);
});

t.test('the cuts do not matter', async (t) => {
  const random = seeded(3);
  for (const [name, text] of [...whole, ...broken]) {
    const bytes = Buffer.from(`${text}tail`, 'latin1');
    const expected = read({ kind: 'chunked' }, [bytes]);
    for (let round = 0; round < 5; round += 1) {
      t.same(read({ kind: 'chunked' }, pieces(bytes, random)), expected, name);
    }
  }
});

t.test('random bodies come back as they were made', async (t) => {
  const random = seeded(4);
  for (let round = 0; round < 200; round += 1) {
    let text = '';
    let data = '';
    for (let chunk = pick(random, 6); chunk > 0; chunk -= 1) {
      const part = randomBytes(random, 1 + pick(random, 300)).toString('latin1');
      text += `${part.length.toString(16)}\r\n${part}\r\n`;
      data += part;
    }
    text += '0\r\n\r\n';
    const outcome = read({ kind: 'chunked' }, pieces(Buffer.from(`${text}more`, 'latin1'), random));
    t.same(outcome, { consumed: text.length, done: true, error: null, data });
  }
});

t.test('random bytes never throw', async (t) => {
  const random = seeded(5);
  for (let round = 0; round < 5_000; round += 1) {
    const { consumed } = read({ kind: 'chunked' }, pieces(randomBytes(random, 60), random));
    if (consumed > 60) t.fail('more was consumed than given');
  }
  t.pass();
});

t.test('other framings', async (t) => {
  const bytes = Buffer.from('hello world');
  t.match(read({ kind: 'length', length: 5 }, [bytes]), { consumed: 5, done: true, data: 'hello' });
  t.match(read({ kind: 'none' }, [bytes]), { consumed: 0, done: true });
  t.match(read({ kind: 'until-close' }, [bytes]), { consumed: 11, done: false });
  const open = new BodyReader({ kind: 'until-close' }, defaultLimits);
  t.equal(open.end(), true);
  const cut = new BodyReader({ kind: 'length', length: 5 }, defaultLimits);
  cut.push(Buffer.from('hel'));
  t.equal(cut.end(), false, 'a body of known length cannot end early');
});
