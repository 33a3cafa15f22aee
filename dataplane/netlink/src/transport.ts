/** A bare netlink descriptor: opened in a namespace, sends and receives whole datagrams. */

import { SystemCallError } from './errors.ts';
import * as ffi from './ffi.ts';
import { AF, close as closeFd, MSG, NETLINK_OPTION, SO, SOCK, SOL } from './ffi.ts';
import { inside, type NetnsRef } from './netns.ts';

/** Netlink protocols, as in <linux/netlink.h>. */
export const NETLINK_PROTOCOL = { route: 0, xfrm: 6, netfilter: 12, generic: 16 } as const;
/** The name of a netlink protocol. */
export type NetlinkProtocol = keyof typeof NETLINK_PROTOCOL;

const SOCKADDR_NL_SIZE_BYTES = 12;
const INITIAL_BUFFER_SIZE_BYTES = 64 * 1024;
/** The longest datagram that is accepted; the kernel's own are at most a few tens of KiB. */
export const MAX_DATAGRAM_SIZE_BYTES = 4 * 1024 * 1024;
const ERRNO = { EPERM: 1, EINTR: 4, EAGAIN: 11 } as const;

function netlinkAddress(groups: number): Buffer {
  const address = Buffer.alloc(SOCKADDR_NL_SIZE_BYTES);
  address.writeUInt16LE(AF.NETLINK, 0);
  address.writeUInt32LE(groups, 8);
  return address;
}
const KERNEL = netlinkAddress(0);

/** What `NetlinkTransport.receive` found. */
export type Received =
  | { readonly kind: 'datagram'; readonly data: Buffer }
  /** Nothing is waiting. */
  | { readonly kind: 'empty' }
  /** A datagram that is not the kernel's, or is too long, was thrown away. */
  | { readonly kind: 'discarded' }
  | { readonly kind: 'error'; readonly errno: number };

/** How to open a transport. */
export interface TransportOptions {
  readonly netns?: NetnsRef | undefined;
  readonly protocol: NetlinkProtocol;
  readonly receiveBuffer_bytes: number;
  /** Multicast groups to join, by number. */
  readonly groups?: readonly number[];
}

/** What carries datagrams to the kernel and back. */
export interface Transport extends Disposable {
  /** Sends a datagram. @returns 0, or a positive errno */
  send(datagram: Buffer): number;
  /** Takes the next datagram, without waiting. */
  receive(): Received;
  /** Blocks the thread until something can be received. @returns false when the time ran out */
  wait(timeout_ms: number): boolean;
  /** Calls back from the event loop while something can be received. */
  watch(callback: () => void): ffi.ReadableWatcher;
  /** The index of an interface by its name. @throws SystemCallError ENODEV when there is none */
  interfaceIndex(name: string): number;
}

const SIOCGIFINDEX = 0x8933;
const IFNAMSIZ = 16;
const IFREQ_SIZE_BYTES = 40;

/** An open netlink socket, non-blocking. */
export class NetlinkTransport implements Transport {
  readonly fd: number;
  #open = true;
  #buffer = Buffer.allocUnsafeSlow(INITIAL_BUFFER_SIZE_BYTES);
  readonly #sender = Buffer.alloc(SOCKADDR_NL_SIZE_BYTES);
  readonly #senderLength = Buffer.alloc(4);

  /** Opens and binds a socket in the namespace. @throws SystemCallError */
  constructor(options: TransportOptions) {
    const make = (): number =>
      ffi.socket(AF.NETLINK, SOCK.RAW | SOCK.NONBLOCK, NETLINK_PROTOCOL[options.protocol]);
    this.fd = options.netns === undefined ? make() : inside(options.netns, make);
    try {
      this.#configure(options);
    } catch (error) {
      closeFd(this.fd);
      throw error;
    }
  }

