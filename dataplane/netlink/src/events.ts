/** What changes in a namespace, as it changes: the multicast groups of rtnetlink(7). */
import * as addresses from './addresses.ts';
import { type NetlinkMessage, parseMessages } from './codec/message.ts';
import { MalformedMessageError, SystemCallError } from './errors.ts';
import * as fdb from './fdb.ts';
import type { ReadableWatcher } from './ffi.ts';
import type { Link } from './link-types.ts';
import * as links from './links.ts';
import * as neighbours from './neighbours.ts';
import type { NetnsRef } from './netns.ts';
import * as routes from './routes.ts';
import { RTM } from './rtnetlink.ts';
import * as rules from './rules.ts';
import { NetlinkTransport } from './transport.ts';

/** RTNLGRP_* of <linux/rtnetlink.h>. */
const GROUPS = {
  link: [1],
  neighbour: [3],
  address: [5, 9],
  route: [7, 11],
  rule: [8, 19],
} as const;

/** What can be watched. Forwarding entries of bridges come with the neighbours. */
export type EventGroup = keyof typeof GROUPS;

/** Whether something is there now (new or changed), or has gone. */
export type EventAction = 'new' | 'delete';

/** One change. */
export type NetlinkEvent =
  | { readonly type: 'link'; readonly action: EventAction; readonly link: Link }
  | { readonly type: 'address'; readonly action: EventAction; readonly address: addresses.Address }
  | { readonly type: 'route'; readonly action: EventAction; readonly route: routes.Route }
  | { readonly type: 'neighbour'; readonly action: EventAction; readonly neighbour: neighbours.Neighbour }
  | { readonly type: 'fdb'; readonly action: EventAction; readonly entry: fdb.FdbEntry }
  | { readonly type: 'rule'; readonly action: EventAction; readonly rule: rules.Rule }
  /** Changes were lost here: list again what matters, and go on. */
  | { readonly type: 'overrun' };

/** How to watch. */
export interface SubscribeOptions {
  /** The calling thread's namespace if left out. */
  readonly netns?: NetnsRef;
  /** How many changes may wait to be read before they are thrown away and an overrun is reported. */
  readonly queueLimit?: number;
  /** Room in the kernel for changes that have not been fetched. */
  readonly receiveBuffer_bytes?: number;
}

const DEFAULT_QUEUE_LIMIT = 4096;
const DEFAULT_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const MAX_DATAGRAMS_PER_TURN = 256;
const ENOBUFS = 105;

/** Decodes a message of a multicast group. @returns undefined for what is not about IP or bridges */
export function decodeEvent(message: NetlinkMessage): NetlinkEvent | undefined {
  // rtnetlink's types come in fours: new, delete, get, set.
  const action: EventAction = message.type % 4 === 0 ? 'new' : 'delete';
  switch (message.type) {
    case RTM.NEWLINK:
    case RTM.DELLINK:
      // A bridge tells about its ports with messages of its own family, which are no links come or gone.
      return links.isLink(message) ? { type: 'link', action, link: links.decode(message) } : undefined;
    case RTM.NEWADDR:
    case RTM.DELADDR:
      return addresses.isIp(message)
        ? { type: 'address', action, address: addresses.decode(message) }
        : undefined;
    case RTM.NEWROUTE:
    case RTM.DELROUTE:
      return routes.isIp(message) ? { type: 'route', action, route: routes.decode(message) } : undefined;
    case RTM.NEWRULE:
    case RTM.DELRULE:
      return rules.isIp(message) ? { type: 'rule', action, rule: rules.decode(message) } : undefined;
    case RTM.NEWNEIGH:
    case RTM.DELNEIGH:
      if (fdb.isFdb(message)) return { type: 'fdb', action, entry: fdb.decode(message) };
      return neighbours.isIp(message)
        ? { type: 'neighbour', action, neighbour: neighbours.decode(message) }
        : undefined;
    default:
      return undefined;
  }
}

type Waiter = PromiseWithResolvers<IteratorResult<NetlinkEvent, undefined>>;

