/** Owned descriptors: closed once, by `using` or `[Symbol.dispose]()`, and never by the garbage collector. */
import fs from 'node:fs';
import { BpfError, check } from './errors.ts';
import { libbpf } from './ffi.ts';

/** A descriptor of a kernel object that one or more wrappers share. */
export class FdHandle {
  #fd: number;
  readonly #subject: string;

  /** Takes ownership of `fd`; `subject` names it in errors. */
  constructor(fd: number, subject: string) {
    this.#fd = fd;
    this.#subject = subject;
  }

  /** The descriptor. Throws `BpfError` CLOSED once it is closed. */
  get fd(): number {
    if (this.#fd < 0) {
      throw new BpfError({
        operation: 'use',
        subject: this.#subject,
        code: 'CLOSED',
        hint: 'it was disposed',
      });
    }
    return this.#fd;
  }

  get closed(): boolean {
    return this.#fd < 0;
  }

  /** Closes the descriptor; a second call does nothing. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    fs.closeSync(fd);
  }
}

/** Pins a descriptor in a BPF file system. */
export function pinFd(fd: number, path: string, subject: string): void {
  const hint = 'the directory must lie in a BPF file system (see ensureBpffs), and the file must not exist';
  check(libbpf().pin(fd, path), `pin at ${path}`, subject, hint);
}

/** What an open descriptor of bpf(2) refers to, by its name in /proc. */
export function fdKind(fd: number): 'map' | 'program' | 'link' | 'other' {
  const target = fs.readlinkSync(`/proc/self/fd/${fd}`);
  if (target.includes('bpf-map')) return 'map';
  if (target.includes('bpf-prog')) return 'program';
  if (target.includes('bpf_link') || target.includes('bpf-link')) return 'link';
  return 'other';
}

/** Opens a pinned object and checks that it is of the kind expected. */
export function openPinnedFd(path: string, kind: 'map' | 'program' | 'link'): number {
  const fd = check(libbpf().openPinned(path), `open pinned ${kind}`, path);
  const found = fdKind(fd);
  if (found === kind) return fd;
  fs.closeSync(fd);
  throw new BpfError({
    operation: `open pinned ${kind}`,
    subject: path,
    code: 'BAD_ARGUMENT',
    hint: `a ${found} is pinned there`,
  });
}

/** BPF_OBJ_GET_INFO_BY_FD into `size` bytes; fields newer than the kernel stay zero. */
export function objectInfo(fd: number, size: number, subject: string): DataView {
  const info = new Uint8Array(size);
  check(libbpf().info(fd, info, new Uint32Array([size])), 'get info', subject);
  return new DataView(info.buffer);
}

/** A NUL-terminated string in a fixed field. */
export function fixedString(view: DataView, offset: number, size: number): string {
  const field = new Uint8Array(view.buffer, view.byteOffset + offset, size);
  const end = field.indexOf(0);
  return new TextDecoder().decode(field.subarray(0, end < 0 ? size : end));
}
