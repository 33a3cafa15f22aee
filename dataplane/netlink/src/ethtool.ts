/** Offloads of an interface, through the SIOCETHTOOL ioctl of <linux/ethtool.h>. */
import * as ffi from './ffi.ts';
import { inside, type NetnsRef } from './netns.ts';

const SIOCETHTOOL = 0x8946;
const IFNAMSIZ = 16;
const IFREQ_SIZE_BYTES = 40;

/** What the interface does in the place of the CPU. */
export interface Offloads {
  /** Verifies checksums of what it receives. */
  readonly rxChecksum: boolean;
  /** Fills checksums in. */
  readonly txChecksum: boolean;
  /** Sends from scattered buffers; segmentation offload needs it. */
  readonly scatterGather: boolean;
  /** TCP segmentation. */
  readonly tso: boolean;
  /** Segmentation by the stack, as late as possible. */
  readonly gso: boolean;
  /** Joining of what is received. */
  readonly gro: boolean;
}

/** In the order to set them: what others need comes first. */
const COMMANDS: readonly { offload: keyof Offloads; get: number; set: number }[] = [
  { offload: 'rxChecksum', get: 0x14, set: 0x15 },
  { offload: 'txChecksum', get: 0x16, set: 0x17 },
  { offload: 'scatterGather', get: 0x18, set: 0x19 },
  { offload: 'tso', get: 0x1e, set: 0x1f },
  { offload: 'gso', get: 0x23, set: 0x24 },
  { offload: 'gro', get: 0x2b, set: 0x2c },
];

/** Where the interface is. */
export interface EthtoolOptions {
  /** The calling thread's namespace if left out. */
  readonly netns?: NetnsRef;
}

function withSocket<T>(options: EthtoolOptions, fn: (fd: number) => T): T {
  const open = (): number => ffi.socket(ffi.AF.INET, ffi.SOCK.DGRAM, 0);
  const fd = options.netns === undefined ? open() : inside(options.netns, open);
  try {
    return fn(fd);
  } finally {
    ffi.close(fd);
  }
}

/** Passes a struct ethtool_value. @returns its data afterwards */
function exchange(fd: number, name: string, command: number, data: number, what: string): number {
  const nameBytes = Buffer.from(name, 'utf8');
  if (nameBytes.length === 0 || nameBytes.length >= IFNAMSIZ) {
    throw new RangeError(`${JSON.stringify(name)} is no interface name (1 to ${IFNAMSIZ - 1} bytes)`);
  }
  const value = Buffer.alloc(8);
  value.writeUInt32LE(command, 0);
  value.writeUInt32LE(data, 4);
  const ifreq = Buffer.alloc(IFREQ_SIZE_BYTES);
  nameBytes.copy(ifreq);
  ifreq.writeBigUInt64LE(ffi.addressOf(value), IFNAMSIZ);
  ffi.ioctl(fd, SIOCETHTOOL, ifreq, `SIOCETHTOOL ${what} of ${name}`);
  return value.readUInt32LE(4);
}

function read(fd: number, name: string): Offloads {
  const entries = COMMANDS.map(({ offload, get }) => [offload, exchange(fd, name, get, 0, offload) !== 0]);
  return Object.fromEntries(entries) as Record<keyof Offloads, boolean>;
}

/** Reads which offloads are on. @throws SystemCallError ENODEV when there is no such interface */
export function getOffloads(name: string, options: EthtoolOptions = {}): Offloads {
  return withSocket(options, (fd) => read(fd, name));
}

/**
 * Turns offloads on or off; those left out stay, but for what depends on another (TSO on checksums).
 * @returns what is on afterwards: the kernel may quietly keep an offload that the device cannot change
 * @throws SystemCallError ENODEV, or EOPNOTSUPP when the driver refuses
 */
export function setOffloads(
  name: string,
  changes: Partial<Offloads>,
  options: EthtoolOptions = {},
): Offloads {
  return withSocket(options, (fd) => {
    for (const { offload, set } of COMMANDS) {
      const wanted = changes[offload];
      if (wanted !== undefined) exchange(fd, name, set, wanted ? 1 : 0, offload);
    }
    return read(fd, name);
  });
}
