/** A name server on loopback that behaves as a test tells it to. */
import dgram from 'node:dgram';
import net from 'node:net';
import dnsPacket, { type DecodedPacket } from 'dns-packet';
import { FrameReader, frame } from '../../../control/dns/framing.ts';

/** Datagrams or messages to send for a query; none means silence. */
export type Behaviour = (query: DecodedPacket, transport: 'udp' | 'tcp', bytes: Buffer) => Buffer[];

/** A reply with `count` addresses and a response code. */
export function reply(query: DecodedPacket, count = 1, code = 0, flags = 0): Buffer {
  const question = query.questions?.[0];
  if (question === undefined) throw new Error('query without question');
  return dnsPacket.encode({
    id: query.id,
    type: 'response',
    flags: dnsPacket.RECURSION_AVAILABLE | flags | code,
    questions: [question],
    answers: Array.from({ length: count }, (_, index) => ({
      type: 'A' as const,
      name: question.name,
      ttl: 60,
      data: `192.0.2.${index % 256}`,
    })),
  });
}

/** Runs one on a free loopback port; dispose of it when done. */
export async function startUpstream(behaviour: Behaviour) {
  const seen: { transport: 'udp' | 'tcp'; id: number; sourcePort: number; bytes: Buffer }[] = [];
  const connections = new Set<net.Socket>();
  const tcp = net.createServer((socket) => {
    connections.add(socket);
    const reader = new FrameReader(65_535);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer | string) => {
      for (const bytes of reader.push(Buffer.from(chunk as Buffer)) ?? []) {
        const query = dnsPacket.decode(bytes);
        seen.push({ transport: 'tcp', id: query.id ?? 0, sourcePort: socket.remotePort ?? 0, bytes });
        for (const message of behaviour(query, 'tcp', bytes)) socket.write(frame(message));
      }
    });
  });
  await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
  const { port } = tcp.address() as net.AddressInfo;
  const udp = dgram.createSocket('udp4');
  udp.on('message', (bytes, peer) => {
    const query = dnsPacket.decode(bytes);
    seen.push({ transport: 'udp', id: query.id ?? 0, sourcePort: peer.port, bytes });
    for (const message of behaviour(query, 'udp', bytes)) udp.send(message, peer.port, peer.address);
  });
  await new Promise<void>((resolve, reject) => {
    udp.once('error', reject);
    udp.bind(port, '127.0.0.1', resolve);
  });
  return {
    address: '127.0.0.1',
    port,
    seen,
    async [Symbol.asyncDispose]() {
      for (const socket of connections) socket.destroy();
      udp.close();
      await new Promise<void>((resolve) => tcp.close(() => resolve()));
    },
  };
}
