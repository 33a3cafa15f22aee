import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { generateFromFile } from '../src/generate.ts';
import { generateEnum } from '../src/generate-enum.ts';
import { BpfError, CollectionSpec, decodeBytes, encodeBytes, u16 } from '../src/index.ts';
import * as golden from './golden/kitchen.ts';
import { compileFixture, temporaryDirectory } from './support.ts';

const GOLDEN = path.join(import.meta.dirname, 'golden/kitchen.ts');
/** The golden file is formatted as generated. */
const HEADER = '// biome-ignore-all format: as generated\n// biome-ignore-all lint: as generated\n';

const directory = temporaryDirectory();
t.teardown(() => directory[Symbol.dispose]());
const object = compileFixture('kitchen', directory.path);
const options = { source: 'kitchen.bpf.o', types: ['event'], enums: true };

t.test('generated code is the golden file, and the same every time', async (t) => {
  const text = HEADER + generateFromFile(object, options);
  if (process.env.BPF_TS_UPDATE_GOLDEN === '1') fs.writeFileSync(GOLDEN, text);
  t.equal(text, fs.readFileSync(GOLDEN, 'utf8'), 'BPF_TS_UPDATE_GOLDEN=1 rewrites it');
  t.equal(HEADER + generateFromFile(object, options), text);
});

const key: golden.flow_key = {
  source: {
    v4_or_v6: encodeBytes(golden.address_v4_or_v6_as.v4, 0xc0000201, 16),
    family: 4,
    pad: new Uint8Array(3),
  },
  port: 8080,
  protocol: 17,
  vni: 42,
};

const value: golden.flow_value = {
  packets: (1n << 64n) - 1n,
  balance: -5n,
  cookie: 0x0102030405060708n,
  delta: -2,
  small: -32768,
  tiny: -1,
  on: true,
  reason: golden.verdict_reason.REASON_LAST,
  mark: golden.sparse_mark.MARK_LOW,
  history: [1, 2, 65535],
  grid: [
    [1, 2, 3],
    [4, 5, 6],
  ],
  name: new TextEncoder().encode('abcdef'),
  pairs: [
    { first: 1, second: 2 },
    { first: 3, second: 4 },
  ],
  token: encodeBytes(golden.token_as.parts, { high: 0x1234, low: 0x5678 }, 8),
  low: 15,
  middle: 0xabc,
  high: 0xffff,
  bend: -16,
  beside: 0xa5,
  wide: (1n << 40n) - 1n,
};

t.test('codecs give back what they were given, and write every byte', async (t) => {
  for (const fill of [0, 0xff]) {
    const bytes = new Uint8Array(golden.flow_value_size + 8).fill(fill);
    golden.flow_value_codec.encode(value, new DataView(bytes.buffer), 4);
    t.strictSame(golden.flow_value_codec.decode(new DataView(bytes.buffer), 4), value);
    t.strictSame(
      bytes.subarray(4, 4 + golden.flow_value_size),
      encodeBytes(golden.flow_value_codec, value),
      'padding is zero whatever was there',
    );
    t.ok(
      [...bytes.subarray(0, 4), ...bytes.subarray(-4)].every((byte) => byte === fill),
      'and nothing beside',
    );
  }
  const bytes = encodeBytes(golden.flow_key_codec, key);
  t.strictSame([...bytes.subarray(0, 4)], [0xc0, 0, 2, 1], '__be32 is in network order in memory');
  t.strictSame([...bytes.subarray(20, 22)], [0x1f, 0x90], '__be16 too');
  t.strictSame(decodeBytes(golden.flow_key_codec, bytes), key);
  t.equal(decodeBytes(golden.address_v4_or_v6_as.v4, key.source.v4_or_v6), 0xc0000201);
  t.equal(golden.verdict_reason_names[golden.verdict_reason.REASON_BLOCKED], 'REASON_BLOCKED');
  t.equal(golden.sparse_mark_names[String(golden.sparse_mark.MARK_HIGH)], 'MARK_HIGH');
});

t.test('values that do not fit are refused', async (t) => {
  const encode = (change: Partial<golden.flow_value>) => () =>
    encodeBytes(golden.flow_value_codec, { ...value, ...change });
  t.throws(encode({ small: 32768 }), RangeError);
  t.throws(encode({ delta: 0.5 }), RangeError);
  t.throws(encode({ delta: Number.NaN }), RangeError);
  t.throws(encode({ packets: 1n << 64n }), RangeError);
  t.throws(encode({ low: 16 }), RangeError, 'a bitfield');
  t.throws(encode({ bend: 16 }), RangeError, 'a signed bitfield');
  t.throws(encode({ wide: 1n << 40n }), RangeError, 'a wide bitfield');
  t.throws(encode({ history: [1, 2] }), RangeError, 'an array too short');
  t.throws(encode({ name: new Uint8Array(7) }), RangeError, 'bytes too long');
  t.throws(() => u16.encode(-1, new DataView(new ArrayBuffer(2)), 0), RangeError);
  t.throws(() => decodeBytes(u16, new Uint8Array(1)), RangeError);
});

t.test('a type that is not there is named; an object without BTF is refused', async (t) => {
  t.throws(() => generateFromFile(object, { source: 'x', types: ['no_such'] }), {
    name: 'BpfError',
    message: /type 'no_such'/,
  });
  t.throws(() => CollectionSpec.fromBuffer(new Uint8Array(100)), BpfError);
});

t.test('64-bit and negative enums, which compilers before clang 15 do not describe', async (t) => {
  const values = [
    { name: 'LOW', value: 1n },
    { name: 'HIGH', value: 0x100000001n },
  ];
  const text = generateEnum({ kind: 'enum', name: 'wide', size: 8, signed: false, values }, 'wide');
  t.match(text, /HIGH: 4294967297n,/);
  t.match(text, /'4294967297': 'HIGH'/);
  const negative = [{ name: 'MINUS', value: -1n }];
  const signed = generateEnum(
    { kind: 'enum', name: 'signed', size: 4, signed: true, values: negative },
    'signed',
  );
  t.match(signed, /MINUS: -1,/);
  t.match(signed, /'-1': 'MINUS'/);
});

t.test('the command writes a file, with prefix; and fails with its usage', async (t) => {
  const command = path.join(import.meta.dirname, '../bin/bpf-gen.ts');
  const out = path.join(directory.path, 'out/types.ts');
  const run = (...args: string[]) => spawnSync(process.execPath, [command, ...args], { encoding: 'utf8' });
  const made = run(object, out, '--prefix', 'bpf_', '--type', 'verdict_reason', '--import-from', '../x.ts');
  t.equal(made.stderr, '');
  const text = fs.readFileSync(out, 'utf8');
  t.match(text, /^\/\/ Generated by bpf-gen from kitchen\.bpf\.o/);
  t.match(text, /export interface bpf_flow_key \{/);
  t.match(text, /export const bpf_verdict_reason = \{/);
  t.match(text, /from '\.\.\/x\.ts'/);
  t.notMatch(text, /sparse_mark =/, 'other enums are left out');
  const failed = run(object);
  t.equal(failed.status, 1);
  t.match(failed.stderr, /usage: bpf-gen/);
});
