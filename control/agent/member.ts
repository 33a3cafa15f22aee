/**
 * What an agent does while its node is a member of a cluster: follows the store and makes the data plane, the name
 * server, the L7 front end and the health checks as it says.
 *
 * One change at a time is taken from the watch stream; changes that arrive while one is applied are taken together.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Dataplane } from '../../dataplane/dataplane.ts';
import { removeLeftovers } from '../../dataplane/kernel/leftovers.ts';
import type { ClusterFacade } from '../cluster/types.ts';
import { HealthChecker } from '../health/checker.ts';
import { planChecks } from '../health/plan.ts';
import type { Cluster, Node } from '../store/objects.ts';
import { AppliedVersion } from './applied-version.ts';
import type { AgentConfig } from './config.ts';
import { desiredState } from './desired.ts';
import { FrontEnd } from './front-end.ts';
import { Resolvers } from './resolvers.ts';

/** Pause after a change that could not be applied, before it is tried again. */
const retry_ms = 1_000;

export type MemberOptions = {
  readonly config: AgentConfig;
  readonly cluster: ClusterFacade;
  readonly nodeId: string;
  readonly clusterId: string;
  readonly log: Logger;
  /** Addresses of the uplink now. */
  readonly uplinkAddresses: () => string[];
};

/** This node's part in the cluster. */
export class Member {
  readonly #options: MemberOptions;
  readonly #stopping = new AbortController();
  readonly #resolvers: Resolvers;
  readonly #frontEnd: FrontEnd;
  readonly #checker: HealthChecker;
  #dataplane: Dataplane | undefined;
  /** Why the data plane is not up, if it is not. */
  #problem = 'the data plane has not been set up yet';
  #appliedVersion = 0;
  readonly #remembered: AppliedVersion;
  /** What `#warnOfFailures` told last. */
  #warned: ReadonlySet<string> = new Set();
  readonly #waiters = new Set<() => void>();
  readonly #first = Promise.withResolvers<void>();
  readonly #running: Promise<void>;

