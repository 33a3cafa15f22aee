/**
 * Every call into libc that this package makes, and nothing else: the one file that knows koffi, so that
 * another FFI can take its place. Calls that fail throw SystemCallError, but for `receiveFrom` and `sendTo`,
 * where "not now" is an ordinary answer.
 */
import { arch, endianness } from 'node:os';
import koffi from 'koffi';
import { SystemCallError } from './errors.ts';

/** Address families, as in <sys/socket.h>. */
export const AF = { UNSPEC: 0, INET: 2, BRIDGE: 7, INET6: 10, NETLINK: 16 } as const;
/** Socket types and creation flags. */
export const SOCK = { STREAM: 1, DGRAM: 2, RAW: 3, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;
/** Flags of recv(2). */
export const MSG = { PEEK: 0x2, TRUNC: 0x20, DONTWAIT: 0x40 } as const;
/** Socket option levels. */
export const SOL = { SOCKET: 1, IP: 0, IPV6: 41, NETLINK: 270 } as const;
/** Options at SOL_SOCKET. */
export const SO = {
  REUSEADDR: 2,
  SNDBUF: 7,
  RCVBUF: 8,
  REUSEPORT: 15,
  BINDTODEVICE: 25,
  RCVBUFFORCE: 33,
} as const;
/** Options at SOL_NETLINK, as in <linux/netlink.h>. */
export const NETLINK_OPTION = {
  ADD_MEMBERSHIP: 1,
  NO_ENOBUFS: 5,
  CAP_ACK: 10,
  EXT_ACK: 11,
  GET_STRICT_CHK: 12,
} as const;
/** The namespace flag of setns(2) and unshare(2) for network namespaces. */
export const CLONE_NEWNET = 0x40000000;
/** Flags of mount(2). */
export const MS = { BIND: 0x1000, REC: 0x4000, SHARED: 1 << 20 } as const;
/** Flag of umount2(2): detach now, free when unused. */
export const MNT_DETACH = 2;

if (endianness() !== 'LE') {
  throw new Error(`netlink-ts encodes messages for little-endian machines, this one (${arch()}) is not`);
}
const libc = koffi.load(null);
const c = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const void *address, uint32_t length)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  sendto: libc.func(
    'intptr_t sendto(int fd, const void *data, size_t size, int flags, const void *address, uint32_t length)',
  ),
  recvfrom: libc.func(
    'intptr_t recvfrom(int fd, void *data, size_t size, int flags, void *address, void *length)',
  ),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
  getsockopt: libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)'),
  close: libc.func('int close(int fd)'),
  poll: libc.func('int poll(void *fds, unsigned long count, int timeout_ms)'),
  ioctl: libc.func('int ioctl(int fd, unsigned long request, void *argument)'),
  setns: libc.func('int setns(int fd, int kind)'),
  unshare: libc.func('int unshare(int flags)'),
  mount: libc.func(
    'int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)',
  ),
  umount2: libc.func('int umount2(const char *target, int flags)'),
  ifNameToIndex: libc.func('unsigned int if_nametoindex(const char *name)'),
};

function checked(result: number, syscall: string): number {
  if (result < 0) throw new SystemCallError(syscall, koffi.errno());
  return result;
}

/** socket(2); the descriptor is close-on-exec. @returns the descriptor */
export function socket(domain: number, type: number, protocol: number): number {
  return checked(c.socket(domain, type | SOCK.CLOEXEC, protocol), 'socket');
}

/** bind(2). @param address a struct sockaddr. @param what names the address in an error */
export function bind(fd: number, address: Buffer, what: string): void {
  checked(c.bind(fd, address, address.length), `bind ${what}`);
}

/** listen(2). */
export function listen(fd: number, backlog: number): void {
  checked(c.listen(fd, backlog), 'listen');
}

/** sendto(2). @returns the bytes sent, or a negative errno */
export function sendTo(fd: number, data: Buffer, address: Buffer): number {
  const sent: number = c.sendto(fd, data, data.length, 0, address, address.length);
  return sent < 0 ? -koffi.errno() : sent;
}

/**
 * recvfrom(2).
 * @param address filled with the sender's struct sockaddr
 * @param addressLength a four-byte buffer, in and out
 * @returns the length (with MSG_TRUNC: of the whole datagram), or a negative errno
 */
