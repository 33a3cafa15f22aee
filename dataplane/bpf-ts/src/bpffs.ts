/** The BPF file system, where objects are pinned so that they outlive the process. */
import fs from 'node:fs';
import { BpfError, check } from './errors.ts';
import { mount, unmount } from './ffi.ts';

/** BPF_FS_MAGIC of linux/magic.h. */
const BPF_FS_MAGIC = 0xcafe4a11;

/** Whether `path` lies in a BPF file system. */
export function isBpffs(path: string): boolean {
  return fs.existsSync(path) && fs.statfsSync(path).type >>> 0 === BPF_FS_MAGIC;
}

/**
 * Makes sure that `path` is a directory of a BPF file system: makes the directory, and mounts one there if it lies
 * in none. Returns whether it mounted. In a mount namespace of its own, the mount is seen there only.
 */
export function ensureBpffs(path: string): boolean {
  fs.mkdirSync(path, { recursive: true });
  if (isBpffs(path)) return false;
  if (fs.readdirSync(path).length > 0) {
    const hint = 'the directory has files in it, and a mount would hide them';
    throw new BpfError({ operation: 'mount bpf', subject: path, code: 'BAD_ARGUMENT', hint });
  }
  check(mount('bpf', path, 'bpf'), 'mount bpf', path, 'it needs root');
  return true;
}

/** Unmounts the BPF file system at `path`; whatever only pins there kept alive goes with it. */
export function unmountBpffs(path: string): void {
  check(unmount(path), 'unmount', path);
}

/** `ensureBpffs` for a scope: unmounts when disposed, if it was this call that mounted. */
export function withBpffs(path: string): Disposable & { readonly path: string } {
  const mounted = ensureBpffs(path);
  return {
    path,
    [Symbol.dispose]: () => {
      if (mounted) unmountBpffs(path);
    },
  };
}
