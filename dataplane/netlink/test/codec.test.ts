import t from 'tap';
import { Attributes, AttributeWriter, MAX_ATTRIBUTES } from '../src/codec/attributes.ts';
import * as headers from '../src/codec/headers.ts';
import { formatAddress, formatMac, parseAddress, parseMac, parsePrefix } from '../src/codec/ip.ts';
import { explainVerdict, NLMSG, parseMessages, parseVerdict, writeMessage } from '../src/codec/message.ts';
import { MalformedMessageError } from '../src/errors.ts';
import { decode as decodeLink } from '../src/links.ts';
import { decode as decodeRoute } from '../src/routes.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

t.test('attributes are written as the kernel lays them out', async (t) => {
  const bytes = new AttributeWriter()
    .string(3, 'lo')
    .nest(18, (info) => info.string(1, 'veth').u8(9, 7))
    .u16be(15, 4789)
    .flag(2)
    .finish();
  t.equal(
    bytes.toString('hex'),
    hex(`
      0700 0300 6c6f00 00
      1800 1280
        0900 0100 7665746800 000000
        0500 0900 07 000000
      0600 0f00 12b5 0000
      0400 0200`).toString('hex'),
  );
});

t.test('attributes are read back, nested ones too, and the last of a type counts', async (t) => {
  const attributes = Attributes.parse(
    new AttributeWriter()
      .u32(4, 1500)
      .nest(18, (info) => info.string(1, 'bridge'))
      .u32(4, 9000)
      .finish(),
  );
  t.equal(attributes.u32(4), 9000);
  t.equal(attributes.nested(18)?.string(1), 'bridge');
  t.equal(attributes.u32(77), undefined);
  t.same(
    [...attributes].map((attribute) => attribute.type),
    [4, 18, 4],
  );
});

t.test('a writer grows, and refuses what does not fit', async (t) => {
  const big = Buffer.alloc(60_000, 1);
  const data = new AttributeWriter().bytes(1, big).u32(2, 5).finish();
  t.ok(Attributes.parse(data).get(1)?.equals(big));
  t.equal(Attributes.parse(data).u32(2), 5);
  t.throws(() => new AttributeWriter().bytes(1, Buffer.alloc(65_532)), RangeError);
  t.throws(() => new AttributeWriter().string(1, 'a\0b'), /zero byte/);
  t.throws(() => new AttributeWriter().u8(1, 256), RangeError);
  t.throws(() => new AttributeWriter().nest(1, (w) => w.bytes(1, big).bytes(2, big)), RangeError);
});

t.test('malformed attributes give an error that says where', async (t) => {
  t.throws(() => Attributes.parse(hex('0000 0100')), {
    name: 'MalformedMessageError',
    message: /claims a length of 0/,
  });
  t.throws(() => Attributes.parse(hex('0300 0100')), /claims a length of 3/);
  t.throws(
    () => Attributes.parse(hex('0900 0100 00000000')),
    /attribute 1 needs 5 bytes at offset 4, but only 4 are left/,
  );
  t.throws(() => Attributes.parse(hex('0600 0100 0000 0000')).u32(1), /has 2 bytes where 4 are needed/);
  t.throws(() => Attributes.parse(Buffer.alloc(4), 8), MalformedMessageError);
  const many = Buffer.concat(Array.from({ length: MAX_ATTRIBUTES + 1 }, () => hex('0400 0100')));
  t.throws(() => Attributes.parse(many), /more than/);
  t.doesNotThrow(() => Attributes.parse(hex('0500 0100 07 0000')), 'missing padding at the end is no error');
});

t.test('messages are written and split', async (t) => {
  const target = Buffer.alloc(64);
  let end = writeMessage(target, 0, { type: 16, flags: 5, sequence: 7, payload: hex('010203') });
  t.equal(end, 20);
  end = writeMessage(target, end, { type: 18, flags: 1, sequence: 8, payload: Buffer.alloc(0) });
  t.equal(
    target.toString('hex', 0, end),
    hex('13000000 1000 0500 07000000 00000000 01020300 10000000 1200 0100 08000000 00000000').toString('hex'),
  );
  const messages = parseMessages(target.subarray(0, end));
  t.match(messages, [
    { type: 16, flags: 5, sequence: 7 },
    { type: 18, flags: 1, sequence: 8 },
  ]);
  t.same(messages[0]?.payload, hex('010203'));
});

t.test('malformed messages give an error, and never an endless loop', async (t) => {
  t.throws(() => parseMessages(hex('00000000 0300 0000 01000000 00000000')), /claims a length of 0/);
  t.throws(() => parseMessages(hex('ffffffff 0300 0000 01000000 00000000')), /payload of message type 3/);
  t.throws(() => parseMessages(hex('10000000 0300')), /message flags needs 2 bytes/);
  const valid = new AttributeWriter()
    .header(headers.encodeInterfaceHeader({ index: 3 }))
    .string(3, 'eth0')
    .u32(4, 1500);
  const payload = valid
    .nest(18, (info) => info.string(1, 'vxlan').nest(2, (data) => data.u16be(15, 4789)))
    .finish();
  // Every possible truncation and every flipped byte either decodes or is refused in words.
  for (let index = 0; index < payload.length; index++) {
    for (const bytes of [
      payload.subarray(0, index),
      Buffer.from(payload).fill(payload.readUInt8(index) ^ 0xff, index, index + 1),
    ]) {
      for (const decode of [decodeLink, decodeRoute]) {
        try {
          decode({ type: 16, flags: 0, sequence: 1, portId: 0, payload: bytes });
        } catch (error) {
          if (!(error instanceof MalformedMessageError)) t.fail(`byte ${index}: ${String(error)}`);
        }
      }
    }
  }
});

