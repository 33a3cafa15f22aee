/** Clients for the DNS tests: one datagram, one TCP stream, and dig(1). */
import { execFile } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { FrameReader } from '../../../control/dns/framing.ts';

/** Generous, since it only bounds what has failed anyway. */
const limit_ms = 10_000;

/** Sends one datagram and waits for one back. */
export async function askUdp(port: number, bytes: Buffer, address = '127.0.0.1'): Promise<Buffer> {
  const socket = dgram.createSocket('udp4');
  try {
    socket.send(bytes, port, address);
    const [reply] = await once(socket, 'message', { signal: AbortSignal.timeout(limit_ms) });
    return reply;
  } finally {
    socket.close();
  }
}

/** Sends datagrams without waiting for anything. */
export async function sendUdp(port: number, datagrams: Buffer[]): Promise<void> {
  const socket = dgram.createSocket('udp4');
  for (const bytes of datagrams) {
    await new Promise<void>((resolve, reject) =>
      socket.send(bytes, port, '127.0.0.1', (error) => (error ? reject(error) : resolve())),
    );
  }
  socket.close();
}

/** Opens a TCP connection that collects messages. */
export async function openTcp(port: number) {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  const reader = new FrameReader(65_535);
  const messages: Buffer[] = [];
  let closed = false;
  const closing = new Promise<void>((resolve) =>
    socket.on('close', () => {
      closed = true;
      resolve();
    }),
  );
  socket.on('error', () => {});
  socket.on('end', () => socket.end());
  socket.on('data', (chunk: Buffer | string) => {
    messages.push(...(reader.push(Buffer.from(chunk as Buffer)) ?? []));
  });
  await once(socket, 'connect', { signal: AbortSignal.timeout(limit_ms) });
  return {
    socket,
    messages,
    closing,
    isClosed: () => closed,
    /** Waits until so many messages have come. */
    async until(count: number): Promise<Buffer[]> {
      const signal = AbortSignal.timeout(limit_ms);
      while (messages.length < count) await once(socket, 'data', { signal });
      return messages;
    },
    [Symbol.dispose]() {
      socket.destroy();
    },
  };
}

/** Runs dig against a port of 127.0.0.1 and returns what it prints. */
export function dig(port: number, ...args: string[]): Promise<string> {
  const all = ['@127.0.0.1', '-p', String(port), '+tries=1', '+timeout=5', ...args];
  return new Promise((resolve, reject) => {
    execFile('dig', all, { timeout: limit_ms }, (error, stdout) => {
      // 9 says that no reply came, which some tests look for in the text.
      if (error && error.code !== 9) reject(error);
      else resolve(stdout);
    });
  });
}
