/** Errors of this package: one class, which names the operation, the thing and the errno. */
import os from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** Codes of this package's own, where no errno says it. */
export type OwnCode =
  | 'LIBBPF_MISSING'
  | 'KERNEL_TOO_OLD'
  | 'NO_BTF'
  | 'NOT_PERMITTED'
  | 'MAP_INCOMPATIBLE'
  | 'BAD_OBJECT'
  | 'BAD_ARGUMENT'
  | 'CLOSED';

const errnoNames = new Map<number, string>();
for (const [name, value] of Object.entries(os.constants.errno)) {
  if (!errnoNames.has(value)) errnoNames.set(value, name);
}
// Kernel-internal numbers that bpf(2) lets through, and libbpf's own (libbpf.h, enum libbpf_errno).
for (const [value, name] of [
  [11, 'EAGAIN'],
  [95, 'EOPNOTSUPP'],
  [77, 'EBADFD'],
  [524, 'ENOTSUPP'],
  [4000, 'LIBBPF_ELF'],
  [4001, 'LIBBPF_FORMAT'],
  [4002, 'LIBBPF_KVERSION'],
  [4003, 'LIBBPF_ENDIAN'],
  [4004, 'LIBBPF_INTERNAL'],
  [4005, 'LIBBPF_RELOC'],
  [4006, 'LIBBPF_LOAD'],
  [4007, 'LIBBPF_VERIFY'],
  [4008, 'LIBBPF_PROG2BIG'],
  [4009, 'LIBBPF_KVER'],
  [4010, 'LIBBPF_PROGTYPE'],
] as const) {
  errnoNames.set(value, name);
}

/** The symbolic name of an errno (positive), e.g. 2 -> 'ENOENT'; unknown numbers give 'ERRNO_<n>'. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `ERRNO_${errno}`;
}

function errnoText(errno: number): string {
  const name = errnoName(errno);
  const text = getSystemErrorMap().get(-errno)?.[1];
  return text === undefined ? name : `${name}, ${text}`;
}

/** What a `BpfError` is made from. */
export interface BpfErrorDetails {
  /** What was tried, in a few words: 'update', 'attach xdp', 'load'. */
  operation: string;
  /** What it was tried on: "map 'flows'", "program 'ingress'", a path. */
  subject?: string;
  /** Positive errno; 0 or absent where none applies. */
  errno?: number;
  /** A code of this package where no errno says it. */
  code?: OwnCode;
  /** What to do about it, or what is known besides. */
  hint?: string;
  /** The tail of the verifier's log. */
  log?: string;
  /** How many items of a batch were done before the failure. */
  done?: number;
  cause?: unknown;
}

/**
 * Any failure of a bpf(2) call, of libbpf, or of a check made before one.
 * `code` is the errno's name ('EPERM') or a code of this package ('MAP_INCOMPATIBLE').
 */
export class BpfError extends Error {
  override readonly name = 'BpfError';
  /** Errno's name or this package's own code. */
  readonly code: string;
  /** Positive errno, 0 where none applies. */
  readonly errno: number;
  /** What was tried. */
  readonly operation: string;
  /** The map, program, link or path it was tried on. */
  readonly subject: string | undefined;
  /** The tail of the verifier's log, when a program was refused. */
  readonly log: string | undefined;
  /** For batches: how many items were done before the failure. */
  readonly done: number | undefined;

  constructor(details: BpfErrorDetails) {
    const errno = details.errno ?? 0;
    const subject = details.subject === undefined ? '' : `${details.subject}: `;
    const reason = errno > 0 ? `: ${errnoText(errno)}` : '';
    const hint = details.hint === undefined ? '' : `${reason === '' ? ': ' : '; '}${details.hint}`;
    const log = details.log === undefined || details.log === '' ? '' : `\n${details.log}`;
    super(`${subject}${details.operation}${reason}${hint}${log}`, { cause: details.cause });
    this.code = details.code ?? (errno > 0 ? errnoName(errno) : 'BAD_ARGUMENT');
    this.errno = errno;
    this.operation = details.operation;
    this.subject = details.subject;
    this.log = details.log;
    this.done = details.done;
  }
}

/** Throws a `BpfError` when `result` is negative (libbpf 1.x returns -errno); else returns it. */
export function check(result: number, operation: string, subject?: string, hint?: string): number {
  if (result >= 0) return result;
  throw new BpfError({
    operation,
    errno: -result,
    ...(subject === undefined ? {} : { subject }),
    ...(hint === undefined ? {} : { hint }),
  });
}
