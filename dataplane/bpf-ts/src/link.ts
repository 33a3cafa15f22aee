/**
 * Links: a program attached to a hook, held by a descriptor. While a descriptor or a pin of it exists the program
 * runs; when the last one goes, it is detached.
 */
import { linkType, nameOf } from './constants.ts';
import { BpfError, check } from './errors.ts';
import { duplicateFd, libbpf, updateLinkAsync } from './ffi.ts';
import { FdHandle, objectInfo, openPinnedFd, pinFd } from './handle.ts';
import type { BpfProgram } from './program.ts';

const INFO_SIZE = 48;

/** What the kernel says of a link (struct bpf_link_info). */
export interface LinkInfo {
  /** The kernel's id; 0 for clsact filters, which are no links. */
  id: number;
  /** As in `linkType`, or 'clsact'. */
  type: string;
  /** Id of the program that runs now. */
  programId: number;
  /** For xdp, tcx, clsact: the device's index, 0 once the device is gone. */
  ifindex?: number;
  /** For tcx, cgroup, netns: enum bpf_attach_type. */
  attachType?: number;
  /** For cgroup links. */
  cgroupId?: bigint;
  /** For netns links (sk_lookup): the namespace's inode, 0 once it is gone. */
  netnsInode?: number;
}

/** How an XDP program runs: in the driver, or on socket buffers. */
export type XdpMode = 'native' | 'generic';

/**
 * A link. Disposing closes the descriptor, which detaches the program unless the link is pinned: a pinned link
 * lives on, without any process.
 */
export class BpfLink {
  readonly #handle: FdHandle;
  /** What it is, for errors: "xdp link on ifindex 3". */
  readonly subject: string;
  /** For XDP links made by `attachXdp`: the mode that was obtained. Unknown for a link reopened from its pin. */
  readonly mode: XdpMode | undefined;

  /** Takes ownership of `fd`. */
  constructor(fd: number, subject: string, mode?: XdpMode) {
    this.#handle = new FdHandle(fd, subject);
    this.subject = subject;
    this.mode = mode;
  }

  /** The link's descriptor; throws CLOSED after disposal. */
  get fd(): number {
    return this.#handle.fd;
  }

  /** Whether the descriptor is closed. */
  get closed(): boolean {
    return this.#handle.closed;
  }

  /** Opens a pinned link. For one that `attachTcx` made as a clsact filter use `openPinnedLink`. */
  static openPinned(path: string): BpfLink {
    return new BpfLink(openPinnedFd(path, 'link'), `link ${path}`);
  }

  /** Opens a link by the kernel's id (needs CAP_SYS_ADMIN). */
  static openId(id: number): BpfLink {
    return new BpfLink(check(libbpf().linkFdById(id), 'open', `link id ${id}`), `link id ${id}`);
  }

  /** Exchanges the program, atomically: each packet meets either the old or the new one. Blocks 8 to 20 ms. */
  update(program: BpfProgram): void {
    check(
      libbpf().linkUpdate(this.fd, program.fd, null),
      `update to program '${program.name}'`,
      this.subject,
    );
  }

  /** As `update`, on the thread pool. The link and the program may be disposed meanwhile. */
  async updateAsync(program: BpfProgram): Promise<void> {
    const operation = `update to program '${program.name}'`;
    using link = new FdHandleScope(this.fd, this.subject);
    using next = new FdHandleScope(program.fd, `program '${program.name}'`);
    check(await updateLinkAsync(link.fd, next.fd), operation, this.subject);
  }

  /** Pins the link in a BPF file system: the program then stays attached without this process. */
  pin(path: string): void {
    pinFd(this.fd, path, this.subject);
  }

  /** Asks the kernel. */
  info(): LinkInfo {
    const view = objectInfo(this.fd, INFO_SIZE, this.subject);
    const u32 = (offset: number): number => view.getUint32(offset, true);
    const info: LinkInfo = { id: u32(4), type: nameOf(linkType, u32(0), 'type'), programId: u32(8) };
    switch (u32(0)) {
      case linkType.xdp:
        return { ...info, ifindex: u32(16) };
      case linkType.tcx:
      case linkType.netkit:
        return { ...info, ifindex: u32(16), attachType: u32(20) };
      case linkType.cgroup:
        return { ...info, cgroupId: view.getBigUint64(16, true), attachType: u32(24) };
      case linkType.netns:
        return { ...info, netnsInode: u32(16), attachType: u32(20) };
      default:
        return info;
    }
  }

  /** Detaches the program now, pinned or not. The link object stays, with no use, until descriptor and pins go. */
  detach(): void {
    check(libbpf().linkDetach(this.fd), 'detach', this.subject);
  }

  /** Closes the descriptor: detaches, unless the link is pinned. */
  [Symbol.dispose](): void {
    this.#handle.close();
  }
}

/** A duplicate of a descriptor for one scope, so that a disposal meanwhile cannot hand its number to another. */
class FdHandleScope {
  readonly #handle: FdHandle;

  constructor(fd: number, subject: string) {
    this.#handle = new FdHandle(check(duplicateFd(fd), 'duplicate descriptor', subject), subject);
  }

  get fd(): number {
    return this.#handle.fd;
  }

  [Symbol.dispose](): void {
    this.#handle.close();
  }
}

/** Throws the error of an attach that the kernel refused. */
export function attachFailed(operation: string, program: BpfProgram, errno: number, cause?: unknown): never {
  const EBUSY = 16;
  const EINVAL = 22;
  const EEXIST = 17;
  const EOPNOTSUPP = 95;
  const hints = new Map([
    [EBUSY, 'another program is attached there; if its link is pinned, open that and update it'],
    [EEXIST, 'something is attached there already'],
    [EINVAL, "it is the wrong program type, or the device is not in this thread's network namespace"],
    [EOPNOTSUPP, 'the device or the kernel does not have it'],
  ]);
  const hint = hints.get(errno);
  throw new BpfError({
    operation,
    subject: `program '${program.name}'`,
    errno,
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}
