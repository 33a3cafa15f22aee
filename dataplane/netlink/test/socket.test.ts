import t from 'tap';
import { align } from '../src/codec/attributes.ts';
import {
  MESSAGE_HEADER_SIZE_BYTES,
  NLM_F,
  NLMSG,
  parseMessages,
  writeMessage,
} from '../src/codec/message.ts';
import {
  links,
  NetlinkError,
  NetlinkSocket,
  type Received,
  routes,
  type Transport,
  unwrapBatch,
} from '../src/index.ts';
import { MAX_DUMP_ATTEMPTS } from '../src/pending.ts';
import { MAX_IN_FLIGHT } from '../src/socket.ts';
import { addVeth, makeNamespace } from './support/namespace.ts';

interface Reply {
  readonly type: number;
  readonly flags?: number;
  readonly payload?: Buffer;
  /** Added to the request's sequence number. */
  readonly sequenceShift?: number;
}
const DONE: Reply = { type: NLMSG.DONE, flags: NLM_F.MULTI, payload: Buffer.alloc(4) };
const ACK: Reply = { type: NLMSG.ERROR, flags: NLM_F.CAPPED, payload: Buffer.alloc(20) };
const link = (index: number, flags: number): Reply => {
  const payload = Buffer.alloc(16);
  payload.writeInt32LE(index, 4);
  return { type: 16, flags: NLM_F.MULTI | flags, payload };
};

/** A kernel whose answers a test lays down. */
class ScriptedTransport implements Transport {
  readonly waiting: Received[] = [];
  sends = 0;
  closed = false;
  readonly #answer: (send: number) => readonly (Reply | Received)[];

  constructor(answer: (send: number) => readonly (Reply | Received)[]) {
    this.#answer = answer;
  }

  send(datagram: Buffer): number {
    this.sends += 1;
    for (const request of parseMessages(datagram)) {
      for (const reply of this.#answer(this.sends)) {
        if ('kind' in reply) {
          this.waiting.push(reply);
          continue;
        }
        const payload = reply.payload ?? Buffer.alloc(0);
        const data = Buffer.alloc(align(MESSAGE_HEADER_SIZE_BYTES + payload.length));
        const sequence = request.sequence + (reply.sequenceShift ?? 0);
        writeMessage(data, 0, { type: reply.type, flags: reply.flags ?? 0, sequence, payload });
        this.waiting.push({ kind: 'datagram', data });
      }
    }
    return 0;
  }

  receive(): Received {
    return this.waiting.shift() ?? { kind: 'empty' };
  }

  wait(): boolean {
    return this.waiting.length > 0;
  }

  watch(): { keepAlive(): void; close(): void } {
    return { keepAlive() {}, close() {} };
  }

  interfaceIndex(): number {
    return 1;
  }

  [Symbol.dispose](): void {
    this.closed = true;
  }
}

t.test('a dump that was interrupted is read again, and only the last reading counts', async (t) => {
  const transport = new ScriptedTransport((send) =>
    send < 3 ? [link(send, NLM_F.DUMP_INTR), DONE] : [link(7, 0), link(8, 0), DONE],
  );
  using nl = NetlinkSocket.over(transport);
  t.same(
    (await nl.request(links.list())).map(({ index }) => index),
    [7, 8],
  );
  t.equal(nl.counters.dumpsRetried, 2);
});

t.test('a dump that is interrupted for ever is given up', async (t) => {
  const transport = new ScriptedTransport(() => [link(1, NLM_F.DUMP_INTR), DONE]);
  using nl = NetlinkSocket.over(transport);
  await t.rejects(nl.request(links.list()), {
    code: 'EINTR',
    message: /list links: EINTR .*changed during each of/,
  });
  t.equal(transport.sends, MAX_DUMP_ATTEMPTS);
  t.throws(() => nl.requestSync(links.list()), { code: 'EINTR' });
});

t.test('a dump waits for one that is still running in the kernel', async (t) => {
  const busy = Buffer.alloc(20);
  busy.writeInt32LE(-16, 0);
  const transport = new ScriptedTransport((send) =>
    send < 3 ? [{ type: NLMSG.ERROR, flags: NLM_F.CAPPED, payload: busy }] : [link(7, 0), DONE],
  );
  using nl = NetlinkSocket.over(transport);
  t.equal((await nl.request(links.list())).length, 1);
  await t.rejects(
    NetlinkSocket.over(
      new ScriptedTransport(() => [{ type: NLMSG.ERROR, flags: NLM_F.CAPPED, payload: busy }]),
    ).request(links.list()),
    { code: 'EBUSY', message: /another dump was running/ },
  );
});

