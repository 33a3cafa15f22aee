import t from 'tap';
import { ClientHelloParser, type ClientHelloResult, fatalAlert } from '../../../dataplane/l7/client-hello.ts';
import { defaultLimits } from '../../../dataplane/l7/limits.ts';
import { pick, pieces, randomBytes, seeded } from './support.ts';

const u8 = (value: number) => Buffer.from([value]);
const u16 = (value: number) => Buffer.from([value >> 8, value & 255]);
const vector8 = (...parts: Buffer[]) => {
  const body = Buffer.concat(parts);
  return Buffer.concat([u8(body.length), body]);
};
const vector16 = (...parts: Buffer[]) => {
  const body = Buffer.concat(parts);
  return Buffer.concat([u16(body.length), body]);
};
const extension = (type: number, ...parts: Buffer[]) => Buffer.concat([u16(type), vector16(...parts)]);
const text = (value: string) => Buffer.from(value, 'latin1');
const serverName = (name: string) => extension(0, vector16(u8(0), vector16(text(name))));
const alpn = (...names: string[]) => extension(16, vector16(...names.map((name) => vector8(text(name)))));
const grease = extension(0x0a0a);

type Shape = {
  version?: number;
  session?: Buffer;
  suites?: Buffer;
  compression?: Buffer;
  extensions?: Buffer | null;
};

function hello(shape: Shape = {}): Buffer {
  const { extensions = vector16(grease, serverName('a.example'), alpn('h2', 'http/1.1')) } = shape;
  return Buffer.concat([
    u16(shape.version ?? 0x0303),
    Buffer.alloc(32, 7),
    shape.session ?? vector8(Buffer.alloc(32, 1)),
    shape.suites ?? vector16(u16(0x1a1a), u16(0x1301)),
    shape.compression ?? vector8(u8(0)),
    extensions ?? Buffer.alloc(0),
  ]);
}

const handshake = (body: Buffer, type = 1) =>
  Buffer.concat([u8(type), u8(body.length >> 16), u16(body.length & 0xffff), body]);

function records(message: Buffer, size = 16_384, type = 22): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    parts.push(Buffer.concat([u8(type), u16(0x0301), vector16(message.subarray(at, at + size))]));
  }
  return Buffer.concat(parts);
}

const parse = (bytes: Buffer, cut = [bytes]): ClientHelloResult => {
  const parser = new ClientHelloParser(defaultLimits);
  let result: ClientHelloResult = { state: 'more' };
  for (const piece of cut) result = parser.push(piece);
  return result;
};
const withExtensions = (...parts: Buffer[]) => records(handshake(hello({ extensions: vector16(...parts) })));

const found = {
  state: 'hello',
  hello: { serverName: 'a.example', applicationProtocols: ['h2', 'http/1.1'] },
};
const whole = records(handshake(hello()));

t.test('what is read', async (t) => {
  t.same(parse(whole), found);
  t.same(parse(records(handshake(hello()), 1)), found, 'one byte per record');
  t.same(parse(Buffer.concat([whole, randomBytes(seeded(9), 50)])), found, 'what follows does not matter');
  const none = { state: 'hello', hello: { serverName: null, applicationProtocols: [] } };
  t.same(parse(records(handshake(hello({ extensions: null })))), none, 'no extensions at all');
  t.same(parse(withExtensions(grease)), none);
  const large = extension(0xfe0d, Buffer.alloc(12_000));
  t.match(parse(withExtensions(large, serverName('b.example'))), { hello: { serverName: 'b.example' } });
  for (let length = 0; length < whole.length; length += 1) {
    if (parse(whole.subarray(0, length)).state !== 'more') t.fail(`an answer after ${length} bytes`);
  }
});

const broken: [name: string, bytes: Buffer, alert: number][] = [
  ['clear HTTP', text('GET / HTTP/1.1\r\n\r\n'), 10],
  ['an alert record', records(Buffer.from([1, 0]), 10, 21), 10],
  ['SSL 2', Buffer.from([0x80, 0x2e, 1, 3, 1]), 10],
  ['record version', Buffer.from([22, 2, 0, 0, 1, 1]), 70],
  ['empty record', Buffer.from([22, 3, 1, 0, 0]), 10],
  ['record too long', Buffer.from([22, 3, 1, 0x40, 1]), 22],
  [
    'another record in between',
    Buffer.concat([records(handshake(hello()).subarray(0, 9)), records(u8(1), 1, 20)]),
    10,
  ],
  ['ServerHello', records(handshake(hello(), 2)), 10],
  ['message too long', records(Buffer.from([1, 1, 0, 0])), 50],
  ['message version', records(handshake(hello({ version: 0x0203 }))), 70],
  ['empty message', records(handshake(Buffer.alloc(0))), 50],
  ['long session id', records(handshake(hello({ session: vector8(Buffer.alloc(33)) }))), 50],
  ['no suites', records(handshake(hello({ suites: vector16() }))), 50],
  ['odd suites', records(handshake(hello({ suites: vector16(u8(1), u16(2)) }))), 50],
  ['no compression methods', records(handshake(hello({ compression: vector8() }))), 50],
  ['bytes after the extensions', records(handshake(Buffer.concat([hello(), u8(0)]))), 50],
  ['extension beyond the block', withExtensions(Buffer.from([0, 5, 0, 9, 1])), 50],
  ['same extension twice', withExtensions(serverName('a'), serverName('b')), 47],
  ['empty name', withExtensions(serverName('')), 50],
  ['NUL in name', withExtensions(serverName('a.example\0.b')), 50],
  ['long name', withExtensions(serverName('a'.repeat(255))), 50],
  [
    'two names',
    withExtensions(extension(0, vector16(u8(0), vector16(text('a')), u8(0), vector16(text('b'))))),
    50,
  ],
  ['unknown name type', withExtensions(extension(0, vector16(u8(1), vector16(text('a'))))), 50],
  ['empty name list', withExtensions(extension(0)), 50],
  ['empty protocol', withExtensions(alpn('')), 50],
  ['no protocols', withExtensions(alpn()), 50],
];

t.test('what is refused, by name, with the alert to send', async (t) => {
  for (const [name, bytes, alert] of broken) t.match(parse(bytes), { state: 'error', alert }, name);
  t.same(parse(withExtensions(alpn('h2').subarray(0, 0))), {
    state: 'hello',
    hello: { serverName: null, applicationProtocols: [] },
  });
});

t.test('the cuts do not matter', async (t) => {
  const random = seeded(10);
  for (const [name, bytes] of [['whole', whole] as const, ...broken]) {
    const expected = parse(bytes);
    for (let round = 0; round < 10; round += 1) t.same(parse(bytes, pieces(bytes, random)), expected, name);
  }
});

t.test('random and mutated bytes never throw', async (t) => {
  const random = seeded(11);
  const outcomes = { more: 0, hello: 0, error: 0 };
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = Buffer.from(whole);
    for (let i = 1 + pick(random, 3); i > 0; i -= 1) bytes[pick(random, bytes.length)] = pick(random, 256);
    outcomes[parse(bytes).state] += 1;
  }
  t.ok(outcomes.more > 0 && outcomes.hello > 0 && outcomes.error > 0, JSON.stringify(outcomes));
});

t.test('an alert is one record', async (t) => {
  t.same([...fatalAlert(112)], [21, 3, 3, 0, 2, 2, 112]);
});
