/** The L7 front end as its users meet it: many host names on one port of every node, HTTP and TLS. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { AgentHandle } from './lib/agent.ts';
import { startCluster } from './lib/cluster.ts';
import type { Host } from './lib/host.ts';
import type { LabProcess } from './lib/process.ts';
import { edgeLab } from './lib/topology.ts';

const edge = await edgeLab({ name: 'frontend', clients: 2 });
t.teardown(() => edge[Symbol.asyncDispose]());
const agents = await startCluster(edge, { role: (number) => (number === 3 ? 'worker' : 'manager') });
const [first, second, third] = agents as [AgentHandle, AgentHandle, AgentHandle];
const nodeAddresses = edge.nodes.map((node) => node.requiredAddress);
const clientAddress = edge.client.requiredAddress;

/** What the servers below answer with. */
type Seen = { name: string; headers: Record<string, string>; url: string };
type Answer = { status: number; localPort: number; body: string };
type Sent = {
  host?: string;
  path?: string;
  headers?: Record<string, string>;
  method?: string;
  body?: string;
};

/** HTTP or, with a certificate, HTTPS; `/die` is answered and ends the process. */
const serverScript = `
import http from 'node:http'; import https from 'node:https'; import fs from 'node:fs';
const { name, port, address, key, certificate } = JSON.parse(process.argv[1]);
const answer = (request, response) => {
  if (request.url === '/die') response.once('close', () => process.exit(0));
  request.resume();
  request.once('end', () => response.end(JSON.stringify({ name, headers: request.headers, url: request.url })));
};
const server = key === undefined ? http.createServer(answer)
  : https.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(certificate) }, answer);
server.listen(port, address, () => console.log('listening'));`;

/** Sends requests one after the other over one connection, and prints the answers. */
const requestsScript = `
import http from 'node:http';
const { address, port, requests } = JSON.parse(process.argv[1]);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const send = ({ host, path = '/', headers = {}, method = 'GET', body }) => new Promise((resolve, reject) => {
  const sent = http.request({ address, host: address, port, path, method, agent, headers: { Host: host, ...headers } });
  sent.once('error', reject);
  sent.setTimeout(8000, () => sent.destroy(new Error('no answer')));
  sent.once('response', (response) => {
    let text = '';
    const { localPort } = response.socket;
    response.on('data', (data) => { text += data; });
    response.once('end', () => resolve({ status: response.statusCode, localPort, body: text }));
  });
  sent.end(body);
});
const answers = [];
for (const request of requests) answers.push(await send(request));
console.log(JSON.stringify(answers));
agent.destroy();`;

/** Sends bytes as they are, and whatever follows once the first answer is there; prints all that comes back. */
const rawScript = `
import net from 'node:net';
const { address, port, bytes, next, until } = JSON.parse(process.argv[1]);
const socket = net.connect(port, address);
let text = ''; let followed = next === undefined;
const end = () => { console.log(JSON.stringify(text)); process.exit(0); };
socket.on('data', (data) => {
  text += data;
  if (!followed) { followed = true; socket.write(next); }
  if (until !== undefined && text.includes(until)) end();
});
socket.once('close', end); socket.on('error', () => {});
setTimeout(end, 8000);
socket.write(bytes);`;

const script = (source: string, input: unknown): string[] => [
  '--input-type=module',
  '-e',
  source,
  JSON.stringify(input),
];

async function serve(
  host: Host,
  options: { name: string; port: number; address: string; key?: string; certificate?: string },
): Promise<LabProcess> {
  const server = host.spawn(process.execPath, script(serverScript, options), { name: options.name });
  await server.waitForLog('listening');
  return server;
}

async function requests(address: string, list: readonly Sent[], port = 80): Promise<Answer[]> {
  const output = await edge.client.run(
    process.execPath,
    script(requestsScript, { address, port, requests: list }),
  );
  return JSON.parse(output) as Answer[];
}

async function raw(address: string, bytes: string, more: { next?: string; until?: string } = {}) {
  const input = { address, port: 80, bytes, ...more };
  return JSON.parse(await edge.client.run(process.execPath, script(rawScript, input))) as string;
}

const seenBy = ({ body }: Answer): Seen => JSON.parse(body) as Seen;

/** The answer with this number. @throws Error if there is none */
function nth(answers: readonly Answer[], index: number): Answer {
  const answer = answers[index];
  if (answer === undefined)
    throw new Error(`there are ${answers.length} answers, and none is number ${index}`);
  return answer;
}

