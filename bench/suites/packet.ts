/**
 * Nanoseconds per packet of the program on the uplink, beside floors, by BPF_PROG_TEST_RUN: nothing is sent.
 *
 * Net figures are the gross ones less the floor `transmit` (the generator), so they are the program alone. The ratio is
 * of the net figure to the gross one of the floor `parse`, so that a table holds on any machine.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { type BpfMap, type Collection, CollectionSpec } from 'bpf-ts';
import { map_template, map_under_test, type packet_template } from '../../dataplane/generated/generator.ts';
import { Fixture } from '../../test/kernel/fixture.ts';
import { cases, clusterOf, type PacketCase, type Program } from '../packet/cases.ts';
import { describeMachine, type Entry, type MeasureResult, type SuiteResult } from '../results.ts';
import { rotate, summarise } from '../statistics.ts';
import type { Suite, SuiteOptions } from './suite.ts';

const generatorPath = path.join(import.meta.dirname, '../../build/bpf/generator.bpf.o');

/** Packets of one sample; enough that the timer's own cost vanishes. */
const packetsPerSecond = 2_000_000;
const shortBytes = 64;
const longBytes = 128;

/** The floors of the tables. */
const generatorFloor = 'transmit';
const parseFloor = 'parse';

/** Runs cases on one CPU, in the fixture's namespace. */
class PacketBench implements Disposable {
  readonly #fixture: Fixture;
  readonly #generator: Collection;
  readonly #template: BpfMap<number, packet_template>;
  readonly #underTest: BpfMap<number, number>;
  #cluster: PacketCase['state'] | undefined;

  private constructor(fixture: Fixture, generator: Collection) {
    this.#fixture = fixture;
    this.#generator = generator;
    this.#template = generator.map(map_template);
    this.#underTest = generator.map(map_under_test);
  }

  static async open(): Promise<PacketBench> {
    const fixture = await Fixture.open({ fullSize: true });
    try {
      fixture.apply(clusterOf(2, 2));
      return new PacketBench(fixture, CollectionSpec.fromFile(generatorPath).load());
    } catch (error) {
      fixture[Symbol.dispose]();
      throw error;
    }
  }

  /** Gross nanoseconds per packet. */
  measure(one: PacketCase, packets: number): number {
    if (one.state !== this.#cluster) {
      this.#fixture.apply((one.state ?? (() => clusterOf(2, 2)))());
      this.#cluster = one.state;
    }
    const bytes = new Uint8Array(longBytes);
    bytes.set(one.frame.subarray(0, longBytes));
    this.#template.update(0, {
      bytes,
      length_bytes: one.frame.length,
      written_bytes: one.frame.length >= longBytes ? longBytes : shortBytes,
      flow_mask: one.flows - 1,
      reserved: 0,
    });
    this.#underTest.updateFd(0, this.#program(one.program));
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex.
    const ctx = new DataView(new ArrayBuffer(24));
    ctx.setUint32(4, one.frame.length, true);
    ctx.setUint32(12, this.#fixture.ifindexes.uplink, true);
    const options = { data: one.frame, ctx: new Uint8Array(ctx.buffer), repeat: packets };
    const result = this.#fixture.inside(() => this.#generator.program('generate').testRun(options));
    const aborted = 0;
    if (result.retval === aborted) throw new Error(`${one.name}: the generator could not run the program`);
    return result.durationNs;
  }

  [Symbol.dispose](): void {
    this.#generator[Symbol.dispose]();
    this.#fixture[Symbol.dispose]();
  }

  #program(name: Program) {
    return name === 'uplink_xdp' ? this.#fixture.program(name) : this.#generator.program(name);
  }
}

async function run(options: SuiteOptions): Promise<SuiteResult> {
  execFileSync('taskset', ['--cpu-list', '--pid', '0', String(process.pid)], { stdio: 'ignore' });
  using bench = await PacketBench.open();
  const floors = cases.filter(({ program }) => program !== 'uplink_xdp');
  const wanted = cases.filter(
    (one) => floors.includes(one) || options.only.length === 0 || options.only.includes(one.name),
  );
  const packets = packetsPerSecond * options.duration_s;
  const gross = new Map<string, number[]>(wanted.map(({ name }) => [name, []]));
  for (const one of wanted) bench.measure(one, packets / 10);
  for (let repetition = 0; repetition < options.repetitions; repetition += 1) {
    options.progress(`repetition ${repetition + 1} of ${options.repetitions}`);
    for (const one of rotate(wanted, repetition)) gross.get(one.name)?.push(bench.measure(one, packets));
  }
  return {
    suite: packet.name,
    about: packet.about,
    date: new Date().toISOString(),
    machine: describeMachine(),
    repetitions: options.repetitions,
    duration_s: options.duration_s,
    baseline: `${parseFloor} (gross)`,
    contestants: wanted.map(({ name, about }) => ({ name, about })),
    measures: results(gross),
    missing: [],
    failures: [],
  };
}

/** Gross and net, both as ratios to the floor `parse`. */
function results(gross: ReadonlyMap<string, readonly number[]>): MeasureResult[] {
  const medianOf = (name: string): number => summarise(gross.get(name) ?? []).median;
  const unit = medianOf(parseFloor);
  const generator = medianOf(generatorFloor);
  const measure = (name: string, title: string, less: number): MeasureResult => {
    const entries: Record<string, Entry> = {};
    for (const [one, samples] of gross) {
      const summary = summarise(samples.map((sample) => sample - less));
      entries[one] = { ...summary, ratio: summary.median / unit, errors: 0 };
    }
    return { name, title, unit: 'ns', digits: 0, entries };
  };
  return [measure('gross', 'gross', 0), measure('net', 'net', generator)];
}

export const packet: Suite = {
  name: 'packet',
  about: 'nanoseconds per packet of the program on the uplink',
  contestants: cases.map(({ name }) => name),
  run,
};
