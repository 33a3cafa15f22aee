/**
 * The record of what a lab made, kept outside the process so that a later run can remove what a crashed one left.
 *
 * A lab named `demo` of process 4711 is the run `demo-4711`; everything it owns is listed in
 * `/run/shoal-lab/demo-4711/registry.json`, written before the thing is made. Nothing that is not in there is ever
 * removed, and a network namespace only if it carries the run's token as the alias of its loopback device: names
 * and inode numbers are used again by the kernel, the token is not.
 */
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** Where all runs keep their records, logs and state. */
export const runsDirectory = '/run/shoal-lab';

/** Names tried (`demo`, `demo-2`, …) before giving up on a name that others hold. */
export const nameAttempts = 64;

/** One process, told apart from a later one with the same pid by its start time. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of `/proc/PID/stat`, clock ticks since boot (proc(5)). */
  readonly startTime_ticks: string;
  /** `/proc/sys/kernel/random/boot_id`. */
  readonly bootId: string;
}

/** What `registry.json` holds. */
export interface RunRecord {
  readonly name: string;
  /** Name of the run's directory: `<name>-<pid>`. */
  readonly run: string;
  readonly creator: ProcessIdentity;
  /** Alias of the loopback device in every namespace of this run. */
  readonly token: string;
  /** True after `lab.keep()`: the run outlives its creator on purpose. */
  kept: boolean;
  /** The run's own cgroup (v2); every process of the run is inside. */
  cgroup: string;
  /** Names under `/run/netns`. */
  readonly namespaces: string[];
}

/** The identity of `pid`, or undefined if no such process runs. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The command name in parentheses may hold spaces; fields are counted from behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTime_ticks = fields[19];
  if (startTime_ticks === undefined || fields[0] === 'Z') return undefined;
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return { pid, startTime_ticks, bootId };
}

/** True while exactly that process, not a later one with its pid, is alive. */
export function isAlive(process: ProcessIdentity): boolean {
  const now = identifyProcess(process.pid);
  return now?.startTime_ticks === process.startTime_ticks && now.bootId === process.bootId;
}

/** The directory of a run. */
export function runDirectory(run: string): string {
  return join(runsDirectory, run);
}

/** A name under `runsDirectory` or a namespace's name must not lead anywhere else. */
function assertPlainName(name: string): void {
  if (!/^[a-z0-9][a-z0-9-]{0,39}$/.test(name)) {
    throw new Error(
      `lab name '${name}' is not usable: take 1 to 40 lower-case letters, digits and '-', starting with a letter or digit`,
    );
  }
}

/**
 * Claims a name for a new run of this process and writes its first, empty record. A name that another run holds
 * gets a number: `demo`, `demo-2`, ….
 * @throws Error if the name is malformed or `nameAttempts` of its kind are taken
 */
export function openRun(wantedName: string): RunRecord {
  assertPlainName(wantedName);
  mkdirSync(runsDirectory, { recursive: true, mode: 0o755 });
  const creator = identifyProcess(process.pid);
  if (creator === undefined) throw new Error('cannot read /proc/self/stat: the lab needs /proc');
  for (let attempt = 1; attempt <= nameAttempts; attempt++) {
    const name = attempt === 1 ? wantedName : `${wantedName}-${attempt}`;
    const run = `${name}-${process.pid}`;
    if (!claimName(name, run)) continue;
    const record: RunRecord = {
      name,
      run,
      creator,
      token: `shoal-lab ${randomUUID()}`,
      kept: false,
      cgroup: '',
      namespaces: [],
    };
    mkdirSync(runDirectory(run), { recursive: true, mode: 0o755 });
    saveRecord(record);
    return record;
  }
  throw new Error(
    `lab name '${wantedName}' and ${nameAttempts - 1} numbered ones are taken: run 'node test/lab/lib/cleanup.ts --all'`,
  );
}

function claimPath(name: string): string {
  return join(runsDirectory, `${name}.name`);
}

function claimName(name: string, run: string): boolean {
  const path = claimPath(name);
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(path, run, { flag: 'wx' });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    // A process killed between the claim and its record leaves a claim that belongs to no run.
    const holder = readClaim(path);
    if (holder === undefined) continue;
    const pid = Number(holder.slice(holder.lastIndexOf('-') + 1));
    if (existsSync(runDirectory(holder)) || (pid > 0 && identifyProcess(pid) !== undefined)) return false;
    rmSync(path, { force: true });
  }
  return false;
}

/** Who holds a name; undefined if nobody does any more. */
function readClaim(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Writes the record so that a crash leaves either the old or the new one. */
export function saveRecord(record: RunRecord): void {
  const path = join(runDirectory(record.run), 'registry.json');
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(`${path}.new`, path);
}

/** Reads the record of a run; undefined if the directory holds none. */
export function loadRecord(run: string): RunRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(runDirectory(run), 'registry.json'), 'utf8')) as RunRecord;
  } catch {
    return undefined;
  }
}

/** Records of all runs on this machine, living and left over. */
export function listRuns(): RunRecord[] {
  if (!existsSync(runsDirectory)) return [];
  return readdirSync(runsDirectory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => loadRecord(entry.name))
    .filter((record) => record !== undefined);
}

/** Forgets a run: its directory and its claim on the name. Call it last, when all it lists is gone. */
export function closeRun(record: RunRecord): void {
  rmSync(runDirectory(record.run), { recursive: true, force: true });
  const path = claimPath(record.name);
  try {
    if (readFileSync(path, 'utf8') === record.run) unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