async function until(isSo: () => Promise<boolean>, limit_ms = 10_000): Promise<void> {
  const deadline = performance.now() + limit_ms;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not so after ${limit_ms} ms`);
    await sleep(50);
  }
}

function publish(name: string, host: string, ...rest: string[]): Promise<unknown> {
  return first.cli('service', 'create', name, '--host', host, ...rest);
}

t.test('TLS goes by server name to servers that hold the certificates themselves', async (t) => {
  const { directory } = edge.client;
  for (const [index, name] of ['coral', 'kelp'].entries()) {
    const files = { key: `${directory}/${name}.key`, certificate: `${directory}/${name}.crt` };
    await edge.client.run('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', `/CN=${name}.example`, '-addext', `subjectAltName=DNS:${name}.example`],
      ...['-keyout', files.key, '-out', files.certificate],
    ]);
    await serve(edge.node(index + 2), { name, port: 8443, address: '127.0.0.1', ...files });
    const endpoint = `127.0.0.1:8443@node${index + 2}`;
    await publish(`tls-${name}`, `${name}.example`, '--publish', '443:8443/tls', '--endpoint', endpoint);
  }
  const curl = (name: string, address: string, certificate: string) =>
    edge.client.exec('curl', [
      ...['-sS', '-m', '8', '--cacert', `${directory}/${certificate}.crt`],
      ...['--resolve', `${name}.example:443:${address}`, `https://${name}.example/`],
    ]);
  for (const address of nodeAddresses) {
    for (const name of ['coral', 'kelp']) {
      const { code, stdout, stderr } = await curl(name, address, name);
      t.equal(code, 0, `${name} through ${address}: ${stderr}`);
      t.match(stdout, `"name":"${name}"`);
    }
  }
  t.equal(
    (await curl('coral', nodeAddresses[0] ?? '', 'kelp')).code,
    60,
    'nobody in between has a certificate',
  );
  const unknown = await curl('whale', nodeAddresses[0] ?? '', 'coral');
  t.equal(unknown.code, 35, 'a name that nobody serves is refused in the handshake');
  t.match(unknown.stderr, /unrecognized name/i);
});

t.test(
  'one connection serves several hosts, on any node, and endpoints learn who the client is',
  async (t) => {
    await serve(edge.node(1), { name: 'one', port: 3000, address: '127.0.0.1' });
    await serve(edge.node(3), { name: 'three', port: 3000, address: '127.0.0.1' });
    await publish('one', 'one.example', '--publish', '80/http', '--endpoint', '127.0.0.1:3000@node1');
    await publish('three', 'three.example', '--publish', '80/http', '--endpoint', '127.0.0.1:3000@node3');
    for (const address of nodeAddresses) {
      const answers = await requests(address, [
        { host: 'one.example' },
        { host: 'three.example', path: '/p?q', headers: { 'X-Forwarded-For': '203.0.113.1' } },
        { host: 'one.example', method: 'POST', body: 'x'.repeat(100_000) },
        { host: 'nobody.example' },
        { host: 'three.example' },
      ]);
      t.same(
        answers.map(({ status }) => status),
        [200, 200, 200, 404, 200],
      );
      t.equal(new Set(answers.map(({ localPort }) => localPort)).size, 1, `${address}: one connection`);
      t.equal(seenBy(nth(answers, 0)).name, 'one');
      t.equal(seenBy(nth(answers, 0)).headers['x-forwarded-for'], clientAddress);
      t.match(seenBy(nth(answers, 1)), {
        name: 'three',
        url: '/p?q',
        headers: { host: 'three.example', 'x-forwarded-for': `203.0.113.1, ${clientAddress}` },
      });
      t.equal(seenBy(nth(answers, 2)).headers['content-length'], '100000');
      t.match(nth(answers, 3).body, 'nobody.example');
    }
  },
);

t.test('attached namespaces and plain addresses are endpoints like others', async (t) => {
  const app = await edge.lab.addHost('app');
  await serve(app, { name: 'app', port: 9000, address: '0.0.0.0' });
  await publish('attached', 'attached.example', '--publish', '80/http');
  await second.cli('attach', '--netns', app.netnsPath, '--service', 'attached', '--port', '9000');
  const elsewhere = edge.clients[1] as Host;
  await serve(elsewhere, { name: 'plain', port: 9001, address: elsewhere.requiredAddress });
  const plain = `${elsewhere.requiredAddress}:9001`;
  await publish('plain', 'plain.example', '--publish', '80/http', '--endpoint', plain);
  for (const address of nodeAddresses) {
    const answers = await requests(address, [{ host: 'attached.example' }, { host: 'plain.example' }]);
    t.same(
      answers.map((answer) => seenBy(answer).name),
      ['app', 'plain'],
      address,
    );
    for (const answer of answers) t.equal(seenBy(answer).headers['x-forwarded-for'], clientAddress);
  }
});

