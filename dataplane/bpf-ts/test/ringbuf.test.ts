import t from 'tap';
import { type Collection, CollectionSpec, decodeBytes, RingBuffer } from '../src/index.ts';
import { event_codec } from './golden/kitchen.ts';
import { compileFixture, eventually, temporaryDirectory } from './support.ts';

const directory = temporaryDirectory();
t.teardown(() => directory[Symbol.dispose]());
const spec = CollectionSpec.fromFile(compileFixture('kitchen', directory.path));
for (const map of spec.maps.values()) map.pinning = 'none';
for (const program of spec.programs.values()) program.autoload = program.name === 'emit_event';

/** Runs the program that emits one record so often: one by one, since an interrupted longer run starts over. */
function emit(collection: Collection, count: number): void {
  for (let i = 0; i < count; i++) collection.program('emit_event').testRun({ data: new Uint8Array(60) });
}

t.test('records arrive in order, as the event loop turns', async (t) => {
  using collection = spec.load();
  const sequences: bigint[] = [];
  using reader = new RingBuffer(collection.map('events'), (record) => {
    const event = decodeBytes(event_codec, record);
    sequences.push(event.sequence);
    t.equal(event.address, 0x0a000001);
  });
  t.ok(reader);
  emit(collection, 3);
  t.equal(sequences.length, 0, 'nothing is called from within another call');
  t.ok(await eventually(() => sequences.length === 3));
  emit(collection, 2);
  t.ok(await eventually(() => sequences.length === 5));
  t.strictSame(sequences, [0n, 1n, 2n, 3n, 4n]);
});

t.test('a wake-up is bounded, and the rest follows', async (t) => {
  using collection = spec.load();
  let count = 0;
  using reader = new RingBuffer(collection.map('events'), () => count++, { recordsPerWake: 10 });
  emit(collection, 95);
  t.equal(reader.consume(), 10);
  t.equal(count, 10);
  t.ok(await eventually(() => count === 95));
});

t.test('an exception reaches onError, and reading goes on', async (t) => {
  using collection = spec.load();
  const errors: unknown[] = [];
  let count = 0;
  using reader = new RingBuffer(
    collection.map('events'),
    () => {
      if (++count === 2) throw new Error('second record');
    },
    { onError: (error) => errors.push(error) },
  );
  t.ok(reader);
  emit(collection, 4);
  t.ok(await eventually(() => count === 4));
  t.match(errors, [{ message: 'second record' }]);
});

t.test('disposing stops it, even from within', async (t) => {
  using collection = spec.load();
  let count = 0;
  const reader = new RingBuffer(collection.map('events'), () => {
    count++;
    reader[Symbol.dispose]();
  });
  emit(collection, 4);
  t.ok(await eventually(() => count === 1));
  reader[Symbol.dispose]();
  t.throws(() => reader.consume(), { code: 'CLOSED' });
  t.equal(count, 1);
});

t.test('only ring buffers are read', async (t) => {
  using collection = spec.load();
  t.throws(() => new RingBuffer(collection.map('table'), () => {}), {
    code: 'EINVAL',
    message: /map 'table'/,
  });
});
