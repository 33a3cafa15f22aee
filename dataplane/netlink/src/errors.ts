import { getSystemErrorMessage, getSystemErrorName } from 'node:util';

/** What Linux calls by another name than libuv. */
const LINUX_NAMES: ReadonlyMap<number, readonly [name: string, text: string]> = new Map([
  [95, ['EOPNOTSUPP', 'operation not supported']],
]);

/**
 * The symbolic name of an errno value, as in errno(3).
 * @param errno a positive errno value
 * @returns for example `EEXIST`, or `E<number>` for one that Node does not know
 */
export function errnoName(errno: number): string {
  const known = LINUX_NAMES.get(errno);
  if (known !== undefined) return known[0];
  try {
    const name = getSystemErrorName(-errno);
    return name.startsWith('Unknown') ? `E${errno}` : name;
  } catch {
    return `E${errno}`;
  }
}

function errnoText(errno: number): string {
  const known = LINUX_NAMES.get(errno);
  if (known !== undefined) return known[1];
  try {
    const text = getSystemErrorMessage(-errno);
    return text === undefined || text.startsWith('Unknown') ? 'unknown error' : text;
  } catch {
    return 'unknown error';
  }
}

/** A system call that failed: `code` is the errno's name, `syscall` what was called. */
export class SystemCallError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  /**
   * @param syscall the call's name, with whatever tells the reader which one it was (`bind 10.0.0.1:80`)
   * @param errno a positive errno value
   */
  constructor(syscall: string, errno: number) {
    super(`${syscall}: ${errnoName(errno)} (${errnoText(errno)})`);
    this.name = 'SystemCallError';
    this.code = errnoName(errno);
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** What the kernel says about a refused request, beside the errno (NETLINK_EXT_ACK). */
export interface ExtendedAck {
  /** The kernel's own sentence. */
  readonly message?: string;
  /** The attribute that the kernel points at, such as `IFLA_LINKINFO/IFLA_INFO_DATA`. */
  readonly attribute?: string;
  /** An attribute that the request should have had. */
  readonly missingAttribute?: string;
}

/** A netlink request that the kernel refused, or whose answer did not arrive. */
export class NetlinkError extends Error {
  readonly code: string;
  readonly errno: number;
  /** What was asked, such as `create link br0`. */
  readonly request: string;
  readonly extack?: string;
  readonly attribute?: string;
  readonly missingAttribute?: string;

  /**
   * @param request what was asked, for the reader of the message
   * @param errno a positive errno value
   * @param details the kernel's extended acknowledgement, if any
   */
  constructor(request: string, errno: number, details: ExtendedAck = {}) {
    const parts = [`${request}: ${errnoName(errno)} (${errnoText(errno)})`];
    if (details.message !== undefined) parts.push(`: ${details.message}`);
    if (details.attribute !== undefined) parts.push(` [attribute ${details.attribute}]`);
    if (details.missingAttribute !== undefined)
      parts.push(` [missing attribute ${details.missingAttribute}]`);
    super(parts.join(''));
    this.name = 'NetlinkError';
    this.code = errnoName(errno);
    this.errno = errno;
    this.request = request;
    if (details.message !== undefined) this.extack = details.message;
    if (details.attribute !== undefined) this.attribute = details.attribute;
    if (details.missingAttribute !== undefined) this.missingAttribute = details.missingAttribute;
  }
}

/** Bytes from the kernel that do not have the shape they should: says which field, where and why. */
export class MalformedMessageError extends Error {
  /** @param detail what is wrong and at which offset */
  constructor(detail: string) {
    super(`malformed netlink message: ${detail}`);
    this.name = 'MalformedMessageError';
  }
}
