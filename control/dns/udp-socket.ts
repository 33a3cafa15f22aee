/** UDP sockets that are given addresses only. */
import dgram from 'node:dgram';
import net from 'node:net';

/** Asking the resolver for what is an address already, as dgram does by default, costs more than an answer. */
function alreadyAddress(
  address: string,
  _options: unknown,
  callback: (error: NodeJS.ErrnoException | null, address: string, family: number) => void,
): void {
  callback(null, address, net.isIP(address));
}

/** A socket for the family of `address`, not bound yet. */
export function createUdpSocket(address: string): dgram.Socket {
  return dgram.createSocket({ type: net.isIPv6(address) ? 'udp6' : 'udp4', lookup: alreadyAddress });
}
