import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { createServer as createNetServer, type Socket } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { X509CertificateGenerator } from '@peculiar/x509';
import t from 'tap';
import type { L7Config, L7Endpoint } from '../../../dataplane/l7/config.ts';
import type { AccessEvent } from '../../../dataplane/l7/context.ts';
import {
  eventually,
  frontEnd,
  listen,
  loopback,
  portOf,
  RawClient,
  randomBytes,
  seeded,
  sha256,
} from './support.ts';

const port = 8_443;

/** A self-signed certificate for a host, as PEM. */
async function certificate(host: string): Promise<{ cert: string; key: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const made = await X509CertificateGenerator.createSelfSigned(
    { name: `CN=${host}`, keys, signingAlgorithm: algorithm, notAfter: new Date(Date.now() + 3_600_000) },
    webcrypto as Crypto,
  );
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    cert: made.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
  };
}

/** A TLS server that says its name and echoes, and ends when the client has. */
async function tlsEcho(host: string): Promise<{ endpoint: L7Endpoint; stop: () => void }> {
  const sockets = new Set<Socket>();
  const server = createServer(
    { ...(await certificate(host)), ALPNProtocols: ['x', 'y'], allowHalfOpen: true },
    (socket) => {
      socket.write(`${host} ${socket.alpnProtocol} `);
      socket.on('data', (bytes) => socket.write(bytes));
      socket.on('end', () => socket.end(' bye'));
      socket.on('error', () => {});
    },
  );
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await listen(server);
  const stop = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { endpoint: { id: host, address: loopback, port: portOf(server) }, stop };
}

function tlsConfig(hosts: Record<string, L7Endpoint[]>): L7Config {
  return {
    listeners: [{ port, protocol: 'tls', address: loopback }],
    routes: Object.keys(hosts).map((host) => ({ port, protocol: 'tls', host, service: host })),
    services: Object.fromEntries(
      Object.entries(hosts).map(([host, endpoints]) => [host, { name: host, endpoints }]),
    ),
  };
}

function tlsClient(servername: string | undefined): TLSSocket {
  const options = {
    host: loopback,
    port,
    rejectUnauthorized: false,
    ALPNProtocols: ['y'],
    allowHalfOpen: true,
  };
  return connect(servername === undefined ? options : { ...options, servername });
}

/** The error a handshake ends in. */
function handshakeError(servername: string | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tlsClient(servername);
    socket.on('secureConnect', () => reject(new Error(`the handshake for ${servername} succeeded`)));
    socket.on('error', (error) => resolve(error.message));
  });
}

t.test('each name reaches its own server, whose certificate the client sees', async (t) => {
  const a = await tlsEcho('a.example');
  const b = await tlsEcho('b.example');
  const events: AccessEvent[] = [];
  const config = tlsConfig({ 'a.example': [a.endpoint], '*.b.example': [b.endpoint] });
  const front = await frontEnd(config, { onAccess: (event) => events.push(event) });
  const big = randomBytes(seeded(8), 200_000);
  for (const [name, host] of [
    ['a.example', 'a.example'],
    ['www.B.example', 'b.example'],
  ] as const) {
    const socket = tlsClient(name);
    const received: Uint8Array[] = [];
    socket.on('data', (bytes) => received.push(Buffer.from(bytes)));
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    t.equal(socket.getPeerCertificate().subject.CN, host);
    socket.end(big);
    await new Promise((resolve) => socket.once('end', resolve));
    const all = Buffer.concat(received);
    const greeting = `${host} y `;
    t.equal(all.toString('latin1', 0, greeting.length), greeting);
    t.equal(sha256(all.subarray(greeting.length, greeting.length + big.length)), sha256(big));
    t.equal(all.toString('latin1', greeting.length + big.length), ' bye', 'said after the client had ended');
  }
  await eventually(() => events.length === 2);
  t.match(events[0], { protocol: 'tls', host: 'a.example', service: 'a.example', method: null });
  t.ok((events[0]?.received_bytes ?? 0) > big.length);
  t.match(front.counters(), { tls_connections: 2, tls_no_match: 0 });
  await front.close(1_000);
  a.stop();
  b.stop();
});

t.test('without a match, a name or an endpoint the client gets an alert', async (t) => {
  const probe = await listen(createNetServer());
  const dead = { id: 'dead', address: loopback, port: portOf(probe) };
  await new Promise((resolve) => probe.close(resolve));
  const front = await frontEnd(tlsConfig({ 'dead.example': [dead], 'none.example': [] }));
  t.match(await handshakeError('c.example'), /unrecognized name/i);
  t.match(await handshakeError(undefined), /unrecognized name/i);
  t.match(await handshakeError('dead.example'), /internal error/i);
  t.match(await handshakeError('none.example'), /internal error/i);
  t.match(front.counters(), { tls_no_match: 2, tls_no_endpoint: 2, upstream_connect_failures: 1 });
  using plain = new RawClient(port);
  plain.send('GET / HTTP/1.1\r\n\r\n');
  t.same(
    [...Buffer.from(await plain.all(), 'latin1')],
    [21, 3, 3, 0, 2, 2, 10],
    'clear HTTP gets unexpected_message',
  );
  t.match(front.counters(), { tls_malformed: 1 });
  await front.close(50);
});

t.test('a dead endpoint is passed over', async (t) => {
  const a = await tlsEcho('a.example');
  const probe = await listen(createNetServer());
  const dead = { id: 'dead', address: loopback, port: portOf(probe) };
  await new Promise((resolve) => probe.close(resolve));
  const front = await frontEnd(tlsConfig({ 'a.example': [dead, a.endpoint] }), { random: () => 0 });
  const socket = tlsClient('a.example');
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  t.match(front.counters(), { retries: 1, upstream_connect_failures: 1, retries_pending_open: 0 });
  t.equal(socket.getPeerCertificate().subject.CN, 'a.example');

  // The connection outlives its service's configuration.
  await front.apply({ listeners: [], routes: [], services: {} });
  const echoed = new Promise<string>((resolve) => socket.on('data', (bytes) => resolve(String(bytes))));
  socket.write('still here');
  t.match(await echoed, /a\.example|still here/);
  socket.on('error', () => {});
  const ended = new Promise((resolve) => socket.once('close', resolve));
  t.equal(await front.close(50), 1, 'it is cut when the front end closes');
  await ended;
  a.stop();
});

t.test(
  'a ClientHello that does not come is ended by its time, and a half-closed silence by its own',
  async (t) => {
    const a = await listen(
      createNetServer({ allowHalfOpen: true }, (socket) => {
        socket.on('error', () => {});
        socket.resume();
      }),
    );
    const endpoint = { id: 'a', address: loopback, port: portOf(a) };
    const front = await frontEnd(tlsConfig({ 'a.example': [endpoint] }), {
      limits: { head_ms: 1_000, halfClosedIdle_ms: 100 },
    });
    using slow = new RawClient(port);
    slow.send(Buffer.from([22, 3, 1]));
    t.equal(await slow.all(), '');
    t.match(front.counters(), { heads_too_slow: 1 });
    const socket = tlsClient('a.example');
    socket.on('error', () => {});
    await eventually(() => front.counters().upstream_connections_open === 1);
    socket.end();
    await new Promise((resolve) => socket.once('close', resolve));
    await eventually(() => front.counters().connections_open === 0);
    t.equal(front.counters().half_closed_timeouts, 1);
    await front.close(50);
    a.close();
  },
);
