/**
 * Suite `dns`: queries a second of shoal's name server beside dnsmasq, for local names and for those of an upstream
 * server. Each repetition of each contestant has a host of its own; everything is on its loopback.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../../test/lab/lib/host.ts';
import { Lab } from '../../test/lab/lib/lab.ts';
import type { LabProcess } from '../../test/lab/lib/process.ts';
import { missingCommands } from '../contestants/contestant.ts';
import { planCpus } from '../cpus.ts';
import { dnsmasq, type NameServerKind, shoal, startUpstream, upstreamCommands } from '../dns/contestants.ts';
import { runDnsperf } from '../dns/dnsperf.ts';
import { type NameFiles, ports, type Questions, writeNames } from '../dns/names.ts';
import type { Sample } from '../measures/measure.ts';
import { describeMachine, type Entry, type MeasureResult, type SuiteResult } from '../results.ts';
import { rotate, summarise } from '../statistics.ts';
import type { Suite, SuiteOptions } from './suite.ts';

const kinds: readonly NameServerKind[] = [dnsmasq, shoal];
const baseline = dnsmasq.name;
const toolCommands = ['dnsperf', 'dig', 'taskset', ...upstreamCommands];
const firstAnswerTimeout_ms = 10_000;

const measures = [
  { name: 'localQueries', title: 'local', questions: 'local' },
  { name: 'tasksQueries', title: 'tasks', questions: 'tasks' },
  { name: 'forwardedQueries', title: 'forwarded', questions: 'forwarded' },
  { name: 'keptQueries', title: 'forwarded, kept', questions: 'kept' },
] as const;

/** Measure name, contestant name, samples. */
type Samples = Map<string, Map<string, Sample[]>>;

/** Before anything is measured, the answer has to be right. */
async function waitForAnswer(host: Host, server: LabProcess, port: number, { sample }: Questions) {
  const args = ['@127.0.0.1', '-p', String(port), '+tries=1', '+timeout=1', '+short', sample.name];
  const deadline = performance.now() + firstAnswerTimeout_ms;
  for (;;) {
    const { stdout } = await host.exec('dig', args);
    const addresses = stdout.trim().split('\n').toSorted();
    if (addresses.join() === sample.addresses.toSorted().join()) return;
    if (server.ending !== undefined) throw server.failure('ended at its start');
    if (performance.now() > deadline) {
      throw server.failure(`answers '${stdout.trim()}' for ${sample.name}, not ${sample.addresses.join()}`);
    }
    await sleep(50);
  }
}

async function measureAll(host: Host, kind: NameServerKind, files: NameFiles, options: SuiteOptions) {
  const cpus = planCpus();
  // The server that is measured has its CPU to itself; what it asks shares another with the generator, if need be.
  const upstreamCpus = cpus.ingress.filter((cpu) => !cpus.endpoint.includes(cpu));
  const upstream = startUpstream(host, files, upstreamCpus.length > 0 ? upstreamCpus : cpus.endpoint);
  await waitForAnswer(host, upstream, ports.upstream, files.questions.forwarded);
  const server = kind.start(host, files, cpus.endpoint);
  const found = new Map<string, Sample>();
  for (const { name, title, questions } of measures) {
    const asked = files.questions[questions];
    await waitForAnswer(host, server, ports.server, asked);
    const sample = await runDnsperf(host, cpus.client, asked.path, options.duration_s);
    options.progress(`  ${title}: ${sample.value.toFixed(0)} 1/s`);
    found.set(name, sample);
  }
  await server.stop();
  await upstream.stop();
  return found;
}

async function runOnce(kind: NameServerKind, options: SuiteOptions, samples: Samples): Promise<void> {
  await using lab = await Lab.create({ name: `bench-dns-${kind.name}` });
  const host = await lab.addHost('names');
  const found = await measureAll(host, kind, writeNames(host), options);
  for (const [measure, sample] of found) {
    const ofMeasure = samples.get(measure) ?? new Map<string, Sample[]>();
    samples.set(measure, ofMeasure);
    ofMeasure.set(kind.name, [...(ofMeasure.get(kind.name) ?? []), sample]);
  }
}

function resultOf(measure: (typeof measures)[number], samples: Samples): MeasureResult {
  const all = samples.get(measure.name) ?? new Map<string, Sample[]>();
  const values = (of: readonly Sample[]): number[] => of.map((sample) => sample.value);
  const reference = all.get(baseline);
  const unit = reference === undefined ? undefined : summarise(values(reference)).median;
  const entries: Record<string, Entry> = {};
  for (const [contestant, of] of all) {
    const summary = summarise(values(of));
    const ratio = unit === undefined ? {} : { ratio: summary.median / unit };
    entries[contestant] = { ...summary, ...ratio, errors: of.reduce((sum, { errors }) => sum + errors, 0) };
  }
  return { name: measure.name, title: measure.title, unit: '1/s', digits: 0, entries };
}

async function run(options: SuiteOptions): Promise<SuiteResult> {
  const tools = missingCommands(toolCommands);
  if (tools.length > 0) {
    throw new Error(`not installed, and nothing can be measured without: ${[...new Set(tools)].join(', ')}`);
  }
  const wanted = kinds.filter(({ name }) => options.only.length === 0 || options.only.includes(name));
  const samples: Samples = new Map();
  const failures: { contestant: string; message: string }[] = [];
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    for (const kind of rotate(wanted, repetition)) {
      // One that failed once would only fail again, and hold the other up.
      if (failures.some(({ contestant }) => contestant === kind.name)) continue;
      options.progress(`repetition ${repetition + 1} of ${options.repetitions}: ${kind.name}`);
      try {
        await runOnce(kind, options, samples);
      } catch (error) {
        failures.push({ contestant: kind.name, message: (error as Error).message });
        options.progress(`  failed: ${(error as Error).message}`);
      }
    }
  }
  return {
    suite: dns.name,
    about: dns.about,
    date: new Date().toISOString(),
    machine: describeMachine(),
    repetitions: options.repetitions,
    duration_s: options.duration_s,
    baseline,
    contestants: wanted.map(({ name, about }) => ({ name, about })),
    measures: measures.map((measure) => resultOf(measure, samples)),
    missing: [],
    failures,
  };
}

export const dns: Suite = {
  name: 'dns',
  about: 'queries a second of one name server on one CPU, by dnsperf over UDP',
  contestants: kinds.map(({ name }) => name),
  run,
};
