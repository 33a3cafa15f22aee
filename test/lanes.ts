/** The lanes of tests: which files each runs, and how. */
import { globSync } from 'node:fs';

/** A set of test files that run in the same way. */
export interface Lane {
  readonly name: string;
  /** What it is, for the heading. */
  readonly about: string;
  readonly patterns: readonly string[];
  /** Files among `patterns` that belong to another lane. */
  readonly except?: readonly string[];
  /** Files run at the same time. */
  readonly jobs: number;
  /** Of one file. */
  readonly timeout_s: number;
  readonly needsRoot: boolean;
}

/** Tests of the workspace packages that need neither root nor a kernel. */
const purePackageTests = ['dataplane/*/test/unit/**/*.test.ts', 'dataplane/*/test/**/codec*.test.ts'];

export const lanes: readonly Lane[] = [
  {
    name: 'unit',
    about: 'pure parts, nothing but memory and temporary files',
    patterns: ['test/unit/**/*.test.ts', ...purePackageTests],
    jobs: 2,
    timeout_s: 120,
    needsRoot: false,
  },
  {
    name: 'kernel',
    about: 'eBPF programs and netlink against this kernel',
    patterns: ['test/kernel/**/*.test.ts', 'dataplane/*/test/**/*.test.ts'],
    except: purePackageTests,
    jobs: 1,
    timeout_s: 180,
    needsRoot: true,
  },
  {
    name: 'lab',
    about: 'whole agents in network namespaces',
    patterns: ['test/lab/**/*.test.ts'],
    jobs: 1,
    timeout_s: 300,
    needsRoot: true,
  },
  {
    name: 'sim',
    about: 'clusters simulated with seeds',
    patterns: ['test/sim/**/*.test.ts'],
    jobs: 2,
    timeout_s: 300,
    needsRoot: false,
  },
];

/** The files of a lane, sorted, relative to the working directory. */
export function filesOf(lane: Lane): string[] {
  const excepted = new Set(globSync([...(lane.except ?? [])]));
  return globSync([...lane.patterns])
    .filter((file) => !excepted.has(file))
    .sort();
}

/** Test files that no lane would run: each is a mistake. */
export function strayFiles(): string[] {
  const known = new Set(lanes.flatMap(filesOf));
  return globSync([
    'test/**/*.test.ts',
    'dataplane/*/test/**/*.test.ts',
    'control/**/*.test.ts',
    'bench/**/*.test.ts',
  ])
    .filter((file) => !known.has(file))
    .sort();
}