t.test('a malformed datagram fails what is in flight, and the socket goes on', async (t) => {
  const transport = new ScriptedTransport((send) =>
    send === 1 ? [{ kind: 'datagram', data: Buffer.from('0300000010000000', 'hex') }] : [ACK],
  );
  using nl = NetlinkSocket.over(transport);
  await t.rejects(nl.request(links.remove(5)), { name: 'MalformedMessageError' });
  await nl.request(links.remove(5));
});

t.test('a malformed answer fails its own request only', async (t) => {
  const transport = new ScriptedTransport((send) =>
    send === 1 ? [{ type: 16, payload: Buffer.alloc(3) }, ACK] : [ACK],
  );
  using nl = NetlinkSocket.over(transport);
  await t.rejects(nl.request(links.get(5)), { name: 'MalformedMessageError', message: /ifi_type/ });
  await t.rejects(nl.request(links.get(5)), /an acknowledgement without an answer/);
  await nl.request(links.remove(5));
});

t.test('lost replies fail what was in flight, with words', async (t) => {
  const transport = new ScriptedTransport((send) => (send === 1 ? [{ kind: 'error', errno: 105 }] : [ACK]));
  using nl = NetlinkSocket.over(transport);
  await t.rejects(nl.request(links.remove(5)), {
    code: 'ENOBUFS',
    message: /whether the request was carried out is unknown/,
  });
  t.equal(nl.counters.overruns, 1);
  await nl.request(links.remove(5));
});

t.test('messages of a foreign sequence are counted and passed over', async (t) => {
  const transport = new ScriptedTransport(() => [
    { ...ACK, sequenceShift: 1000 },
    { kind: 'discarded' },
    ACK,
  ]);
  using nl = NetlinkSocket.over(transport);
  await nl.request(links.remove(5));
  t.equal(nl.counters.unexpectedMessages, 2);
});

t.test('a kernel that does not answer leads to ETIMEDOUT', async (t) => {
  const transport = new ScriptedTransport(() => []);
  using nl = NetlinkSocket.over(transport, 20);
  await t.rejects(nl.request(links.remove(5)), { code: 'ETIMEDOUT', message: /no reply within 20 ms/ });
  t.throws(() => nl.requestSync(links.remove(5)), { code: 'ETIMEDOUT' });
});

t.test('closing fails what is in flight, queued or new', async (t) => {
  const transport = new ScriptedTransport(() => []);
  const nl = NetlinkSocket.over(transport);
  const waiting = nl.batch(Array.from({ length: MAX_IN_FLIGHT + 10 }, () => links.remove(5)));
  await new Promise(setImmediate);
  nl.close();
  nl.close();
  const results = await waiting;
  t.ok(results.every((result) => !result.ok && (result.error as NetlinkError).code === 'ECANCELED'));
  t.equal(results.length, MAX_IN_FLIGHT + 10);
  await t.rejects(nl.request(links.list()), { code: 'ECANCELED' });
  t.throws(() => nl.requestSync(links.list()), { code: 'ECANCELED' });
  t.ok(transport.closed);
});

t.test('2,000 routes in one batch, in few datagrams', async (t) => {
  using ns = makeNamespace('batch');
  addVeth(ns.nl);
  const specs = Array.from({ length: 2000 }, (_, index) => ({
    destination: `10.${index >> 8}.${index & 255}.0/24`,
    link: 'v0',
    table: 1000,
  }));
  unwrapBatch(await ns.nl.batch(specs.map(routes.add)));
  t.ok(ns.nl.counters.datagramsSent < 50, `${ns.nl.counters.datagramsSent} datagrams`);
  const listed = await ns.nl.request(routes.list({ table: 1000, family: 'inet' }));
  t.same(new Set(listed.map((route) => route.destination)), new Set(specs.map((spec) => spec.destination)));
  // Every second one is there already: the results tell which.
  const again = await ns.nl.batch(
    specs.slice(0, 20).map((spec, index) => routes.add({ ...spec, table: index % 2 === 0 ? 1000 : 1001 })),
  );
  t.same(
    again.map((result) => (result.ok ? 'ok' : (result.error as NetlinkError).code)),
    Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? 'EEXIST' : 'ok')),
  );
  t.throws(() => unwrapBatch(again), {
    name: 'AggregateError',
    message: /^10 of 20 requests failed, the first: add route/,
  });
  unwrapBatch(await ns.nl.batch(specs.map(routes.remove)));
  t.same(await ns.nl.request(routes.list({ table: 1000, family: 'inet' })), []);
});