t.test('a target port comes before the endpoint port', async (t) => {
  await serve(edge.node(2), { name: 'by-endpoint', port: 3100, address: '127.0.0.1' });
  await serve(edge.node(2), { name: 'by-target', port: 3101, address: '127.0.0.1' });
  await publish(
    'target',
    'target.example',
    '--publish',
    '80:3101/http',
    '--endpoint',
    '127.0.0.1:3100@node2',
  );
  for (const address of nodeAddresses) {
    const [answer] = await requests(address, [{ host: 'target.example' }]);
    t.equal(answer === undefined ? undefined : seenBy(answer).name, 'by-target', address);
  }
});

t.test('a WebSocket goes through to the endpoint', async (t) => {
  const echo = new URL('./lib/programs/echo-server.ts', import.meta.url).pathname;
  const server = edge
    .node(3)
    .spawn(process.execPath, [echo, '--name', 'socket', '--port', '3200', '--address', '127.0.0.1']);
  await server.waitForLog('listening on');
  await publish('socket', 'socket.example', '--publish', '80/http', '--endpoint', '127.0.0.1:3200@node3');
  const upgrade =
    'GET /chat HTTP/1.1\r\nHost: socket.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
  for (const address of nodeAddresses) {
    const text = await raw(address, upgrade, { next: 'frames of whatever kind', until: 'whatever kind' });
    t.match(text, /^HTTP\/1\.1 101 /);
    // The answer to the key in RFC 6455, section 1.3.
    t.match(text, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
    t.match(text, /\r\n\r\nframes of whatever kind$/);
  }
});

t.test('what cannot be served is answered with the reason', async (t) => {
  await publish('empty', 'empty.example', '--publish', '80/http');
  await publish(
    'broken',
    'broken.example',
    ...['--publish', '80/http', '--check', 'none', '--endpoint', '127.0.0.1:3999@node2'],
  );
  const address = nodeAddresses[0] ?? '';
  const [empty, broken] = await requests(address, [{ host: 'empty.example' }, { host: 'broken.example' }]);
  t.match(empty, { status: 503, body: /empty/ });
  t.match(broken, { status: 502, body: /broken/ });
  const statusOf = async (bytes: string) => (await raw(address, bytes)).split('\r\n')[0];
  t.match(await statusOf('GET / HTTP/1.1\r\nHost: one.example\r\nBad Header: 1\r\n\r\n'), / 400 /);
  t.match(await statusOf('GET / HTTP/1.1\r\n\r\n'), / 400 /, 'no host');
  t.match(await statusOf('\u0000\u0001\u0002 nonsense\r\n\r\n'), / 400 /);
  t.match(await statusOf(`GET / HTTP/1.1\r\nHost: one.example\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`), / 431 /);
  const both =
    'POST / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n';
  t.match(await statusOf(`${both}0\r\n\r\n`), / 400 /, 'two lengths: an attempt to smuggle');
});

t.test('an endpoint that dies between two requests of a connection is not noticed', async (t) => {
  await serve(edge.node(1), { name: 'a', port: 3300, address: '127.0.0.1' });
  await serve(edge.node(2), { name: 'b', port: 3300, address: '127.0.0.1' });
  const endpoints = ['--endpoint', '127.0.0.1:3300@node1', '--endpoint', '127.0.0.1:3300@node2'];
  await publish('pair', 'pair.example', '--publish', '80/http', ...endpoints);
  const host = 'pair.example';
  const three = edge.node(3).requiredAddress;
  const [died, ...rest] = await requests(three, [{ host, path: '/die' }, { host }, { host }, { host }]);
  t.equal(died?.status, 200);
  const survivor = died !== undefined && seenBy(died).name === 'a' ? 'b' : 'a';
  for (const answer of rest) {
    t.equal(answer.status, 200);
    t.equal(seenBy(answer).name, survivor);
    t.equal(answer.localPort, died?.localPort, 'the client keeps its connection');
  }
  await requests(three, [{ host, path: '/die' }]);
  await until(async () => (await requests(three, [{ host }]))[0]?.status === 503);
  t.pass('with none left, the service is unavailable');
});

t.test(
  'a port that another program has is a problem that the node names, and takes once it is free',
  async (t) => {
    const holder = await serve(edge.node(3), { name: 'holder', port: 8088, address: '0.0.0.0' });
    await publish('late', 'late.example', '--publish', '8088/http', '--endpoint', '127.0.0.1:3000@node1');
    const { stdout } = await third.tryCli('status');
    t.match(stdout, /Problem: +front end: published port \*:8088 cannot be opened: another program/);
    t.equal((await requests(nodeAddresses[0] ?? '', [{ host: 'late.example' }], 8088))[0]?.status, 200);
    await holder.stop({ signal: 'SIGKILL' });
    await until(async () => {
      const [answer] = await requests(edge.node(3).requiredAddress, [{ host: 'late.example' }], 8088).catch(
        () => [],
      );
      return answer?.status === 200;
    });
    const after = await third.tryCli('status');
    t.notMatch(after.stdout, /Problem/, 'and is one no longer');
  },
);
