import t from 'tap';
import { FrameReader, frame } from '../../../control/dns/framing.ts';
import { cutReply, isReplyTo, readQuery } from '../../../control/dns/message.ts';
import { opt, query, readReply, seededRandom } from './codec.ts';

/** A query with one byte or field changed. */
function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = query('web');
  change(bytes);
  return bytes;
}

t.test('what is no proper query', async (t) => {
  const cyclic = Buffer.concat([query('.').subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
  const longName = Buffer.concat([
    query('.').subarray(0, 12),
    ...Array.from({ length: 5 }, () => Buffer.concat([Buffer.from([63]), Buffer.alloc(63, 0x61)])),
    Buffer.from([0, 0, 1, 0, 1]),
  ]);
  const table: [string, Buffer, string, number?][] = [
    ['nothing', Buffer.alloc(0), 'droppedShort'],
    ['three bytes', Buffer.from([1, 2, 3]), 'droppedShort'],
    ['a response', changed((b) => b.writeUInt16BE(0x8180, 2)), 'droppedResponse'],
    ['id and flags only', query('web').subarray(0, 4), 'malformed', 1],
    ['header only', query('web').subarray(0, 12), 'malformed', 1],
    ['cut name', query('web').subarray(0, 14), 'malformed', 1],
    ['cut question', query('web').subarray(0, -1), 'malformed', 1],
    ['bytes left over', Buffer.concat([query('web'), Buffer.from([0])]), 'malformed', 1],
    ['no question', changed((b) => b.writeUInt16BE(0, 4)), 'malformed', 1],
    ['two questions', changed((b) => b.writeUInt16BE(2, 4)), 'malformed', 1],
    ['65535 answers', changed((b) => b.writeUInt16BE(65_535, 6)), 'malformed', 1],
    ['an authority record', changed((b) => b.writeUInt16BE(1, 8)), 'malformed', 1],
    ['an additional record that is not there', changed((b) => b.writeUInt16BE(1, 10)), 'malformed', 1],
    ['65535 additional records', changed((b) => b.writeUInt16BE(65_535, 10)), 'malformed', 1],
    ['a pointer to itself', cyclic, 'malformed', 1],
    ['a name of 321 octets', longName, 'malformed', 1],
    ['a reserved label type', changed((b) => b.writeUInt8(0x80, 12)), 'malformed', 1],
    ['two OPT records', query('web', 'A', [opt(512), opt(512)]), 'malformed', 1],
    ['4097 bytes', Buffer.concat([query('web'), Buffer.alloc(4_097)]).subarray(0, 4_097), 'malformed', 1],
    ['IQUERY', changed((b) => b.writeUInt16BE(0x0800, 2)), 'notImplemented', 4],
    ['NOTIFY', changed((b) => b.writeUInt16BE(0x2000, 2)), 'notImplemented', 4],
    ['UPDATE', changed((b) => b.writeUInt16BE(0x2900, 2)), 'notImplemented', 4],
  ];
  for (const [what, bytes, reason, code] of table) {
    const read = readQuery(bytes);
    if (read.kind === 'query') {
      t.fail(`${what} was taken for a query`);
      continue;
    }
    t.equal(read.reason, reason, what);
    t.equal(read.kind, code === undefined ? 'drop' : 'reply', what);
    if (read.kind !== 'reply') continue;
    const reply = readReply(read.bytes);
    t.equal(reply.code, code, `${what}: code`);
    t.equal(reply.id, 0x1234, `${what}: id`);
    t.ok(reply.packet.flag_qr, `${what}: is a response`);
    t.ok(read.bytes.length <= Math.max(bytes.length, 12), `${what}: no longer than asked`);
  }
});

t.test('random and mutated bytes never throw', async (t) => {
  const random = seededRandom(20_260_101);
  const kinds = new Map<string, number>();
  const samples = [
    query('tasks.web', 'A', [opt(1_232)]),
    query('a.b.c.example.com', 'TXT'),
    query('.', 'NS'),
  ];
  for (let round = 0; round < 30_000; round += 1) {
    let bytes: Buffer;
    const sample = samples[round % samples.length];
    if (round % 2 === 0 || sample === undefined) {
      bytes = Buffer.from(
        Array.from({ length: Math.floor(random() * 64) }, () => Math.floor(random() * 256)),
      );
    } else {
      bytes = Buffer.from(sample);
      for (let hits = Math.floor(random() * 3) + 1; hits > 0; hits -= 1) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      }
    }
    const read = readQuery(bytes);
    kinds.set(read.kind, (kinds.get(read.kind) ?? 0) + 1);
  }
  for (const kind of ['query', 'reply', 'drop']) t.ok((kinds.get(kind) ?? 0) > 100, `${kind} occurs`);
});

t.test('which replies belong to a question', async (t) => {
  const asked = query('Web.Example');
  const question = asked.subarray(12);
  const reply = (change: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(asked);
    bytes.writeUInt16BE(0x8180, 2);
    change(bytes);
    return bytes;
  };
  t.ok(
    isReplyTo(
      reply(() => {}),
      0x1234,
      question,
    ),
  );
  t.ok(
    isReplyTo(
      reply((b) => b.write('wEB', 13)),
      0x1234,
      question,
    ),
    'other case',
  );
  t.notOk(
    isReplyTo(
      reply(() => {}),
      0x1235,
      question,
    ),
    'other id',
  );
  t.notOk(isReplyTo(asked, 0x1234, question), 'a query');
  t.notOk(
    isReplyTo(
      reply((b) => b.write('wex', 13)),
      0x1234,
      question,
    ),
    'other name',
  );
  t.notOk(
    isReplyTo(
      reply((b) => b.writeUInt16BE(28, b.length - 4)),
      0x1234,
      question,
    ),
    'other type',
  );
  t.notOk(
    isReplyTo(
      reply((b) => b.writeUInt16BE(2, 4)),
      0x1234,
      question,
    ),
    'two questions',
  );
  t.notOk(isReplyTo(reply(() => {}).subarray(0, 20), 0x1234, question), 'cut');
  const noQuestion = reply((b) => b.writeUInt16BE(0, 4)).subarray(0, 12);
  t.notOk(isReplyTo(noQuestion, 0x1234, question), 'success without question');
  noQuestion.writeUInt16BE(0x8181, 2);
  t.ok(isReplyTo(noQuestion, 0x1234, question), 'error without question');
});

t.test('a reply that is too large is cut to the question', async (t) => {
  const asked = query('web');
  const large = Buffer.concat([asked, Buffer.alloc(2_000)]);
  large.writeUInt16BE(0x8180, 2);
  large.writeUInt16BE(9, 6);
  const cut = readReply(cutReply(large, asked.subarray(12)));
  t.match(cut, { id: 0x1234, addresses: [], packet: { flag_tc: true, flag_qr: true } });
});

t.test('frames come out whole however they are cut', async (t) => {
  const messages = [1, 2, 300, 4_096, 17].map((size) => Buffer.alloc(size, size));
  const stream = Buffer.concat(messages.map(frame));
  const random = seededRandom(5);
  for (let round = 0; round < 200; round += 1) {
    const reader = new FrameReader(4_096);
    const got: Buffer[] = [];
    for (let at = 0; at < stream.length; ) {
      const length = round === 0 ? 1 : 1 + Math.floor(random() * (round < 100 ? 5 : 3_000));
      got.push(...(reader.push(stream.subarray(at, at + length)) ?? []));
      at += length;
    }
    if (got.length !== messages.length || !Buffer.concat(got).equals(Buffer.concat(messages))) {
      t.fail(`round ${round}: ${got.length} messages`);
    }
  }
  t.strictSame(new FrameReader(4_096).push(stream), messages, 'all in one chunk');
  t.equal(new FrameReader(4_096).push(Buffer.from([0x10, 0x01])), undefined, 'too long');
  t.equal(new FrameReader(4_096).push(Buffer.from([0, 0])), undefined, 'empty');
});
