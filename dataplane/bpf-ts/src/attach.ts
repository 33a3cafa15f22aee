/**
 * Attaching programs. All of it is synchronous and on the calling thread, so that a caller may enter another network
 * namespace (setns(2) is per thread), attach, and leave again. An ifindex means a device of that namespace.
 */

import { ClsactLink } from './clsact.ts';
import { type AttachTypeName, attachType } from './constants.ts';
import { BpfError } from './errors.ts';
import { createLink, libbpf } from './ffi.ts';
import { fdKind, openPinnedFd } from './handle.ts';
import { attachFailed, BpfLink, type XdpMode } from './link.ts';
import { hasTcx } from './probe.ts';
import type { BpfProgram } from './program.ts';

/** XDP_FLAGS_* of linux/if_link.h. */
const XDP_FLAGS: Record<XdpMode, number> = { generic: 1 << 1, native: 1 << 2 };

/** Refusals of the driver, after which generic mode may still work. */
const NATIVE_REFUSALS: ReadonlySet<string> = new Set([
  'EOPNOTSUPP',
  'ENOTSUPP',
  'EINVAL',
  'ENOMEM',
  'ERANGE',
  'ENOSPC',
  'E2BIG',
  'EMSGSIZE',
]);

export interface AttachXdpOptions {
  /** 'native' in the driver, 'generic' on socket buffers, 'auto' (default): native, else generic. */
  mode?: XdpMode | 'auto';
  /** Told when 'auto' falls back, with the driver's refusal. */
  onWarning?: (message: string, error: BpfError) => void;
}

/** Attaches an xdp program to a device. The link's `mode` says what was obtained. */
export function attachXdp(program: BpfProgram, ifindex: number, options: AttachXdpOptions = {}): BpfLink {
  const { mode = 'auto', onWarning } = options;
  if (mode !== 'auto') return attachXdpMode(program, ifindex, mode);
  try {
    return attachXdpMode(program, ifindex, 'native');
  } catch (error) {
    if (!(error instanceof BpfError) || !NATIVE_REFUSALS.has(error.code)) throw error;
    const link = attachXdpMode(program, ifindex, 'generic', error);
    onWarning?.(`ifindex ${ifindex}: no native XDP (${error.code}); generic mode is slower`, error);
    return link;
  }
}

function attachXdpMode(program: BpfProgram, ifindex: number, mode: XdpMode, cause?: unknown): BpfLink {
  const fd = createLink(program.fd, ifindex, attachType.xdp, XDP_FLAGS[mode]);
  if (fd < 0) attachFailed(`attach xdp (${mode}) to ifindex ${ifindex}`, program, -fd, cause);
  return new BpfLink(fd, `xdp link on ifindex ${ifindex}`, mode);
}

export type TcDirection = 'ingress' | 'egress';

export interface AttachTcxOptions {
  /** 'auto' (default): tcx, or clsact on kernels before 6.6. */
  method?: 'auto' | 'tcx' | 'clsact';
}

/**
 * Attaches a sched_cls program to a device's tc hook. Where the kernel has no tcx, the program becomes a clsact
 * filter in direct-action mode behind the same interface. tcx runs before clsact, programs in order of attachment.
 */
export function attachTcx(
  program: BpfProgram,
  ifindex: number,
  direction: TcDirection,
  options: AttachTcxOptions = {},
): BpfLink {
  const { method = 'auto' } = options;
  if (method === 'clsact' || (method === 'auto' && !hasTcx())) {
    return ClsactLink.attach(program, ifindex, direction);
  }
  const type = direction === 'ingress' ? attachType.tcx_ingress : attachType.tcx_egress;
  const fd = createLink(program.fd, ifindex, type, 0);
  if (fd < 0) attachFailed(`attach tcx ${direction} to ifindex ${ifindex}`, program, -fd);
  return new BpfLink(fd, `tcx ${direction} link on ifindex ${ifindex}`);
}

/** Attaches a program to a cgroup (v2), given an open descriptor of its directory. */
export function attachCgroup(program: BpfProgram, cgroupFd: number, type: AttachTypeName | number): BpfLink {
  const number = typeof type === 'number' ? type : attachType[type];
  const fd = createLink(program.fd, cgroupFd, number, 0);
  if (fd < 0) attachFailed(`attach ${type} to a cgroup`, program, -fd);
  return new BpfLink(fd, `cgroup ${type} link`);
}

/** Attaches an sk_lookup program to a network namespace, given an open descriptor of it. */
export function attachSkLookup(program: BpfProgram, netnsFd: number): BpfLink {
  const fd = createLink(program.fd, netnsFd, attachType.sk_lookup, 0);
  if (fd < 0) attachFailed('attach sk_lookup to a network namespace', program, -fd);
  return new BpfLink(fd, 'sk_lookup link');
}

/**
 * Reopens whatever `pin` of a link made at `path`: a link, or the record of a clsact filter (found in the network
 * namespace that the calling thread is in).
 */
export function openPinnedLink(path: string): BpfLink {
  const fd = libbpf().openPinned(path);
  if (fd < 0) throw new BpfError({ operation: 'open pinned link', subject: path, errno: -fd });
  using probe = new BpfLink(fd, `link ${path}`);
  return fdKind(probe.fd) === 'map'
    ? ClsactLink.reopen(path)
    : new BpfLink(openPinnedFd(path, 'link'), `link ${path}`);
}
