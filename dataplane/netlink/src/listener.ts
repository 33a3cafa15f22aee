/** Server sockets made in another namespace, for Node to serve on. */
import { parseAddress } from './codec/ip.ts';
import * as ffi from './ffi.ts';
import { inside, type NetnsRef } from './netns.ts';

const IP_FREEBIND = 15;
const IPV6_V6ONLY = 26;
const IPV6_FREEBIND = 78;
const DEFAULT_BACKLOG = 511;
const MAX_PORT = 65535;

/** What to listen on. */
export interface ListenerOptions {
  /** The calling thread's namespace if left out. */
  readonly netns?: NetnsRef;
  readonly type: 'udp' | 'tcp';
  readonly address: string;
  /** 0 lets the kernel choose one. */
  readonly port: number;
  /** TCP: how many connections may wait to be accepted. */
  readonly backlog?: number;
  readonly reusePort?: boolean;
  /** IPv6: no IPv4 by mapped addresses. The default. */
  readonly ipv6Only?: boolean;
  /** Whether the address may be one that the host does not have (yet). */
  readonly freeBind?: boolean;
  /** Name of the interface to bind to. */
  readonly device?: string;
}

/** struct sockaddr_in or sockaddr_in6. */
function socketAddress(address: string, port: number): { domain: number; bytes: Buffer } {
  const parsed = parseAddress(address);
  const isV4 = parsed.family === 'inet';
  const domain = isV4 ? ffi.AF.INET : ffi.AF.INET6;
  const bytes = Buffer.alloc(isV4 ? 16 : 28);
  bytes.writeUInt16LE(domain, 0);
  bytes.writeUInt16BE(port, 2);
  parsed.bytes.copy(bytes, isV4 ? 4 : 8);
  return { domain, bytes };
}

function configure(fd: number, domain: number, options: ListenerOptions): void {
  const set = (level: number, name: number, value: number | Buffer, what: string): void =>
    ffi.setSocketOption(fd, level, name, value, what);
  // Over UDP this would let two servers have one port without either noticing.
  if (options.type === 'tcp') set(ffi.SOL.SOCKET, ffi.SO.REUSEADDR, 1, 'SO_REUSEADDR');
  if (options.reusePort) set(ffi.SOL.SOCKET, ffi.SO.REUSEPORT, 1, 'SO_REUSEPORT');
  if (domain === ffi.AF.INET6) {
    set(ffi.SOL.IPV6, IPV6_V6ONLY, options.ipv6Only === false ? 0 : 1, 'IPV6_V6ONLY');
    if (options.freeBind) set(ffi.SOL.IPV6, IPV6_FREEBIND, 1, 'IPV6_FREEBIND');
  } else if (options.freeBind) {
    set(ffi.SOL.IP, IP_FREEBIND, 1, 'IP_FREEBIND');
  }
  if (options.device !== undefined) {
    const name = Buffer.from(`${options.device}\0`, 'utf8');
    set(ffi.SOL.SOCKET, ffi.SO.BINDTODEVICE, name, `SO_BINDTODEVICE ${options.device}`);
  }
}

/**
 * Makes a bound (TCP: listening) socket in a namespace. It stays there, while the process works from outside.
 * @returns a descriptor for `server.listen({ fd })` of node:net or `socket.bind({ fd })` of node:dgram, which close it
 * @throws SystemCallError, such as EADDRINUSE, naming the address
 */
export function openListener(options: ListenerOptions): number {
  const { type, address, port } = options;
  if (!Number.isInteger(port) || port < 0 || port > MAX_PORT) {
    throw new RangeError(`the port ${port} is not within 0 to ${MAX_PORT}`);
  }
  const { domain, bytes } = socketAddress(address, port);
  const open = (): number => {
    const kind = type === 'udp' ? ffi.SOCK.DGRAM : ffi.SOCK.STREAM;
    const fd = ffi.socket(domain, kind | ffi.SOCK.NONBLOCK, 0);
    try {
      configure(fd, domain, options);
      ffi.bind(fd, bytes, `${type} ${domain === ffi.AF.INET ? address : `[${address}]`}:${port}`);
      if (type === 'tcp') ffi.listen(fd, options.backlog ?? DEFAULT_BACKLOG);
    } catch (error) {
      ffi.close(fd);
      throw error;
    }
    return fd;
  };
  return options.netns === undefined ? open() : inside(options.netns, open);
}
