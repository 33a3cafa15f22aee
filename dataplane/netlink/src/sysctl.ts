/** Settings under /proc/sys, which shows the network namespace of the thread that opens a file there. */
import { readFileSync, writeFileSync } from 'node:fs';
import { inside, type NetnsRef } from './netns.ts';

/** Where the setting is meant. */
export interface SysctlOptions {
  /** The calling thread's namespace if left out. */
  readonly netns?: NetnsRef;
}

/** The file of a setting: dots separate, unless there is a slash, as in names of interfaces with dots. */
function fileOf(key: string): string {
  const parts = key.split(key.includes('/') ? '/' : '.');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new TypeError(`${JSON.stringify(key)} is no sysctl key (such as net.ipv4.ip_forward)`);
  }
  return `/proc/sys/${parts.join('/')}`;
}

function within<T>(options: SysctlOptions, fn: () => T): T {
  return options.netns === undefined ? fn() : inside(options.netns, fn);
}

/** Reads a setting, without the line's end. @throws ENOENT when the kernel has none of that key */
export function get(key: string, options: SysctlOptions = {}): string {
  return within(options, () => readFileSync(fileOf(key), 'utf8').trimEnd());
}

/** Writes a setting. @throws ENOENT when the kernel has none of that key, EINVAL when it refuses the value */
export function set(key: string, value: string | number, options: SysctlOptions = {}): void {
  // The file has to exist: nothing can be created there.
  within(options, () => writeFileSync(fileOf(key), `${value}\n`, { flag: 'r+' }));
}