  #configure(options: TransportOptions): void {
    const set = (name: number, what: string): void =>
      ffi.setSocketOption(this.fd, SOL.NETLINK, name, 1, what);
    set(NETLINK_OPTION.EXT_ACK, 'NETLINK_EXT_ACK');
    set(NETLINK_OPTION.CAP_ACK, 'NETLINK_CAP_ACK');
    set(NETLINK_OPTION.GET_STRICT_CHK, 'NETLINK_GET_STRICT_CHK');
    try {
      ffi.setSocketOption(this.fd, SOL.SOCKET, SO.RCVBUFFORCE, options.receiveBuffer_bytes, 'SO_RCVBUFFORCE');
    } catch (error) {
      if (!(error instanceof SystemCallError) || error.errno !== ERRNO.EPERM) throw error;
      ffi.setSocketOption(this.fd, SOL.SOCKET, SO.RCVBUF, options.receiveBuffer_bytes, 'SO_RCVBUF');
    }
    ffi.bind(this.fd, netlinkAddress(0), 'netlink socket');
    for (const group of options.groups ?? []) {
      ffi.setSocketOption(
        this.fd,
        SOL.NETLINK,
        NETLINK_OPTION.ADD_MEMBERSHIP,
        group,
        `NETLINK_ADD_MEMBERSHIP ${group}`,
      );
    }
  }

  /** Sends a datagram to the kernel. @returns 0, or a positive errno */
  send(datagram: Buffer): number {
    const sent = ffi.sendTo(this.fd, datagram, KERNEL);
    return sent < 0 ? -sent : 0;
  }

  /** Takes the next datagram, without waiting. The data is a copy that stays valid. */
  receive(): Received {
    // Peeking tells the whole length, so that no datagram is ever cut.
    const size = this.#receiveInto(MSG.PEEK | MSG.TRUNC);
    if (size < 0) {
      const errno = -size;
      if (errno === ERRNO.EAGAIN) return { kind: 'empty' };
      return errno === ERRNO.EINTR ? { kind: 'discarded' } : { kind: 'error', errno };
    }
    if (size > this.#buffer.length && size <= MAX_DATAGRAM_SIZE_BYTES) {
      this.#buffer = Buffer.allocUnsafeSlow(size);
    }
    const received = this.#receiveInto(MSG.TRUNC);
    if (received < 0) {
      return -received === ERRNO.EAGAIN ? { kind: 'empty' } : { kind: 'error', errno: -received };
    }
    const fromKernel = this.#sender.readUInt32LE(4) === 0;
    if (!fromKernel || received > this.#buffer.length) return { kind: 'discarded' };
    return { kind: 'datagram', data: Buffer.from(this.#buffer.subarray(0, received)) };
  }

  #receiveInto(flags: number): number {
    return ffi.receiveFrom(this.fd, this.#buffer, flags | MSG.DONTWAIT, this.#sender, this.#senderLength);
  }

  /** Blocks the thread until something can be received. @returns false when the time ran out */
  wait(timeout_ms: number): boolean {
    return ffi.waitReadable(this.fd, timeout_ms);
  }

  /** Calls back from the event loop while something can be received. */
  watch(callback: () => void): ffi.ReadableWatcher {
    return ffi.watchReadable(this.fd, callback);
  }

  /** The index of an interface in the socket's namespace. @throws SystemCallError ENODEV when there is none */
  interfaceIndex(name: string): number {
    const bytes = Buffer.from(name, 'utf8');
    if (bytes.length === 0 || bytes.length >= IFNAMSIZ || bytes.includes(0)) {
      throw new RangeError(`${JSON.stringify(name)} is no interface name (1 to ${IFNAMSIZ - 1} bytes)`);
    }
    const ifreq = Buffer.alloc(IFREQ_SIZE_BYTES);
    bytes.copy(ifreq);
    // A netlink socket passes ioctls for devices on, and so asks in its own namespace.
    ffi.ioctl(this.fd, SIOCGIFINDEX, ifreq, `SIOCGIFINDEX ${name}`);
    return ifreq.readInt32LE(IFNAMSIZ);
  }

  /** Closes the descriptor. Harmless when closed already. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    closeFd(this.fd);
  }
}
