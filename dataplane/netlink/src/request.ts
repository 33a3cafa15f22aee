import type { NetlinkMessage } from './codec/message.ts';

/** An interface: its index, or its name in the namespace of the socket that is asked. */
export type InterfaceRef = number | string;

/** Finds the index that an interface reference stands for. */
export type InterfaceResolver = (ref: InterfaceRef) => number;

/**
 * What to ask the kernel, independent of any socket: made by `links.create(...)` and its like, run by
 * `NetlinkSocket.request`, `requestSync` or `batch`.
 */
export interface NetlinkRequest<T> {
  /** The message type, such as RTM_NEWLINK. */
  readonly type: number;
  /** Flags beside REQUEST, ACK and DUMP, which the socket sets. */
  readonly flags: number;
  /** Whether the answer is a list in many messages; the kernel runs one such at a time for a socket. */
  readonly dump?: boolean;
  /** An errno by which the kernel says that the list is empty. */
  readonly emptyErrno?: number;
  /** What is asked, in words; the start of every error message. */
  readonly what: string;
  /** Size of the family's fixed header at the start of the body. */
  readonly headerSize_bytes: number;
  /** Names of the outermost attributes, for error messages. */
  readonly attributeNames: ReadonlyMap<number, string>;
  /** Encodes what follows struct nlmsghdr; called when the request is sent. */
  readonly body: (resolve: InterfaceResolver) => Buffer;
  /** Decodes the replies, acknowledgements left out. */
  readonly decode: (replies: readonly NetlinkMessage[]) => T;
}

/** The outcome of one request of a batch. */
export type BatchResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: Error };

/**
 * The values of a batch in which everything went well.
 * @throws the one error, or an AggregateError that holds all
 */
export function unwrapBatch<T>(results: readonly BatchResult<T>[]): T[] {
  const values: T[] = [];
  const errors: Error[] = [];
  for (const result of results) {
    if (result.ok) values.push(result.value);
    else errors.push(result.error);
  }
  const [first] = errors;
  if (first === undefined) return values;
  if (errors.length === 1) throw first;
  throw new AggregateError(
    errors,
    `${errors.length} of ${results.length} requests failed, the first: ${first.message}`,
  );
}