t.test('verdicts: success, error with the text and the place, and the end of a dump', async (t) => {
  const request = hex('20000000 1000 0500 07000000 00000000');
  const message = (type: number, flags: number, payload: Buffer) => ({
    type,
    flags,
    sequence: 7,
    portId: 0,
    payload,
  });
  t.same(parseVerdict(message(NLMSG.ERROR, 0x100, Buffer.concat([hex('00000000'), request]))), { errno: 0 });
  const tlvs = new AttributeWriter().string(1, 'no such thing').u32(2, 40).u32(5, 18).finish();
  const capped = parseVerdict(message(NLMSG.ERROR, 0x300, Buffer.concat([hex('eaffffff'), request, tlvs])));
  t.same(capped, { errno: 22, message: 'no such thing', attributeOffset: 40, missingType: 18 });
  const whole = Buffer.concat([hex('eaffffff'), request, Buffer.alloc(16), tlvs]);
  t.same(
    parseVerdict(message(NLMSG.ERROR, 0x200, whole)),
    capped,
    'a request that is repeated in whole is passed over',
  );
  t.same(parseVerdict(message(NLMSG.DONE, 2, hex('00000000'))), { errno: 0 });
  t.same(parseVerdict(message(NLMSG.DONE, 2, hex('feffffff'))), { errno: 2 });
  t.throws(() => parseVerdict(message(NLMSG.ERROR, 0, hex('0000'))), /error number/);
  t.throws(
    () => parseVerdict(message(NLMSG.ERROR, 0, Buffer.concat([hex('01000000'), request]))),
    /positive error/,
  );
});

t.test('an offset in a request becomes the path of an attribute', async (t) => {
  const body = new AttributeWriter()
    .header(headers.encodeInterfaceHeader({}))
    .string(3, 'vx0')
    .nest(18, (info) => info.string(1, 'vxlan').nest(2, (data) => data.u32(1, 5)))
    .finish();
  const names = new Map([
    [3, 'IFLA_IFNAME'],
    [18, 'IFLA_LINKINFO'],
  ]);
  const at = (offset: number) =>
    explainVerdict({ errno: 22, attributeOffset: offset }, body, 16, names).attribute;
  t.equal(at(32), 'IFLA_IFNAME');
  t.equal(at(40), 'IFLA_LINKINFO');
  t.equal(at(60), 'IFLA_LINKINFO/#2/#1');
  t.equal(at(9999), undefined);
  t.same(explainVerdict({ errno: 22, missingType: 18 }, body, 16, names), {
    missingAttribute: 'IFLA_LINKINFO',
  });
});

t.test('the headers of the families, byte for byte', async (t) => {
  const link = { family: 7, type: 1, index: 0x01020304, flags: 0x11, change: 0x22 };
  t.same(headers.encodeInterfaceHeader(link), hex('07 00 0100 04030201 11000000 22000000'));
  t.same(headers.decodeInterfaceHeader(headers.encodeInterfaceHeader(link)), link);
  const address = { family: 2, prefixLength: 24, flags: 0x80, scope: 253, index: 5 };
  t.same(headers.encodeAddressHeader(address), hex('02 18 80 fd 05000000'));
  t.same(headers.decodeAddressHeader(headers.encodeAddressHeader(address)), address);
  const neighbour = { family: 10, index: 6, state: 0x80, flags: 0x10, type: 1 };
  t.same(headers.encodeNeighbourHeader(neighbour), hex('0a 00 0000 06000000 8000 10 01'));
  t.same(headers.decodeNeighbourHeader(headers.encodeNeighbourHeader(neighbour)), neighbour);
  const route = {
    family: 2,
    destinationLength: 16,
    sourceLength: 8,
    tos: 1,
    table: 254,
    protocol: 4,
    scope: 253,
    type: 6,
    flags: 0x1000,
  };
  t.same(headers.encodeRouteHeader(route), hex('02 10 08 01 fe 04 fd 06 00100000'));
  t.same(headers.decodeRouteHeader(headers.encodeRouteHeader(route)), route);
  const rule = { family: 2, destinationLength: 1, sourceLength: 2, tos: 3, table: 4, action: 5, flags: 6 };
  t.same(headers.encodeRuleHeader(rule), hex('02 01 02 03 04 00 00 05 06000000'));
  t.same(headers.decodeRuleHeader(headers.encodeRuleHeader(rule)), rule);
  t.throws(() => headers.decodeRouteHeader(hex('02 10')), /rtm_src_len needs 1 bytes/);
});

t.test('addresses: text to bytes and back (RFC 5952)', async (t) => {
  const pairs: [string, string][] = [
    ['10.1.2.3', '10.1.2.3'],
    ['::', '::'],
    ['::1', '::1'],
    ['fe80::', 'fe80::'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.1'],
    ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
  ];
  for (const [text, canonical] of pairs) t.equal(formatAddress(parseAddress(text).bytes), canonical, text);
  for (const bad of ['', '10.0.0', '10.0.0.256', 'fe80::1%lo', '1::2::3', 'x'])
    t.throws(() => parseAddress(bad), TypeError);
  t.throws(() => formatAddress(Buffer.alloc(5)), MalformedMessageError);
  t.match(parsePrefix('10.0.0.0/8'), { family: 'inet', length: 8 });
  t.match(parsePrefix('fd00::1'), { family: 'inet6', length: 128 });
  for (const bad of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '::/129', '10.0.0.0/1x']) {
    t.throws(() => parsePrefix(bad), RangeError, bad);
  }
  t.equal(formatMac(parseMac('02:00:AA:bb:00:01')), '02:00:aa:bb:00:01');
  t.throws(() => parseMac('02:00:00:00:01'), /is not a MAC address/);
});
