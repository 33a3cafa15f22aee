/** What a load gives: maps and programs, each with its own descriptor. */
import type { MapLayout } from './codec.ts';
import { BpfError } from './errors.ts';
import type { BpfMap } from './map.ts';
import type { BpfProgram } from './program.ts';

/** Loaded maps and programs. Disposing closes all their descriptors; links and pins keep what they need alive. */
export class Collection {
  /** By name; .rodata, .data and .bss by their section's name. */
  readonly maps: ReadonlyMap<string, BpfMap>;
  /** By function name; those with `autoload` false are not here. */
  readonly programs: ReadonlyMap<string, BpfProgram>;
  /** The verifier's log of each program, when `verifierLogLevel` asked for it. */
  readonly verifierLogs: ReadonlyMap<string, string>;

  constructor(
    maps: ReadonlyMap<string, BpfMap>,
    programs: ReadonlyMap<string, BpfProgram>,
    verifierLogs: ReadonlyMap<string, string>,
  ) {
    this.maps = maps;
    this.programs = programs;
    this.verifierLogs = verifierLogs;
  }

  /** A map by name, raw, or by a layout of generated code, typed. Throws `BpfError` when there is none. */
  map(name: string): BpfMap;
  map<K, V>(layout: MapLayout<K, V>): BpfMap<K, V>;
  map<K, V>(which: string | MapLayout<K, V>): BpfMap | BpfMap<K, V> {
    const name = typeof which === 'string' ? which : which.name;
    const map = this.maps.get(name);
    if (map === undefined) throw missing('map', name, this.maps);
    return typeof which === 'string' ? map : map.typed(which.key, which.value);
  }

  /** A program by name. Throws `BpfError` when there is none. */
  program(name: string): BpfProgram {
    const program = this.programs.get(name);
    if (program === undefined) throw missing('program', name, this.programs);
    return program;
  }

  /** Closes every descriptor. */
  [Symbol.dispose](): void {
    for (const map of this.maps.values()) map[Symbol.dispose]();
    for (const program of this.programs.values()) program[Symbol.dispose]();
  }
}

function missing(what: string, name: string, known: ReadonlyMap<string, unknown>): BpfError {
  const hint = `the collection has none of that name (it has: ${[...known.keys()].join(', ') || 'none'})`;
  return new BpfError({ operation: 'find', subject: `${what} '${name}'`, code: 'BAD_ARGUMENT', hint });
}
