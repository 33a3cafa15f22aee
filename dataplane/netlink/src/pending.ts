/** Requests on their way: what is known of one until it is settled, and the queue of those not sent yet. */
import { explainVerdict, type NetlinkMessage, parseVerdict } from './codec/message.ts';
import { NetlinkError } from './errors.ts';
import type { BatchResult, NetlinkRequest } from './request.ts';

/** A dump that changes underneath is read again this often before it is given up. */
export const MAX_DUMP_ATTEMPTS = 10;
const ERRNO = { EINTR: 4, EBUSY: 16 } as const;
/** The part of a queue's array that may be used up before it is cut off. */
const COMPACT_THRESHOLD = 4096;

/** One request between being asked and being settled. */
export interface Pending {
  readonly request: NetlinkRequest<unknown>;
  readonly settle: (result: BatchResult<unknown>) => void;
  readonly isDump: boolean;
  body: Buffer | undefined;
  replies: NetlinkMessage[];
  /** The kernel has said that the dump is not of one piece. */
  interrupted: boolean;
  attempts: number;
  deadline_ms: number;
}

/** A request that nothing has happened to yet. */
export function newPending(request: NetlinkRequest<unknown>, settle: Pending['settle']): Pending {
  return {
    request,
    settle,
    isDump: request.dump === true,
    body: undefined,
    replies: [],
    interrupted: false,
    attempts: 0,
    deadline_ms: 0,
  };
}

/** Any thrown value as an Error. */
export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/**
 * What the message that closes a request means for it.
 * @param closing an NLMSG_ERROR or NLMSG_DONE
 * @returns the result, or `repeat` for a dump to be read again; its attempts are counted
 */
export function conclude(closing: NetlinkMessage, pending: Pending): BatchResult<unknown> | 'repeat' {
  const { request } = pending;
  try {
    const verdict = parseVerdict(closing);
    const wasInterrupted = pending.interrupted && (verdict.errno === 0 || verdict.errno === ERRNO.EINTR);
    // An earlier dump that was given up may still be running in the kernel.
    if (pending.isDump && (wasInterrupted || verdict.errno === ERRNO.EBUSY)) {
      pending.attempts += 1;
      if (pending.attempts < MAX_DUMP_ATTEMPTS) return 'repeat';
      const message = wasInterrupted
        ? `the data changed during each of ${pending.attempts} dumps`
        : `another dump was running at each of ${pending.attempts} attempts`;
      return { ok: false, error: new NetlinkError(request.what, verdict.errno || ERRNO.EINTR, { message }) };
    }
    if (verdict.errno === 0 || verdict.errno === request.emptyErrno) {
      return { ok: true, value: request.decode(pending.replies) };
    }
    const body = pending.body ?? Buffer.alloc(0);
    const details = explainVerdict(verdict, body, request.headerSize_bytes, request.attributeNames);
    return { ok: false, error: new NetlinkError(request.what, verdict.errno, details) };
  } catch (error) {
    return { ok: false, error: asError(error) };
  }
}

/** First in, first out, at constant cost. */
export class PendingQueue {
  #items: Pending[] = [];
  #head = 0;

  /** How many wait. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** The next one, which stays. */
  peek(): Pending | undefined {
    return this.#items[this.#head];
  }

  /** Puts one at the end. */
  push(pending: Pending): void {
    this.#items.push(pending);
  }

  /** Takes the next one away. */
  drop(): void {
    this.#head += 1;
    if (this.#head >= this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > COMPACT_THRESHOLD && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Takes all away. @returns them, in order */
  takeAll(): Pending[] {
    const all = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    return all;
  }
}
