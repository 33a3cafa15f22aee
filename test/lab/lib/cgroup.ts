/** The cgroup (v2) that holds a lab's processes, so that all of them, and only them, can be ended at once. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
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
  if (!existsSync(join(path, 'cgroup.procs'))) return;
  writeFileSync(join(path, 'cgroup.kill'), '1');
  const deadline = performance.now() + killTimeout_ms;
  while (/^populated 1$/m.test(readFileSync(join(path, 'cgroup.events'), 'utf8'))) {
    if (performance.now() > deadline) throw new Error(`processes in ${path} survive SIGKILL for 10 s`);
    sleepSync(5);
  }
  removeTree(path);
}

function removeTree(path: string): void {
  for (const entry of readdirSync(path)) {
    const child = join(path, entry);
    if (statSync(child, { throwIfNoEntry: false })?.isDirectory()) removeTree(child);
  }
  // A process that has just died can hold its cgroup for a moment longer than it is counted.
  for (let attempt = 0; ; attempt++) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || attempt === 200) throw error;
      sleepSync(5);
    }
  }
}

function sleepSync(duration_ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, duration_ms);
}
