import { closeSync, fstatSync, openSync } from 'node:fs';
import { type ListenerOptions, openListener } from 'netlink-ts';
import t from 'tap';
import { frame } from '../../../control/dns/framing.ts';
import { DnsServer } from '../../../control/dns/server.ts';
import { askUdp, dig, openTcp } from './client.ts';
import { query, readReply, viewOf } from './codec.ts';

const open = (type: ListenerOptions['type'], port: number) =>
  openListener({ type, address: '127.0.0.1', port });

/** A port of 127.0.0.1 that was free a moment ago on both transports. */
async function freePort(): Promise<number> {
  await using server = new DnsServer();
  return (await server.listen({ address: '127.0.0.1', port: 0 })).port;
}

t.test('serves on sockets that somebody else made', async (t) => {
  const port = await freePort();
  await using server = new DnsServer();
  server.view = viewOf(new Map([['web', { vip: '10.248.0.1', endpoints: [] }]]));
  const fdUdp = open('udp', port);
  const fdTcp = open('tcp', port);
  const listener = await server.listen({ address: '127.0.0.11', port: 53, fdUdp, fdTcp });
  t.match(listener, { address: '127.0.0.1', port }, 'the sockets say where they are bound');
  t.strictSame(readReply(await askUdp(port, query('web'))).addresses, ['10.248.0.1']);
  t.equal((await dig(port, '+tcp', '+short', 'web')).trim(), '10.248.0.1');
  using client = await openTcp(port);
  client.socket.write(frame(query('web')));
  await client.until(1);
  t.strictSame(server.setUpstreams([{ address: '127.0.0.1', port }]), [], 'and they count as its own');
  await listener.close();
  await client.closing;
  for (const fd of [fdUdp, fdTcp])
    t.throws(() => fstatSync(fd), { code: 'EBADF' }, 'closed with the listener');
});

t.test('descriptors that cannot be used are closed, and the error says so', async (t) => {
  await using server = new DnsServer();
  const file = openSync('/dev/null', 'r');
  const fdTcp = open('tcp', 0);
  await t.rejects(server.listen({ address: '127.0.0.1', port: 53, fdUdp: file, fdTcp }), {
    code: 'ERR_INVALID_FD_TYPE',
  });
  for (const fd of [file, fdTcp]) t.throws(() => fstatSync(fd), { code: 'EBADF' });
  const fdUdp = open('udp', 0);
  const notTcp = openSync('/dev/null', 'r');
  t.teardown(() => {
    try {
      closeSync(notTcp);
    } catch {
      // The server closed it.
    }
  });
  await t.rejects(server.listen({ address: '127.0.0.1', port: 53, fdUdp, fdTcp: notTcp }), {
    code: 'EINVAL',
  });
  t.throws(() => fstatSync(fdUdp), { code: 'EBADF' });
  const listener = await server.listen({ address: '127.0.0.1', port: 0 });
  t.ok(listener.port > 0, 'it can still listen');
});