  constructor(options: MemberOptions) {
    const { config, cluster, log } = options;
    this.#options = options;
    this.#remembered = new AppliedVersion(config.dataDir, options.clusterId);
    this.#resolvers = new Resolvers({
      address: config.dns.address,
      upstreams: config.dns.upstreams,
      log: log.child({ part: 'dns' }),
    });
    this.#frontEnd = new FrontEnd(config.nodeName, log.child({ part: 'l7' }));
    this.#checker = new HealthChecker({
      signal: this.#stopping.signal,
      onReports: async (reports) => {
        await cluster.propose({ type: 'endpoint.health', reports });
      },
    });
    // Only who has just entered waits for it.
    this.#first.promise.catch(() => {});
    this.#running = this.#run();
  }

  /** Settles with the first attempt to make this node as the store says; rejects with the reason if it failed. */
  get firstAttempt(): Promise<void> {
    return this.#first.promise;
  }

  /** The data plane, or an error that says why there is none. */
  get dataplane(): Dataplane {
    if (this.#dataplane === undefined) throw new Error(this.#problem);
    return this.#dataplane;
  }

  /** What should work on this node and does not, for people. */
  get problems(): string[] {
    const namespaces = this.#dataplane?.attachmentFailures ?? [];
    return [
      ...this.#resolvers.problems.map((text) => `names: ${text}`),
      ...this.#frontEnd.problems.map((text) => `front end: ${text}`),
      ...namespaces.map(({ attachment, reason }) => `namespace ${attachment.netns}: ${reason}`),
    ];
  }

  /** What `shoal status` shows of this node's parts. */
  summary(): object {
    const counters = {
      dns: this.#resolvers.counters(),
      l7: this.#frontEnd.counters(),
      health: { ...this.#checker.counters },
    };
    const { problems } = this;
    if (this.#dataplane === undefined) return { state: this.#problem, problems, counters };
    return {
      state: 'up',
      problems,
      appliedVersion: this.#appliedVersion,
      ...this.#dataplane.summary(),
      counters,
    };
  }

  /** Resolves once this node has applied `version`. Rejects with `signal`'s reason when it aborts first. */
  async applied(version: number, signal: AbortSignal): Promise<void> {
    while (this.#appliedVersion < version) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiters.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiters.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
  }

  /** Stops. The data plane goes on forwarding, or is taken away with `remove`. */
  async stop(options: { remove: boolean }): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#checker.close();
    await Promise.all([this.#resolvers.close(), this.#frontEnd.close()]);
    if (!options.remove) {
      this.#dataplane?.close();
      return;
    }
    const { bpfDir, dataDir } = this.#options.config;
    if (this.#dataplane === undefined) await removeLeftovers(bpfDir, dataDir);
    else await this.#dataplane.remove();
    this.#remembered.forget();
  }

  async #run(): Promise<void> {
    const { cluster, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        for await (const event of cluster.watch(0, { signal })) {
          // What came while the last change was applied is in the state already.
          if (event.index <= this.#appliedVersion) continue;
          if (event.type === 'changes' && event.changes.length === 0 && this.#appliedVersion > 0) {
            this.#markApplied(event.index);
          } else {
            await this.#apply(cluster.state.version);
          }
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#problem = (error as Error).message;
        this.#first.reject(error);
        log.error({ err: error }, `the state could not be applied: it is tried again in ${retry_ms} ms`);
        await sleep(retry_ms, undefined, { signal }).catch(() => {});
      }
    }
  }

  async #apply(version: number): Promise<void> {
    const { cluster, nodeId, log } = this.#options;
    const { state } = cluster;
    const clusterObject = state.cluster();
    const self = state.get('node', nodeId);
    if (clusterObject === undefined || self === undefined) return;
    // The log may still be replayed: the kernel must not be taken back to an older state.
    if (version < this.#remembered.value) return;
    this.#dataplane ??= await this.#openDataplane(clusterObject, self);
    const desired = desiredState(state, nodeId);
    if (desired === undefined) return;
    const changes = await this.#dataplane.apply(desired);
    this.#resolvers.update({
      meshPool: clusterObject.meshPool,
      nodes: state.list('node'),
      services: state.list('service'),
      endpoints: state.list('endpoint'),
    });
    await this.#resolvers.reconcile(state.list('attachment').filter((one) => one.nodeId === nodeId));
    await this.#frontEnd.update(state, nodeId, clusterObject);
    this.#checker.setPlan(
      planChecks({
        nodeId,
        nodes: state.list('node'),
        services: state.list('service'),
        endpoints: state.list('endpoint'),
      }),
    );
    this.#markApplied(version);
    log.debug({ version, changes }, 'state applied');
    this.#warnOfFailures(this.#dataplane);
    this.#reportAddresses(self);
  }

  /** Each failure is told once, not with every change of the store. */
  #warnOfFailures(dataplane: Dataplane): void {
    const failures = new Map(
      dataplane.attachmentFailures.map(({ attachment, reason }) => [
        `namespace ${attachment.netns} could not be attached: ${reason}`,
        attachment.netns,
      ]),
    );
    for (const [text, netns] of failures)
      if (!this.#warned.has(text)) this.#options.log.warn({ netns }, text);
    this.#warned = new Set(failures.keys());
  }

  #markApplied(version: number): void {
    this.#appliedVersion = version;
    this.#remembered.value = version;
    this.#options.cluster.reportApplied(version);
    this.#first.resolve();
    for (const wake of [...this.#waiters]) wake();
  }

  async #openDataplane(cluster: Cluster, self: Node): Promise<Dataplane> {
    const { config, log } = this.#options;
    const opened = Dataplane.open({
      pinDir: config.bpfDir,
      dataDir: config.dataDir,
      uplink: config.uplink,
      xdpMode: config.xdpMode,
      cluster,
      self: { slot: self.slot, vtep: self.advertiseAddress, meshAddress: self.meshAddress },
      onWarning: (message) => log.warn(message),
    });
    const dataplane = await opened.catch((cause: Error) => {
      const wayOut = config.xdpMode === 'native' ? '; --xdp-mode auto does without the driver' : '';
      throw new Error(`the data plane cannot be set up on ${config.uplink}: ${cause.message}${wayOut}`, {
        cause,
      });
    });
    log.info(
      { uplink: config.uplink, ...(dataplane.adopted ? { adopted: true } : {}) },
      dataplane.adopted ? 'data plane taken over, without a break' : 'data plane set up',
    );
    return dataplane;
  }

  /** Tells the cluster when the uplink's addresses are not those that it knows. */
  #reportAddresses(self: Node): void {
    const { cluster, log } = this.#options;
    const addresses = this.#options.uplinkAddresses();
    if (addresses.length === 0 || addresses.join() === self.addresses.join()) return;
    cluster.propose({ type: 'node.update', id: self.id, patch: { addresses } }).catch((error: unknown) => {
      log.warn({ err: error }, 'the addresses of the uplink could not be reported');
    });
  }
}
