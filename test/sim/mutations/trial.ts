/** Trying one mutation: a copy of the sources, the bug in it, and a process that hunts for a seed that shows it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { HuntLine } from './hunt.ts';
import type { Mutation } from './mutation.ts';
import { entryPoint, Workspace } from './workspace.ts';

/** How long one mutation may be hunted. */
export interface TrialLimits {
  readonly seconds: number;
  readonly seeds: number;
}

/** What came of it. */
export type Verdict =
  | { readonly kind: 'caught'; readonly seed: number; readonly invariant: string; readonly message: string }
  /** No seed showed anything. */
  | { readonly kind: 'missed'; readonly seeds: number }
  /** The run ended in a way that says nothing about guarantees: a crash of the program, or a hang. */
  | { readonly kind: 'broken'; readonly message: string };

/** A verdict and the time that it took. */
export interface TrialResult {
  readonly verdict: Verdict;
  readonly duration_ms: number;
}

/** Time beyond its own limit after which a hunt is taken to hang. */
const GRACE_MS = 20_000;
/** Characters of a program's last words that are kept. */
const MAX_COMPLAINT_LENGTH = 2_000;

/** Hunts for a bug (null: in the sources as they are). `signal` ends it; it then throws its reason. */
export async function tryMutation(
  mutation: Mutation | null,
  limits: TrialLimits,
  signal: AbortSignal,
): Promise<TrialResult> {
  const started = performance.now();
  using workspace = new Workspace(mutation);
  const script = join(workspace.directory, entryPoint);
  const args = [script, String(limits.seconds), String(limits.seeds)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  const timer = setTimeout(kill, limits.seconds * 1000 + GRACE_MS);
  signal.addEventListener('abort', kill);
  try {
    const verdict = await verdictOf(child);
    signal.throwIfAborted();
    return { verdict, duration_ms: performance.now() - started };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', kill);
    kill();
  }
}

async function verdictOf(child: ChildProcess): Promise<Verdict> {
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  let complaint = '';
  child.stderr?.on('data', (chunk) => {
    complaint = `${complaint}${chunk}`.slice(-MAX_COMPLAINT_LENGTH);
  });
  let verdict: Verdict | null = null;
  let seed = 0;
  if (child.stdout !== null) {
    for await (const text of createInterface({ input: child.stdout })) {
      const line: HuntLine = JSON.parse(text);
      if (line.what === 'begin') seed = line.seed;
      else verdict = verdictFrom(line);
    }
  }
  const end = await exited;
  return verdict ?? { kind: 'broken', message: `seed ${seed} ended with ${end}. ${complaint}` };
}

function verdictFrom(line: Exclude<HuntLine, { what: 'begin' }>): Verdict {
  if (line.what === 'clean') return { kind: 'missed', seeds: line.seeds };
  const { seed, invariant, message } = line;
  if (invariant === null) return { kind: 'broken', message };
  return { kind: 'caught', seed, invariant, message };
}
