/**
 * Network namespaces, as `ip netns` keeps them: a bind mount of the namespace's file under /run/netns.
 * A namespace belongs to a thread, so whatever enters one does so synchronously and leaves before it returns.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as ffi from './ffi.ts';

/** Where named namespaces are bound, shared with iproute2. */
export const NETNS_DIRECTORY = '/run/netns';
/** The calling thread's own namespace. */
const CURRENT_NAMESPACE = '/proc/thread-self/ns/net';

/** A namespace to work in: its name, its path, an open descriptor, or a handle. */
export type NetnsRef = string | number | { readonly fd: number };

/** An open namespace. It exists at least until the handle is disposed. */
export interface NetnsHandle extends Disposable {
  readonly fd: number;
  /** What was opened, for messages. */
  readonly description: string;
}

let threadPoolStarted: Promise<void> | undefined;

/**
 * Starts libuv's thread pool now, in the process's own namespace, and waits until it has run something. Its
 * threads are made by the first asynchronous file, crypto or DNS call and keep the namespace of the thread that
 * made that call for ever, so it must not happen within `inside`. `inside` makes sure of it by itself; calling this
 * at the start of the program moves the few milliseconds to a better moment.
 */
export function prepareThreads(): Promise<void> {
  // Handing in the first job creates all threads before it returns.
  threadPoolStarted ??= new Promise((resolve, reject) => {
    randomBytes(1, (error) => (error ? reject(error) : resolve()));
  });
  return threadPoolStarted;
}

/** The path of a named namespace. A reference with a slash is a path already. @throws TypeError for an empty or dotted name */
export function path(name: string): string {
  if (name.includes('/')) return name;
  if (name === '' || name === '.' || name === '..') {
    throw new TypeError(`${JSON.stringify(name)} is no name for a network namespace`);
  }
  return join(NETNS_DIRECTORY, name);
}

function openHandle(file: string, description: string): NetnsHandle {
  const fd = openSync(file, 'r');
  let open = true;
  return {
    fd,
    description,
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      closeSync(fd);
    },
  };
}

/** Opens a namespace by name or path. @throws ENOENT when there is none */
export function open(ref: string): NetnsHandle {
  return openHandle(path(ref), ref);
}

/** Opens the namespace that a process is in. @throws ENOENT when there is no such process */
export function ofPid(pid: number): NetnsHandle {
  return openHandle(`/proc/${pid}/ns/net`, `of process ${pid}`);
}

/** Opens the calling thread's namespace. */
export function current(): NetnsHandle {
  return openHandle(CURRENT_NAMESPACE, 'current');
}

/** The names under /run/netns, sorted. */
export function list(): string[] {
  return existsSync(NETNS_DIRECTORY) ? readdirSync(NETNS_DIRECTORY).sort() : [];
}

/** Whether a named namespace exists. */
export function exists(name: string): boolean {
  return existsSync(path(name));
}

/** Goes back to a namespace. A thread that is stuck in a foreign namespace would act on the wrong network, so failing is fatal. */
function leave(home: NetnsHandle): void {
  try {
    ffi.setNetworkNamespace(home.fd);
  } catch (error) {
    process.stderr.write(`netlink-ts: cannot return to the thread's network namespace: ${String(error)}\n`);
    process.abort();
  }
}

/**
 * Runs a synchronous function within a namespace and leaves it again, also when the function throws. Sockets that
 * it opens stay in that namespace. Brackets may be nested. A process that cannot leave is aborted.
 * @throws TypeError when the function returns a promise: what it awaits would run outside
 */
export function inside<T>(ns: NetnsRef, fn: () => T): T {
  void prepareThreads();
  using opened = typeof ns === 'string' ? open(ns) : undefined;
  const fd = opened?.fd ?? (typeof ns === 'number' ? ns : (ns as { readonly fd: number }).fd);
  using home = current();
  ffi.setNetworkNamespace(fd);
  let result: T;
  try {
    result = fn();
  } finally {
    leave(home);
  }
  if (result instanceof Promise) {
    result.catch(() => {});
    throw new TypeError(
      'netns.inside takes a synchronous function: what follows an await runs outside of the namespace',
    );
  }
  return result;
}

/** Makes the directory for names and lets mounts in it reach other mount namespaces, as iproute2 does. */
function prepareDirectory(): void {
  mkdirSync(NETNS_DIRECTORY, { recursive: true, mode: 0o755 });
  const isMountPoint = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === NETNS_DIRECTORY);
  if (!isMountPoint) ffi.mount(NETNS_DIRECTORY, NETNS_DIRECTORY, 'none', ffi.MS.BIND | ffi.MS.REC);
  ffi.mount('', NETNS_DIRECTORY, 'none', ffi.MS.SHARED | ffi.MS.REC);
}

/** Moves the thread into a new namespace, runs `keep` there, and comes back. */
function withNew<T>(keep: () => T): T {
  void prepareThreads();
  using home = current();
  ffi.unshareNetworkNamespace();
  try {
    return keep();
  } finally {
    leave(home);
  }
}

/**
 * Creates a named namespace, as `ip netns add` does. Its loopback is down.
 * @returns its path
 * @throws EEXIST when the name is taken
 */
export function create(name: string): string {
  if (name.includes('/')) throw new TypeError(`${JSON.stringify(name)}: a name of a namespace has no slash`);
  const target = path(name);
  prepareDirectory();
  closeSync(openSync(target, 'wx', 0o444));
  try {
    withNew(() => ffi.mount(CURRENT_NAMESPACE, target, 'none', ffi.MS.BIND));
  } catch (error) {
    rmSync(target, { force: true });
    throw error;
  }
  return target;
}

/** Creates a namespace without a name: it is gone when the handle is disposed and nothing else is in it. */
export function createAnonymous(): NetnsHandle {
  return withNew(() => openHandle(CURRENT_NAMESPACE, 'anonymous'));
}

/**
 * Takes a namespace's name away, as `ip netns delete` does. The namespace itself goes when nothing uses it any more.
 * A name that does not exist is no error.
 */
export function remove(name: string): void {
  const target = path(name);
  if (!existsSync(target)) return;
  try {
    ffi.unmount(target, ffi.MNT_DETACH);
  } catch (error) {
    // A leftover of an interrupted creation is a plain file, not a mount.
    if ((error as { code?: string }).code !== 'EINVAL') throw error;
  }
  rmSync(target, { force: true });
}
