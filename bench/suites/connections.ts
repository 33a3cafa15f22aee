/**
 * Suite `connections`: new connections, requests and bytes a second from a client over an ingress node to an
 * endpoint on another node. Each repetition of each contestant has a lab of its own, so that none meets what another
 * left behind (connection tracking, TIME_WAIT, XDP programs).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../../test/lab/lib/host.ts';
import { edgeLab } from '../../test/lab/lib/topology.ts';
import {
  type BenchLab,
  type ContestantKind,
  missingCommands,
  type Target,
} from '../contestants/contestant.ts';
import { direct } from '../contestants/direct.ts';
import { haproxy } from '../contestants/haproxy.ts';
import { nftables } from '../contestants/nftables.ts';
import { shoal } from '../contestants/shoal.ts';
import { planCpus } from '../cpus.ts';
import { endpointBody, endpointCommands, startEndpoint } from '../endpoint.ts';
import { bulk } from '../measures/bulk.ts';
import { keepAlive } from '../measures/keep-alive.ts';
import type { Measure, Sample } from '../measures/measure.ts';
import { newConnections } from '../measures/new-connections.ts';
import { describeMachine, type Entry, type MeasureResult, type SuiteResult } from '../results.ts';
import { rotate, summarise } from '../statistics.ts';
import type { Suite, SuiteOptions } from './suite.ts';

const kinds: readonly ContestantKind[] = [direct, shoal, nftables, haproxy];
const measures: readonly Measure[] = [newConnections, keepAlive, bulk];
const baseline = direct.name;
const firstAnswerTimeout_ms = 10_000;

/** What many short connections need of a host: ports, and room for those that wait. */
const hostSettings: Readonly<Record<string, string>> = {
  'net/ipv4/ip_local_port_range': '1024 65535',
  'net/core/somaxconn': '16384',
  'net/ipv4/tcp_max_syn_backlog': '16384',
};

async function tune(host: Host): Promise<void> {
  for (const [key, value] of Object.entries(hostSettings)) {
    await host.run('sh', ['-c', 'echo "$1" > "/proc/sys/$0"', key, value]);
  }
}

/** The first answer, before anything is measured: it has to be the endpoint's. */
async function waitForAnswer(client: Host, { http }: Target): Promise<void> {
  const url = `http://${http.address}:${http.port}/`;
  const deadline = performance.now() + firstAnswerTimeout_ms;
  for (;;) {
    const { stdout, code } = await client.exec('curl', ['-sS', '--max-time', '2', url]);
    if (code === 0 && stdout === endpointBody) return;
    if (performance.now() > deadline) {
      throw new Error(
        `no answer '${endpointBody}' from ${url}: curl exit code ${code}, '${stdout.slice(0, 200)}'`,
      );
    }
    await sleep(50);
  }
}

type Samples = Map<Measure, Map<string, Sample[]>>;

async function runOnce(kind: ContestantKind, options: SuiteOptions, samples: Samples): Promise<void> {
  await using edge = await edgeLab({ name: `bench-${kind.name}`, nodes: 2 });
  const cpus = planCpus();
  const lab: BenchLab = { edge, client: edge.client, ingress: edge.node(1), endpoint: edge.node(2), cpus };
  for (const host of [lab.client, lab.ingress, lab.endpoint]) await tune(host);
  await startEndpoint(lab.endpoint, cpus.endpoint);
  const contestant = kind.create();
  try {
    await contestant.setUp(lab);
    const target = contestant.target();
    await waitForAnswer(lab.client, target);
    for (const measure of measures) {
      const sample = await measure.run(lab, target, options.duration_s);
      options.progress(`  ${measure.title}: ${sample.value.toFixed(measure.digits)} ${measure.unit}`);
      const ofMeasure = samples.get(measure) ?? new Map<string, Sample[]>();
      samples.set(measure, ofMeasure);
      ofMeasure.set(kind.name, [...(ofMeasure.get(kind.name) ?? []), sample]);
    }
  } finally {
    await contestant.tearDown();
  }
}

function resultOf(measure: Measure, samples: ReadonlyMap<string, Sample[]>): MeasureResult {
  const { name, title, unit, digits } = measure;
  const reference = samples.get(baseline);
  const ceiling =
    reference === undefined ? undefined : summarise(reference.map((sample) => sample.value)).median;
  const entries: Record<string, Entry> = {};
  for (const [contestant, all] of samples) {
    const summary = summarise(all.map((sample) => sample.value));
    const errors = all.reduce((sum, sample) => sum + sample.errors, 0);
    const ratio = ceiling === undefined ? {} : { ratio: summary.median / ceiling };
    entries[contestant] = { ...summary, ...ratio, errors };
  }
  return { name, title, unit, digits, entries };
}

async function run(options: SuiteOptions): Promise<SuiteResult> {
  const tools = missingCommands([...endpointCommands, ...measures.flatMap((measure) => measure.commands)]);
  if (tools.length > 0) {
    throw new Error(`not installed, and nothing can be measured without: ${[...new Set(tools)].join(', ')}`);
  }
  const wanted = kinds.filter(({ name }) => options.only.length === 0 || options.only.includes(name));
  const missing = wanted
    .map(({ name, commands }) => ({ name, commands: missingCommands(commands) }))
    .filter(({ commands }) => commands.length > 0);
  const runnable = wanted.filter(({ name }) => !missing.some((one) => one.name === name));
  const samples: Samples = new Map();
  const failures: { contestant: string; message: string }[] = [];
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    for (const kind of rotate(runnable, repetition)) {
      // One that failed once would only fail again, and hold the others up.
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
    suite: connections.name,
    about: connections.about,
    date: new Date().toISOString(),
    machine: describeMachine(),
    repetitions: options.repetitions,
    duration_s: options.duration_s,
    baseline,
    contestants: runnable.map(({ name, about }) => ({ name, about })),
    measures: measures.map((measure) => resultOf(measure, samples.get(measure) ?? new Map())),
    missing,
    failures,
  };
}

export const connections: Suite = {
  name: 'connections',
  about: 'client -> ingress node -> endpoint on another node',
  contestants: kinds.map(({ name }) => name),
  run,
};