export function receiveFrom(
  fd: number,
  data: Buffer,
  flags: number,
  address: Buffer,
  addressLength: Buffer,
): number {
  addressLength.writeUInt32LE(address.length, 0);
  const received: number = c.recvfrom(fd, data, data.length, flags, address, addressLength);
  return received < 0 ? -koffi.errno() : received;
}

/** setsockopt(2), for an integer or for bytes. @param what names the option in an error */
export function setSocketOption(
  fd: number,
  level: number,
  name: number,
  value: number | Buffer,
  what: string,
): void {
  let bytes: Buffer;
  if (typeof value === 'number') {
    bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value, 0);
  } else {
    bytes = value;
  }
  checked(c.setsockopt(fd, level, name, bytes, bytes.length), `setsockopt ${what}`);
}

/** getsockopt(2) of an integer. @param what names the option in an error */
export function getSocketOption(fd: number, level: number, name: number, what: string): number {
  const value = Buffer.alloc(4);
  const length = Buffer.from([4, 0, 0, 0]);
  checked(c.getsockopt(fd, level, name, value, length), `getsockopt ${what}`);
  return value.readInt32LE(0);
}

/** close(2). */
export function close(fd: number): void {
  checked(c.close(fd), 'close');
}

/** poll(2) for readability of one descriptor. @returns false when the time ran out */
export function waitReadable(fd: number, timeout_ms: number): boolean {
  const POLLIN = 1;
  const pollfd = Buffer.alloc(8);
  pollfd.writeInt32LE(fd, 0);
  pollfd.writeInt16LE(POLLIN, 4);
  const ready: number = c.poll(pollfd, 1, timeout_ms);
  const EINTR = 4;
  if (ready < 0 && koffi.errno() === EINTR) return false;
  return checked(ready, 'poll') > 0;
}

/** ioctl(2) with a buffer as its argument. @param what names the request in an error */
export function ioctl(fd: number, request: number, argument: Buffer, what: string): void {
  checked(c.ioctl(fd, request, argument), `ioctl ${what}`);
}

/** The memory address of a buffer, to be put into a struct. It is valid for as long as the buffer is referenced. */
export function addressOf(buffer: Buffer): bigint {
  return koffi.address(buffer);
}

/** setns(2) into a network namespace. Moves the calling thread only. */
export function setNetworkNamespace(fd: number): void {
  checked(c.setns(fd, CLONE_NEWNET), 'setns');
}

/** unshare(2) of the network namespace: moves the calling thread into a new one. */
export function unshareNetworkNamespace(): void {
  checked(c.unshare(CLONE_NEWNET), 'unshare');
}

/** mount(2) without a file system's own data. */
export function mount(source: string, target: string, type: string, flags: number): void {
  checked(c.mount(source, target, type, flags, null), `mount ${target}`);
}

/** umount2(2). */
export function unmount(target: string, flags: number): void {
  checked(c.umount2(target, flags), `umount ${target}`);
}

/** if_nametoindex(3) in the calling thread's namespace. @returns the index, or 0 if there is no such interface */
export function interfaceNameToIndex(name: string): number {
  return c.ifNameToIndex(name);
}

/** Calls back from the event loop while a descriptor is readable. */
export interface ReadableWatcher {
  /** Keeps the process alive (as at first), or not. */
  keepAlive(on: boolean): void;
  /** Stops watching; the descriptor may be closed afterwards. */
  close(): void;
}

/**
 * Watches a descriptor with libuv. The callback runs as an immediate: koffi calls back from libuv itself, where
 * no promise job would run afterwards and an exception would have nobody to catch it. An error that waits on the
 * socket (ENOBUFS) makes libuv stop watching; once the callback has fetched the error, watching goes on.
 */
export function watchReadable(fd: number, callback: () => void): ReadableWatcher {
  let open = true;
  let scheduled = false;
  let stopped = false;
  // koffi passes libuv's status first, which its types leave out.
  const onPoll = (...args: readonly unknown[]): void => {
    const [status] = args;
    if (typeof status === 'number' && status < 0) stopped = true;
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      if (open) callback();
      if (!open || !stopped) return;
      stopped = false;
      handle.start({ readable: true }, onPoll);
    });
  };
  const handle = koffi.node.poll(fd, { readable: true }, onPoll);
  return {
    keepAlive(on) {
      if (!open) return;
      if (on) handle.ref();
      else handle.unref();
    },
    close() {
      if (!open) return;
      open = false;
      handle.close();
    },
  };
}
