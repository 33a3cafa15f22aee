/** What this machine can do: kernel version, BTF, tcx, CPUs; and one clear error for each lack. */
import fs from 'node:fs';
import os from 'node:os';
import { attachType } from './constants.ts';
import { BpfError, check } from './errors.ts';
import { libbpf } from './ffi.ts';

const KERNEL_BTF = '/sys/kernel/btf/vmlinux';

/** A kernel's version: major, minor, patch. */
export interface KernelVersion {
  major: number;
  minor: number;
  patch: number;
  /** As uname -r says it. */
  release: string;
}

/** The running kernel's version. */
export function kernelVersion(): KernelVersion {
  const release = os.release();
  const [, major = '0', minor = '0', patch = '0'] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release) ?? [];
  return { major: Number(major), minor: Number(minor), patch: Number(patch), release };
}

/** Whether the running kernel is at least `major.minor`. */
export function kernelAtLeast(major: number, minor: number): boolean {
  const kernel = kernelVersion();
  return kernel.major > major || (kernel.major === major && kernel.minor >= minor);
}

/** libbpf's version, 'major.minor'. Throws LIBBPF_MISSING when it is not installed. */
export function libbpfVersion(): string {
  return `${libbpf().majorVersion()}.${libbpf().minorVersion()}`;
}

let tcx: boolean | undefined;

/** Whether the kernel has tcx (6.6 and later): asked of the loopback device, remembered. Needs CAP_NET_ADMIN. */
export function hasTcx(): boolean {
  if (tcx !== undefined) return tcx;
  const LOOPBACK_IFINDEX = 1;
  const ids = new Uint32Array(64);
  const result = libbpf().programQuery(
    LOOPBACK_IFINDEX,
    attachType.tcx_ingress,
    0,
    new Uint32Array(1),
    ids,
    new Uint32Array([ids.length]),
  );
  const EPERM = 1;
  if (result === -EPERM) {
    throw new BpfError({ operation: 'probe tcx', code: 'NOT_PERMITTED', errno: EPERM, hint: permissionHint });
  }
  const ENOENT = 2;
  tcx = result >= 0 || result === -ENOENT;
  return tcx;
}

/** Whether the kernel shows its own BTF, which CO-RE and kernel function calls need. */
export function hasBtf(): boolean {
  return fs.existsSync(KERNEL_BTF);
}

let cpus: number | undefined;

/** Number of possible CPUs: how many values an entry of a per-CPU map has. */
export function possibleCpus(): number {
  cpus ??= check(libbpf().possibleCpus(), 'count possible CPUs');
  return cpus;
}

const permissionHint = 'run it as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON';

const CAPABILITIES = { netAdmin: 12n, sysAdmin: 21n, bpf: 39n } as const;

function effectiveCapabilities(): bigint {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(fs.readFileSync('/proc/self/status', 'utf8'));
  return BigInt(`0x${line?.[1] ?? '0'}`);
}

/**
 * Checks what nearly every user needs, in the order in which it is best told: permission, libbpf, kernel version,
 * BTF. Throws a `BpfError` NOT_PERMITTED, LIBBPF_MISSING, KERNEL_TOO_OLD or NO_BTF.
 */
export function requireKernel(needs: { major: number; minor: number; btf?: boolean }): void {
  const held = effectiveCapabilities();
  const has = (bit: bigint): boolean => ((held >> bit) & 1n) === 1n;
  if (!has(CAPABILITIES.sysAdmin) && !(has(CAPABILITIES.bpf) && has(CAPABILITIES.netAdmin))) {
    throw new BpfError({ operation: 'use eBPF', code: 'NOT_PERMITTED', hint: permissionHint });
  }
  libbpf();
  if (!kernelAtLeast(needs.major, needs.minor)) {
    throw new BpfError({
      operation: 'use eBPF',
      code: 'KERNEL_TOO_OLD',
      hint: `the kernel is ${kernelVersion().release}; ${needs.major}.${needs.minor} or later is needed`,
    });
  }
  if (needs.btf !== false && !hasBtf()) {
    throw new BpfError({
      operation: 'use eBPF',
      code: 'NO_BTF',
      hint: `the kernel was built without BTF: ${KERNEL_BTF} is missing (CONFIG_DEBUG_INFO_BTF)`,
    });
  }
}
