/** The cgroup (v2) that holds a lab's processes, so that all of them, and only them, can be ended at once. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from './command.ts';
import { runsDirectory } from './registry.ts';

/** How long killed processes may take to disappear. */
const killTimeout_ms = 10_000;

/** The mount point of the unified hierarchy, mounted under the lab's own directory if the machine has none. */
export function cgroupRoot(): string {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [left, right] = line.split(' - ');
    const mountPoint = left?.split(' ')[4];
    if (right?.startsWith('cgroup2 ') && mountPoint !== undefined) return mountPoint;
  }
  const own = join(runsDirectory, '.cgroup2');
  mkdirSync(own, { recursive: true });
  runCommand('mount', ['-t', 'cgroup2', 'cgroup2', own]);
  return own;
}

/** Makes a cgroup and its parents. */
export function makeCgroup(path: string): void {
  mkdirSync(path, { recursive: true });
}

/**
 * Kills every process inside a cgroup and its descendants (`cgroup.kill`, Linux 5.14) and removes the cgroups.
 * Does nothing if it does not exist.
 * @throws Error if a process survives for 10 s
 */
export function removeCgroup(path: string): void {
  try {
    killAndRemove(path);
  } catch (error) {
    // Another process that clears the same leftovers may be a step ahead.
    if (existsSync(path)) throw error;
  }
}

function killAndRemove(path: string): void {
  if (!existsSync(path)) return;
  const deadline = performance.now() + killTimeout_ms;
  for (;;) {
    // Again and again: a program that was just being started joins its cgroup after the first stroke.
    writeFileSync(join(path, 'cgroup.kill'), '1');
    if (!isPopulated(path) && removeTree(path)) return;
    if (performance.now() > deadline) throw new Error(`processes in ${path} survive SIGKILL for 10 s`);
    sleepSync(5);
  }
}

function isPopulated(path: string): boolean {
  return /^populated 1$/m.test(readFileSync(join(path, 'cgroup.events'), 'utf8'));
}

/** Removes a cgroup and those below it; false if one is in use (again). */
function removeTree(path: string): boolean {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory() && !removeTree(join(path, entry.name))) return false;
  }
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}

function sleepSync(duration_ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, duration_ms);
}
