/** A copy of what a simulation needs, in a directory of its own, to be broken on purpose. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { applyMutation, type Mutation } from './mutation.ts';

/** The repository that this file is part of. */
export const repository = resolve(import.meta.dirname, '../../..');
/** What runs in the copy, relative to the repository. */
export const entryPoint = 'test/sim/mutations/hunt.ts';
const importPattern = /(?:from|import)\s+'(\.[^']+)'/g;

/** The files that `entry` consists of: itself and all that it imports by a relative path, directly or not. */
export function importedFiles(entry: string): string[] {
  const found = new Set<string>();
  const waiting = [entry];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (found.has(file)) continue;
    found.add(file);
    const source = readFileSync(join(repository, file), 'utf8');
    for (const [, path] of source.matchAll(importPattern)) {
      if (path !== undefined) waiting.push(relative(repository, resolve(repository, dirname(file), path)));
    }
  }
  return [...found].sort();
}

/** The copy; gone when it is disposed of. */
export class Workspace implements Disposable {
  readonly directory: string;

  /** Copies the sources, with one bug, or with none. Throws if the mutation does not fit them. */
  constructor(mutation: Mutation | null) {
    const files = importedFiles(entryPoint);
    if (mutation !== null && !files.includes(mutation.file)) {
      throw new Error(`mutation ${mutation.name}: the simulation does not use ${mutation.file}`);
    }
    this.directory = mkdtempSync(join(tmpdir(), 'shoal-mutation-'));
    try {
      for (const file of files) this.#copy(file);
      writeFileSync(join(this.directory, 'package.json'), '{ "type": "module" }\n');
      symlinkSync(join(repository, 'node_modules'), join(this.directory, 'node_modules'));
      if (mutation !== null) this.#mutate(mutation);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #copy(file: string): void {
    const target = join(this.directory, file);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(repository, file), target);
  }

  #mutate(mutation: Mutation): void {
    const path = join(this.directory, mutation.file);
    writeFileSync(path, applyMutation(mutation, readFileSync(path, 'utf8')));
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
