/** Agents of a test: each has a loopback address and a data folder of its own, and all are closed at the end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Test } from 'tap';
import { Cluster } from '../../../control/cluster/cluster.ts';
import type { Timing } from '../../../control/cluster/types.ts';
import type { Role } from '../../../control/store/objects.ts';

/** Elections slow enough for two busy cores, quick enough for a test. */
export const timing: Timing = {
  tick_ms: 10,
  electionTicks: 40,
  heartbeatTicks: 6,
  agentHeartbeat_ms: 150,
  agentDown_ms: 2_500,
};
let nextPort = 21_000 + (process.pid % 1_400) * 8;

/** The agents of one test. */
export class Machines {
  readonly port = nextPort++;
  readonly #root = mkdtempSync(join(tmpdir(), 'shoal-cluster-'));
  readonly #open = new Set<Cluster>();
  readonly #timing: Timing;

  constructor(t: Test, more: Timing = {}) {
    this.#timing = { ...timing, ...more };
    t.teardown(async () => {
      await Promise.all([...this.#open].map((cluster) => cluster.close()));
      rmSync(this.#root, { recursive: true });
    });
  }

  address(number: number): string {
    return `127.0.0.${number}`;
  }

  target(number: number): string {
    return `${this.address(number)}:${this.port}`;
  }

  dataDir(number: number): string {
    return join(this.#root, `n${number}`);
  }

  /** Starts the agent of machine `number`; it resumes if it was a member. */
  async start(number: number): Promise<Cluster> {
    const cluster = await Cluster.open({
      dataDir: this.dataDir(number),
      nodeName: `n${number}`,
      advertiseAddress: this.address(number),
      controlPort: this.port,
      log: pino({ level: process.env.SHOAL_TEST_LOG ?? 'silent', base: { n: number } }),
      raft: this.#timing,
    });
    this.#open.add(cluster);
    return cluster;
  }

  async stop(cluster: Cluster): Promise<void> {
    this.#open.delete(cluster);
    await cluster.close();
  }

  /** A cluster of `managers` managers; machine 1 made it. */
  async managers(count: number): Promise<Cluster[]> {
    const first = await this.start(1);
    await first.init({ addresses: [this.address(1)] });
    const clusters = [first];
    for (let number = 2; number <= count; number += 1)
      clusters.push(await this.join(number, first, 'manager'));
    await until('all managers vote', () => clusters[0]?.raftStatus().voters?.length === count);
    return clusters;
  }

  /** Machine `number` joins by way of `through`. */
  async join(number: number, through: Cluster, role: Role, at = 1): Promise<Cluster> {
    const cluster = await this.start(number);
    await cluster.join({
      token: through.issueJoinToken(role),
      address: this.target(at),
      addresses: [this.address(number)],
    });
    return cluster;
  }
}

/** Waits for a condition; fails by its name when it does not come about in 20 s. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline_ms = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline_ms) throw new Error(`did not come about: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The id of the node that `cluster` is. */
export function nodeId(cluster: Cluster): string {
  const { membership } = cluster;
  if (membership.state === 'none') throw new Error('not a member');
  return membership.nodeId;
}