t.test('300 requests in flight at once, dumps among them, each with its own answer', async (t) => {
  using ns = makeNamespace('flight');
  addVeth(ns.nl);
  const names = ['lo', 'v0', 'v1'];
  const answers = await Promise.all(
    Array.from({ length: 300 }, async (_, index) => {
      if (index % 10 === 9) return (await ns.nl.request(links.list())).length === 3;
      if (index % 10 === 8) {
        return ns.nl.request(links.get(9999)).then(
          () => false,
          (error: NetlinkError) => error.code === 'ENODEV',
        );
      }
      const name = names[index % 3] ?? '';
      return (await ns.nl.request(links.get(name))).name === name;
    }),
  );
  t.equal(answers.length, 300);
  t.ok(answers.every(Boolean));
  t.equal(ns.nl.counters.unexpectedMessages, 0);
});

t.test('a synchronous request goes well beside asynchronous ones, in the middle of a dump too', async (t) => {
  using ns = makeNamespace('sync');
  addVeth(ns.nl);
  const many = Array.from({ length: 1500 }, (_, index) => ({
    destination: `10.${index >> 8}.${index & 255}.0/24`,
    link: 'v0',
    table: 1000,
  }));
  unwrapBatch(await ns.nl.batch(many.map(routes.add)));
  const dump = ns.nl.request(routes.list({ table: 1000, family: 'inet' }));
  const batch = ns.nl.batch([links.get('v0'), links.get('v1')]);
  t.equal(ns.nl.requestSync(links.get('lo')).name, 'lo');
  t.equal(ns.nl.requestSync(links.list()).length, 3);
  t.equal((await dump).length, 1500);
  t.same(
    unwrapBatch(await batch).map(({ name }) => name),
    ['v0', 'v1'],
  );
});

t.test('a receive buffer that is too small fails requests in words, and the socket recovers', async (t) => {
  using ns = makeNamespace('overflow');
  using nl = NetlinkSocket.open({ netns: ns.name, receiveBuffer_bytes: 4096 });
  const results = await nl.batch(Array.from({ length: 600 }, () => links.get('lo')));
  const codes = new Set(results.map((result) => (result.ok ? 'ok' : (result.error as NetlinkError).code)));
  t.ok(codes.has('ENOBUFS'), [...codes].join());
  t.notOk(
    [...codes].some((code) => code !== 'ENOBUFS' && code !== 'ok'),
    [...codes].join(),
  );
  t.ok(nl.counters.overruns >= 1);
  t.equal((await nl.request(links.get('lo'))).name, 'lo');
  t.equal(nl.requestSync(links.get('lo')).name, 'lo');
});

t.test('errors carry the errno, what was asked, the kernel’s own words and the attribute', async (t) => {
  using ns = makeNamespace('errors');
  addVeth(ns.nl);
  const failure = async (promise: Promise<unknown>): Promise<NetlinkError> => {
    try {
      await promise;
    } catch (error) {
      if (error instanceof NetlinkError) return error;
      throw error;
    }
    throw new Error('it did not fail');
  };
  const route = await failure(ns.nl.request(routes.add({ destination: '10.9.9.9/24', link: 'v0' })));
  t.equal(route.code, 'EINVAL');
  t.equal(route.request, 'add route 10.9.9.9/24 on v0');
  t.match(route.extack, /Invalid prefix/);
  t.match(route.message, /^add route 10\.9\.9\.9\/24 on v0: EINVAL \(.*\): Invalid prefix/);
  const exists = await failure(ns.nl.request(links.create({ kind: 'bridge', name: 'v0' })));
  t.match(exists, { code: 'EEXIST', errno: 17, message: /^create link v0: EEXIST/ });
  const vxlan = await failure(ns.nl.request(links.create({ kind: 'vxlan', name: 'vx0', id: 1 << 24 })));
  t.match(vxlan.message, /IFLA_LINKINFO\/#2\/#1/, 'the VNI is pointed at');
  const unnamed = await failure(ns.nl.request(links.remove('nope')));
  t.match(unnamed, { code: 'ENODEV', message: /^delete link nope: ENODEV .*find interface nope/ });
  await t.rejects(ns.nl.request(links.remove('much-too-long-a-name')), RangeError);
  t.throws(() => NetlinkSocket.open({ netns: 'shoal-netlink-none' }), { code: 'ENOENT' });
});

t.test('a socket that waits for nothing does not keep the process alive', async (t) => {
  const { spawnSync } = await import('node:child_process');
  const program = `
    const { NetlinkSocket, links } = await import(${JSON.stringify(new URL('../src/index.ts', import.meta.url).href)});
    const nl = NetlinkSocket.open();
    console.log((await nl.request(links.get('lo'))).name);`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.equal(run.stdout, 'lo\n');
  t.equal(run.status, 0);
});
