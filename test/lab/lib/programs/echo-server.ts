/**
 * `echo-server.ts --name N --port P [--address A] [--protocol http|tcp|udp]`: says who it is and whom it sees.
 *
 * http: every request is answered with JSON `{ endpoint, client, host, method, path }`; `/bytes?n=N` with N zeros,
 *   `/slow?ms=M` after a wait, an upgrade (WebSocket or other) with 101 and then whatever comes in.
 * tcp: a line of JSON `{ endpoint, client }`, then an echo.
 * udp: each datagram is answered with JSON `{ endpoint, client, data }`.
 *
 * Prints `listening` once it is.
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { integer, readFlags, showAddress, text } from './options.ts';

const bodyLimit_bytes = 256 * 1024 * 1024;
const waitLimit_ms = 60_000;
/** RFC 6455, section 1.3. */
const webSocketGuid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

const flags = readFlags(['name', 'port', 'address', 'protocol']);
const endpoint = text(flags, 'name');
const port = integer(flags, 'port', undefined, 1);
const address = text(flags, 'address', '0.0.0.0');
const protocol = text(flags, 'protocol', 'http');

function listening(): void {
  console.log(`listening on ${showAddress(address, port)}/${protocol} as ${endpoint}`);
}

function clientOf(socket: Socket): string {
  return showAddress(socket.remoteAddress, socket.remotePort);
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  const url = new URL(request.url ?? '/', 'http://lab');
  if (url.pathname === '/bytes') {
    const size_bytes = Math.min(Number(url.searchParams.get('n')) || 0, bodyLimit_bytes);
    response.end(Buffer.alloc(size_bytes));
    return;
  }
  const body = JSON.stringify({
    endpoint,
    client: clientOf(request.socket),
    host: request.headers.host ?? '',
    method: request.method,
    path: request.url,
  });
  const wait_ms = Math.min(Number(url.searchParams.get('ms')) || 0, waitLimit_ms);
  const send = (): void => {
    response.setHeader('content-type', 'application/json');
    response.end(`${body}\n`);
  };
  if (url.pathname === '/slow') setTimeout(send, wait_ms);
  else send();
}

function upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
  socket.on('error', () => socket.destroy());
  const key = request.headers['sec-websocket-key'];
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', `X-Endpoint: ${endpoint}`];
  lines.push(`Upgrade: ${request.headers.upgrade ?? 'echo'}`);
  if (key !== undefined) {
    lines.push(
      `Sec-WebSocket-Accept: ${createHash('sha1').update(`${key}${webSocketGuid}`).digest('base64')}`,
    );
  }
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  socket.write(head);
  socket.pipe(socket);
}

function serveHttp(): void {
  const server = createHttpServer(answer);
  server.on('upgrade', upgrade);
  server.listen({ host: address, port, backlog: 4096 }, listening);
}

function serveTcp(): void {
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.write(`${JSON.stringify({ endpoint, client: clientOf(socket) })}\n`);
    socket.pipe(socket);
  });
  server.listen({ host: address, port, backlog: 4096 }, listening);
}

function serveUdp(): void {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 4 << 20 });
  socket.on('message', (data, from) => {
    const client = showAddress(from.address, from.port);
    socket.send(JSON.stringify({ endpoint, client, data: data.toString('latin1') }), from.port, from.address);
  });
  socket.bind(port, address, listening);
}

const serve = { http: serveHttp, tcp: serveTcp, udp: serveUdp }[protocol];
if (serve === undefined) throw new Error(`--protocol: '${protocol}' is not http, tcp or udp`);
serve();