/** The changes of a namespace, in order. For one reader: `for await (const event of stream)`. */
export class EventStream implements AsyncIterableIterator<NetlinkEvent, undefined>, Disposable {
  /** Times that changes were lost. */
  overruns = 0;
  /** Messages that could not be decoded; each counts as an overrun too. */
  malformed = 0;
  readonly #transport: NetlinkTransport;
  readonly #watcher: ReadableWatcher;
  readonly #queueLimit: number;
  #queue: NetlinkEvent[] = [];
  #waiter: Waiter | undefined;
  #failure: Error | undefined;
  #open = true;

  /** Use `subscribe`. */
  constructor(groups: readonly EventGroup[], options: SubscribeOptions) {
    this.#queueLimit = options.queueLimit ?? DEFAULT_QUEUE_LIMIT;
    if (!Number.isInteger(this.#queueLimit) || this.#queueLimit < 1) {
      throw new RangeError(`queueLimit ${this.#queueLimit} is not a positive whole number`);
    }
    this.#transport = new NetlinkTransport({
      netns: options.netns,
      protocol: 'route',
      receiveBuffer_bytes: options.receiveBuffer_bytes ?? DEFAULT_RECEIVE_BUFFER_BYTES,
      groups: [...new Set(groups)].flatMap((group) => GROUPS[group]),
    });
    this.#watcher = this.#transport.watch(() => this.#drain());
  }

  /** Waits for the next change. One call at a time: a second reader would see only part of what happens. */
  next(): Promise<IteratorResult<NetlinkEvent, undefined>> {
    const event = this.#queue.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (!this.#open) return Promise.resolve({ done: true, value: undefined });
    if (this.#waiter !== undefined) return Promise.reject(new Error('an event stream has one reader only'));
    this.#waiter = Promise.withResolvers();
    return this.#waiter.promise;
  }

  /** Ends the stream, as leaving a `for await` loop does. */
  return(): Promise<IteratorResult<NetlinkEvent, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** The stream itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Whether an open stream keeps the process alive, as it does at first. */
  keepAlive(on: boolean): void {
    this.#watcher.keepAlive(on);
  }

  /** Stops watching. What is queued is dropped, and who waits is told the end. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watcher.close();
    this.#transport[Symbol.dispose]();
    this.#queue = [];
    this.#takeWaiter()?.resolve({ done: true, value: undefined });
  }

  /** The same as `close`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #drain(): void {
    for (let turn = 0; turn < MAX_DATAGRAMS_PER_TURN && this.#open; turn++) {
      const received = this.#transport.receive();
      if (received.kind === 'empty') return;
      if (received.kind === 'datagram') this.#accept(received.data);
      else if (received.kind === 'error') this.#recover(received.errno);
    }
  }

  #recover(errno: number): void {
    if (errno === ENOBUFS) {
      this.#overrun();
      return;
    }
    this.#failure = new SystemCallError('receive netlink events', errno);
    // A reader that waits learns the reason; one that comes later, too.
    this.#takeWaiter()?.reject(this.#failure);
    this.close();
  }

  #takeWaiter(): Waiter | undefined {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    return waiter;
  }

  #accept(datagram: Buffer): void {
    try {
      for (const message of parseMessages(datagram)) {
        const event = decodeEvent(message);
        if (event !== undefined) this.#deliver(event);
      }
    } catch (error) {
      if (!(error instanceof MalformedMessageError)) throw error;
      this.malformed += 1;
      this.#overrun();
    }
  }

  #deliver(event: NetlinkEvent): void {
    const waiter = this.#takeWaiter();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: event });
      return;
    }
    if (this.#queue.length >= this.#queueLimit) this.#overrun();
    else this.#queue.push(event);
  }

  /** Reports a loss once: whoever reads it lists everything anew, so that what was queued is of no more use. */
  #overrun(): void {
    this.overruns += 1;
    this.#queue = [];
    this.#deliver({ type: 'overrun' });
  }
}

/**
 * Watches a namespace.
 * @throws SystemCallError when the socket cannot be made
 */
export function subscribe(groups: readonly EventGroup[], options: SubscribeOptions = {}): EventStream {
  return new EventStream(groups, options);
}
