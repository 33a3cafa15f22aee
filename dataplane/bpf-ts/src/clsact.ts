/**
 * tc programs on kernels before 6.6: filters of the clsact qdisc, behind the interface of a link. The kernel keeps no
 * descriptor of a filter; it stays until somebody detaches it. So that disposal means here what it means for links,
 * disposing detaches the filter unless it was pinned. A pin is a small map that says where the filter is.
 */
import fs from 'node:fs';
import { bytes, u32 } from './codec.ts';
import { BpfError, check } from './errors.ts';
import {
  attachTc,
  createTcHook,
  detachTc,
  duplicateFd,
  queryTc,
  setNetworkNamespace,
  type TcFilter,
  type TcHook,
} from './ffi.ts';
import { FdHandle } from './handle.ts';
import { attachFailed, BpfLink, type LinkInfo } from './link.ts';
import { BpfMap } from './map.ts';
import type { BpfProgram } from './program.ts';

const RECORD_NAME = 'bpfts_clsact';
const RECORD_SIZE = 16;
const EEXIST = 17;
const ENOENT = 2;
/** What the kernel answers, by version and by what is missing (filter, chain, qdisc, device), when a filter is gone. */
const GONE: ReadonlySet<number> = new Set([-ENOENT, -19, -22]);
const THREAD_NETNS = '/proc/thread-self/ns/net';

/** Where a filter is: enough to find it again. */
interface Place {
  hook: TcHook;
  filter: TcFilter;
}

function describe(hook: TcHook): string {
  return `clsact ${hook.attachPoint === 1 ? 'ingress' : 'egress'} filter on ifindex ${hook.ifindex}`;
}

/** The id of the program that a filter runs, 0 when the filter is gone. */
function programOf({ hook, filter }: Place): number {
  const { error, programId } = queryTc(hook, filter);
  if (GONE.has(error)) return 0;
  check(error, 'query', describe(hook));
  return programId;
}

/** A clsact filter that looks like a link. Its operations run in the network namespace that it was made in. */
export class ClsactLink extends BpfLink {
  readonly #place: Place;
  readonly #namespace: FdHandle;
  #pinned: boolean;
  #attached = true;

  private constructor(fd: number, place: Place, pinned: boolean) {
    super(fd, describe(place.hook));
    this.#place = place;
    this.#pinned = pinned;
    this.#namespace = new FdHandle(fs.openSync(THREAD_NETNS, 'r'), 'network namespace');
  }

  /** Makes the clsact qdisc where it is missing and adds a filter at a priority that the kernel chooses. */
  static attach(program: BpfProgram, ifindex: number, direction: 'ingress' | 'egress'): ClsactLink {
    const hook: TcHook = { ifindex, attachPoint: direction === 'ingress' ? 1 : 2 };
    const operation = `attach clsact ${direction} to ifindex ${ifindex}`;
    const made = createTcHook(hook);
    if (made < 0 && made !== -EEXIST) attachFailed(operation, program, -made);
    const { error, handle, priority } = attachTc(hook, { handle: 0, priority: 0 }, program.fd, false);
    if (error < 0) attachFailed(operation, program, -error);
    const fd = check(duplicateFd(program.fd), 'duplicate descriptor', `program '${program.name}'`);
    return new ClsactLink(fd, { hook, filter: { handle, priority } }, false);
  }

  /** Reopens a pinned filter; throws ENOENT when it is gone from its device. */
  static reopen(path: string): ClsactLink {
    using record = BpfMap.openPinned(path);
    if (record.name !== RECORD_NAME || record.info().valueSize !== RECORD_SIZE) {
      const hint = `a map '${record.name}' is pinned there`;
      throw new BpfError({ operation: 'open pinned link', subject: path, code: 'BAD_ARGUMENT', hint });
    }
    const value = record.typed(u32, bytes(RECORD_SIZE)).lookup(0) ?? new Uint8Array(RECORD_SIZE);
    const [ifindex = 0, point = 0, handle = 0, priority = 0] = new Uint32Array(value.buffer);
    const place: Place = {
      hook: { ifindex, attachPoint: point === 1 ? 1 : 2 },
      filter: { handle, priority },
    };
    if (programOf(place) === 0) {
      const subject = describe(place.hook);
      throw new BpfError({ operation: 'reopen', subject, errno: ENOENT, hint: 'the filter is gone' });
    }
    return new ClsactLink(check(duplicateFd(record.fd), 'duplicate descriptor', path), place, true);
  }

  /** Replaces the filter's program; cls_bpf exchanges it under RCU, so that no packet meets neither. */
  override update(program: BpfProgram): void {
    const { hook, filter } = this.#place;
    const { error } = this.#inNamespace(() => attachTc(hook, filter, program.fd, true));
    check(error, `update to program '${program.name}'`, this.subject);
  }

  /** As `update`: netlink belongs to a thread's namespace, so that this too runs on the calling thread. */
  override async updateAsync(program: BpfProgram): Promise<void> {
    this.update(program);
  }

  override pin(path: string): void {
    using record = BpfMap.create({
      name: RECORD_NAME,
      type: 'array',
      keySize: 4,
      valueSize: RECORD_SIZE,
      maxEntries: 1,
    });
    const { hook, filter } = this.#place;
    const fields = new Uint32Array([hook.ifindex, hook.attachPoint, filter.handle, filter.priority]);
    record.typed(u32, bytes(RECORD_SIZE)).update(0, new Uint8Array(fields.buffer));
    record.pin(path);
    this.#pinned = true;
  }

  override info(): LinkInfo {
    const programId = this.#inNamespace(() => programOf(this.#place));
    return { id: 0, type: 'clsact', programId, ifindex: programId === 0 ? 0 : this.#place.hook.ifindex };
  }

  /** Removes the filter; the qdisc stays, since others may use it. */
  override detach(): void {
    const { hook, filter } = this.#place;
    check(
      this.#inNamespace(() => detachTc(hook, filter)),
      'detach',
      this.subject,
    );
    this.#attached = false;
  }

  override [Symbol.dispose](): void {
    if (this.closed) return;
    // A device that is gone took its filters with it: nothing is left to detach then.
    const { hook, filter } = this.#place;
    if (this.#attached && !this.#pinned) this.#inNamespace(() => detachTc(hook, filter));
    this.#namespace.close();
    super[Symbol.dispose]();
  }

  #inNamespace<T>(body: () => T): T {
    using home = new NamespaceScope(this.#namespace.fd);
    void home;
    return body();
  }
}

/** The calling thread in another network namespace, until disposed. */
class NamespaceScope {
  readonly #home: FdHandle;

  constructor(namespaceFd: number) {
    this.#home = new FdHandle(fs.openSync(THREAD_NETNS, 'r'), 'network namespace');
    const error = setNetworkNamespace(namespaceFd);
    if (error < 0) this.#home.close();
    check(error, 'enter network namespace');
  }

  [Symbol.dispose](): void {
    const error = setNetworkNamespace(this.#home.fd);
    this.#home.close();
    check(error, 'leave network namespace');
  }
}
