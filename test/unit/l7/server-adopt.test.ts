import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import t from 'tap';
import { httpConfig, listen, loopback, portOf, RawClient } from './support.ts';

/** Number of the file behind a server's socket, which Node has no public name for. */
function descriptorOf(server: Server): number {
  return (server as unknown as { _handle: { fd: number } })._handle.fd;
}

t.test(
  'a listening socket is adopted from another process, and no connection is refused meanwhile',
  async (t) => {
    // The parent listens but never accepts; what connects waits in the kernel for whoever adopts the socket.
    const server = await listen(createServer({ pauseOnConnect: true }));
    const port = portOf(server);
    const config = { ...httpConfig({}), listeners: [{ port, protocol: 'http', address: loopback }] };
    const source = `
    import { L7Server } from ${JSON.stringify(new URL('../../../dataplane/l7/server.ts', import.meta.url).href)};
    const front = new L7Server({ adopt: () => 3 });
    const { listening } = await front.apply(${JSON.stringify(config)});
    console.log('listening on', listening.length);
    process.stdin.once('data', async () => process.exit(await front.close(5_000)));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['pipe', 'pipe', 'inherit', descriptorOf(server)],
    });
    const { stdin, stdout } = child;
    if (stdin === null || stdout === null) throw new Error('the child has no pipes');
    const exited = once(child, 'exit');
    t.teardown(() => child.kill());
    await once(stdout, 'data');
    await new Promise((resolve) => server.close(resolve));
    using client = new RawClient(port);
    client.send('GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n');
    t.match(await client.all(), /^HTTP\/1\.1 404 [\s\S]*a\.example/);
    stdin.write('end');
    t.match(await exited, [0, null]);
  },
);
