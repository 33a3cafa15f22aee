/**
 * The agent: the one long-running process of a node. This file puts its parts together; `Member` is what it does
 * while the node belongs to a cluster.
 */
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { buildApp } from '../api/app.ts';
import type { AgentServices, DataplaneServices } from '../api/services.ts';
import { listenOnSocket } from '../api/socket.ts';
import { Cluster } from '../cluster/cluster.ts';
import type { ClusterFacade } from '../cluster/types.ts';
import { ShoalError, shoalError } from '../errors.ts';
import { attach, detach } from './attachments.ts';
import type { AgentConfig } from './config.ts';
import { holdDataDir } from './data-dir.ts';
import { makeLog } from './log.ts';
import { Member } from './member.ts';
import { checkEntry, checkMachine } from './preflight.ts';

/** Longest wait, when a node enters, for its data plane; a slower one is shown by `shoal status`. */
const entryTime_ms = 20_000;
/** Longest time that an agent takes to end; who waits for it kills it not much later. */
const closing_ms = 1_800;

/** Runs the agent until the process is told to end by SIGTERM or SIGINT. The data plane goes on without it. */
export async function runAgent(config: AgentConfig): Promise<void> {
  using _held = holdDataDir(config.dataDir);
  await checkMachine(config);
  const log = makeLog(config.log);
  const cluster = await Cluster.open({
    dataDir: config.dataDir,
    nodeName: config.nodeName,
    advertiseAddress: config.advertiseAddress,
    controlPort: config.controlPort,
    log: log.child({ part: 'cluster' }),
    raft: config.timing,
    onFatal: (error) => {
      log.fatal(
        { err: error },
        'the store cannot be written any more: the agent ends, the data plane goes on',
      );
      process.exit(1);
    },
  });
  const agent = new Agent(config, cluster, log);
  try {
    await agent.start();
    await untilToldToEnd(log);
  } finally {
    endInTime(log);
    await agent.stop();
    await cluster.close();
  }
}

function untilToldToEnd(log: Logger): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        log.info({ signal }, 'the agent ends; the data plane goes on forwarding');
        resolve();
      });
    }
  });
}

/** Bounds the time that closing takes: what is cut off by it is what a killed agent leaves, too. */
function endInTime(log: Logger): void {
  const late = () => {
    log.warn(`not everything was closed within ${closing_ms} ms`);
    process.exit();
  };
  setTimeout(late, closing_ms).unref();
}

/** The parts of one running agent. */
class Agent {
  readonly #config: AgentConfig;
  readonly #cluster: ClusterFacade;
  readonly #log: Logger;
  readonly #apps: { close(): Promise<unknown> }[] = [];
  #member: Member | undefined;

  constructor(config: AgentConfig, cluster: ClusterFacade, log: Logger) {
    this.#config = config;
    this.#cluster = cluster;
    this.#log = log;
  }

  async start(): Promise<void> {
    const services = this.#services();
    const log = this.#log.child({ part: 'api' });
    const remote = await buildApp({ services, surface: 'remote', log });
    this.#apps.push(remote);
    this.#cluster.setHttpHandler((request, response) => remote.routing(request, response));
    const local = await buildApp({ services, surface: 'local', log });
    this.#apps.push(local);
    const { socketPath, socketGroup } = this.#config;
    await listenOnSocket(local, {
      path: socketPath,
      ...(socketGroup === undefined ? {} : { group: socketGroup }),
    });
    // Not before the socket is ours: an agent that must give way to another leaves the kernel alone.
    this.#enter();
    this.#log.info({ socket: socketPath, membership: this.#cluster.membership.state }, 'agent ready');
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#apps.map((app) => app.close()), this.#member?.stop({ remove: false })]);
  }

  /** Takes up the membership, if there is one. */
  #enter(): void {
    const { membership } = this.#cluster;
    if (membership.state !== 'member' || this.#member !== undefined) return;
    this.#member = new Member({
      config: this.#config,
      cluster: this.#cluster,
      nodeId: membership.nodeId,
      clusterId: membership.clusterId,
      log: this.#log,
      uplinkAddresses: () => uplinkAddresses(this.#config.uplink),
    });
  }

  /** Enters a cluster by `step`, and leaves it again if this node cannot do its part: all of it or nothing. */
  async #enterBy(step: () => Promise<void>): Promise<void> {
    if (this.#cluster.membership.state === 'none') await checkEntry(this.#config).catch(cannotTakePart);
    await step();
    this.#enter();
    const late = sleep(entryTime_ms, undefined, { ref: false });
    try {
      await Promise.race([this.#member?.firstAttempt, late]);
    } catch (error) {
      await this.#leave({ force: true });
      cannotTakePart(error);
    }
  }

  async #leave(options: { force?: boolean } | undefined): Promise<void> {
    await this.#cluster.leave(options);
    const member = this.#member;
    this.#member = undefined;
    await member?.stop({ remove: true });
  }

  #requireMember(): { member: Member; nodeId: string } {
    const { membership } = this.#cluster;
    if (this.#member === undefined || membership.state !== 'member') throw shoalError('NOT_INITIALISED');
    return { member: this.#member, nodeId: membership.nodeId };
  }

  #services(): AgentServices {
    const cluster = this.#cluster;
    return {
      cluster: this.#clusterServices(),
      dataplane: this.#dataplaneServices(),
      uplinkAddresses: () => uplinkAddresses(this.#config.uplink),
      attach: (request) => {
        const { member, nodeId } = this.#requireMember();
        return attach(cluster, member, nodeId, request);
      },
      detach: (id) => detach(cluster, this.#requireMember().member, id),
    };
  }

  /** The cluster facade, with what this node must do besides when it enters or leaves. */
  #clusterServices(): AgentServices['cluster'] {
    const cluster = this.#cluster;
    return {
      get membership() {
        return cluster.membership;
      },
      get state() {
        return cluster.state;
      },
      init: (options) => this.#enterBy(() => cluster.init(options)),
      join: (options) => this.#enterBy(() => cluster.join(options)),
      leave: (options) => this.#leave(options),
      propose: (command, options) => cluster.propose(command, options),
      leader: () => cluster.leader(),
      issueJoinToken: (role) => cluster.issueJoinToken(role),
      waitApplied: (version, options) => cluster.waitApplied(version, options),
    };
  }

  #dataplaneServices(): DataplaneServices {
    const dataplane = () => this.#requireMember().member.dataplane;
    const nodeName = (slot: number): string =>
      this.#cluster.state.list('node').find((node) => node.slot === slot)?.name ?? `slot ${slot}`;
    return {
      summary: async () => this.#member?.summary() ?? { state: 'none: this node is not part of a cluster' },
      drops: async () => dataplane().drops(),
      flows: async (limit) => {
        const { flows, ...counts } = dataplane().flows(limit);
        return { ...counts, flows: flows.map(({ viaNode, ...row }) => ({ ...row, via: nodeName(viaNode) })) };
      },
    };
  }
}

/** Says why this node is in no cluster after all. */
function cannotTakePart(error: unknown): never {
  const { message } = error as Error;
  throw new ShoalError('INTERNAL', undefined, {
    message: `this node cannot take part, and nothing was changed: ${message}`,
    cause: error,
  });
}

/** IPv4 addresses of an interface now. */
function uplinkAddresses(name: string): string[] {
  return (networkInterfaces()[name] ?? [])
    .filter(({ family }) => family === 'IPv4')
    .map(({ address }) => address);
}
