/**
 * The agent's data folder: made, tried, and held by one agent at a time. Two agents on one store would both write
 * its log, and vote twice under one name.
 *
 * Who holds it is a file with the process id and when that process began (proc_pid_stat(5), field 22), since a
 * number alone may be another's by now. A killed agent's file is known by that and replaced.
 */
import fs from 'node:fs';
import path from 'node:path';

type Holder = { pid: number; startTime: string };

/** Times that a file in the way is looked at; each further one means that yet another agent was faster. */
const attempts = 4;

/**
 * Makes the folder if need be and takes it for this process until disposed. Throws an Error that names the folder
 * and the reason if it cannot be written to, or the other process if an agent holds it.
 */
export function holdDataDir(dataDir: string): Disposable {
  const file = path.join(dataDir, 'agent.pid');
  const draft = `${file}.${process.pid}`;
  const self: Holder = { pid: process.pid, startTime: startTimeOf(process.pid) ?? '' };
  try {
    makeFolder(dataDir);
    fs.writeFileSync(draft, JSON.stringify(self), { mode: 0o600 });
  } catch (error) {
    throw unusable(dataDir, error as Error);
  }
  try {
    take(dataDir, file, draft);
  } finally {
    fs.rmSync(draft, { force: true });
  }
  return { [Symbol.dispose]: () => fs.rmSync(file, { force: true }) };
}

/** `mkdir -p` step by step: Node's own never ends where the kernel refuses with ENOENT, as in /proc. */
function makeFolder(folder: string): void {
  if (fs.existsSync(folder)) return;
  makeFolder(path.dirname(folder));
  fs.mkdirSync(folder, { mode: 0o700 });
}

function unusable(dataDir: string, { message }: Error): Error {
  return new Error(
    `data folder ${dataDir} cannot be used: ${message}; make it writable, or name another with --data-dir`,
  );
}

/** Puts `draft`, with all that it says, in the place of `file`, unless a process that lives has been faster. */
function take(dataDir: string, file: string, draft: string): void {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    try {
      fs.linkSync(draft, file);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unusable(dataDir, error as Error);
    }
    const holder = readHolder(file);
    if (holder !== undefined && startTimeOf(holder.pid) === holder.startTime) {
      throw new Error(
        `data folder ${dataDir} is held by another agent, process ${holder.pid}: end that one, or name another folder with --data-dir`,
      );
    }
    clear(file, holder, `${draft}.old`);
  }
  throw new Error(`data folder ${dataDir}: other agents are starting on it at the same time`);
}

/** Takes a dead process's file away; one that somebody else has put there meanwhile goes back. */
function clear(file: string, judged: Holder | undefined, aside: string): void {
  try {
    fs.renameSync(file, aside);
    if (JSON.stringify(readHolder(aside)) !== JSON.stringify(judged)) fs.linkSync(aside, file);
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    fs.rmSync(aside, { force: true });
  }
}

/** What the file says; undefined if it is gone, or was never written whole. */
function readHolder(file: string): Holder | undefined {
  try {
    const { pid, startTime } = JSON.parse(fs.readFileSync(file, 'utf8')) as Partial<Holder>;
    return Number.isSafeInteger(pid) && typeof startTime === 'string'
      ? { pid: Number(pid), startTime }
      : undefined;
  } catch {
    return undefined;
  }
}

/** When a process began, in clock ticks since boot; undefined if there is none. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in parentheses, may hold spaces and parentheses itself.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
