/**
 * The cluster, as the rest of the agent uses it.
 *
 *   bootstrap.ts      making a cluster, entering one            membership-file.ts  what a restart resumes from
 *   member.ts         all that runs while a node is a member    directory.ts        who is where, and who may come in
 *   manager.ts        Raft on a manager                         follower.ts         the store on a worker
 *   voters.ts         Raft's membership follows the store       liveness.ts         heartbeats: who is up
 *   leader-calls.ts   calls that find the leader                methods.ts          the answers to them
 *   control-port.ts   the one port between nodes                rpc/                calls on it
 */
import { randomUUID } from 'node:crypto';
import { ShoalError, shoalError } from '../errors.ts';
import { formatToken } from '../pki/token.ts';
import { type Command, parseCommand } from '../store/commands.ts';
import type { Role } from '../store/objects.ts';
import { State } from '../store/state.ts';
import { createCluster, enterCluster } from './bootstrap.ts';
import { probePort } from './control-port.ts';
import { defaultTiming } from './manager.ts';
import { Member } from './member.ts';
import { loadRecord, type MembershipRecord, wipe } from './membership-file.ts';
import type {
  ClusterFacade,
  ClusterOptions,
  HttpHandler,
  InitOptions,
  JoinOptions,
  LeaderInfo,
  Membership,
  NodeStatus,
  RaftStatus,
  WatchEvent,
} from './types.ts';

/** Time that a proposal is given unless told otherwise. */
const proposeTime_ms = 5_000;
/** Time in which a node that joined must have the store. */
const catchUp_ms = 30_000;
const leaveTime_ms = 10_000;

/** This node's place in a cluster, or outside of any. */
export class Cluster implements ClusterFacade {
  readonly state = new State();
  readonly #options: ClusterOptions;
  #member: Member | null = null;
  #http: HttpHandler | null = null;
  /** Entering or leaving, of which one is done at a time. */
  #changing = false;

  private constructor(options: ClusterOptions) {
    this.#options = options;
  }

  /** Opens the data folder, and resumes the membership that it holds. Throws STORAGE_FAILED, UNREACHABLE (the port). */
  static async open(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options);
    const record = loadRecord(options.dataDir);
    if (record !== null) await cluster.#start(record);
    return cluster;
  }

  get membership(): Membership {
    const member = this.#member;
    if (member === null) return { state: 'none' };
    const { nodeId, role, clusterId } = member.directory.self;
    return { state: 'member', nodeId, role, clusterId };
  }

  get isLeader(): boolean {
    return this.#member?.isLeader === true;
  }

  init(options: InitOptions): Promise<void> {
    return this.#enter(async () => {
      await this.#start(await createCluster(this.#options, options));
      await this.#led();
    });
  }

  join(options: JoinOptions): Promise<void> {
    return this.#enter(async () => {
      const record = await enterCluster(this.#options, options);
      await this.#start(record);
      await this.#caughtUp(record.nodeId);
    });
  }

  async leave(options: { force?: boolean } = {}): Promise<void> {
    await this.#alone(async () => {
      const member = this.#memberOrThrow();
      try {
        if (!this.#isSole(member)) await this.#remove(member, member.directory.self.nodeId);
      } catch (error) {
        const gone = error instanceof ShoalError && ['UNKNOWN_NODE', 'FORBIDDEN'].includes(error.code);
        if (!gone && options.force !== true) throw error;
        this.#options.log.warn({ err: error }, 'leaving without the cluster knowing of it');
      }
      this.#member = null;
      await member.close();
      wipe(this.#options.dataDir);
      this.state.clear();
    });
  }

  removeNode(nodeId: string): Promise<void> {
    return this.#remove(this.#memberOrThrow(), nodeId);
  }

  watch(fromVersion: number, options: { signal?: AbortSignal } = {}): AsyncGenerator<WatchEvent, void, void> {
    return this.state.watch(fromVersion, options.signal);
  }

  async propose(
    command: Command,
    options: { timeout_ms?: number; requestId?: string } = {},
  ): Promise<unknown> {
    const member = this.#memberOrThrow();
    const timeout_ms = options.timeout_ms ?? proposeTime_ms;
    const deadline_ms = performance.now() + timeout_ms;
    const requestId = options.requestId ?? randomUUID();
    const { index, result } = await member.propose(requestId, parseCommand(command), timeout_ms);
    if (!result.ok) throw new ShoalError(result.error.code, result.error.details);
    await member.reached(index, deadline_ms - performance.now());
    return result.value;
  }

  leader(): LeaderInfo | null {
    return this.#member?.leader() ?? null;
  }

  raftStatus(): RaftStatus {
    return this.#memberOrThrow().raftStatus();
  }

  issueJoinToken(role: Role): string {
    this.#memberOrThrow();
    const cluster = this.state.cluster();
    const secret = cluster?.joinSecrets[role];
    if (cluster === undefined || !secret)
      throw shoalError('FORBIDDEN', { reason: 'only managers have join tokens' });
    return formatToken(cluster.caCertificate, secret);
  }

  reportApplied(version: number): void {
    this.#member?.reportApplied(version);
  }

  nodeStatus(): Map<string, NodeStatus> {
    return this.isLeader ? (this.#member?.liveness.statuses() ?? new Map()) : new Map();
  }

  async remoteNodeStatus(): Promise<Map<string, NodeStatus>> {
    const answer = await this.#memberOrThrow().leaderCalls.call('statuses', null, proposeTime_ms);
    const now_ms = performance.now();
    const rows = answer as [string, { appliedVersion: number; age_ms: number }][];
    return new Map(
      rows.map(([id, { appliedVersion, age_ms }]) => [id, { appliedVersion, lastHeard_ms: now_ms - age_ms }]),
    );
  }

  async waitApplied(
    version: number,
    options: { timeout_ms: number },
  ): Promise<{ applied: string[]; missing: string[] }> {
    const params = { version, timeout_ms: options.timeout_ms };
    // The leader waits for as long as it is asked to; its answer gets time of its own on top.
    const answer = await this.#memberOrThrow().leaderCalls.call(
      'waitApplied',
      params,
      3 * options.timeout_ms + 1_000,
    );
    return answer as { applied: string[]; missing: string[] };
  }

  setHttpHandler(handler: HttpHandler): void {
    this.#http = handler;
  }

  async close(): Promise<void> {
    const member = this.#member;
    this.#member = null;
    await member?.close();
  }

  async #start(record: MembershipRecord): Promise<void> {
    const { dataDir, advertiseAddress, controlPort, log, raft } = this.#options;
    this.#member = await Member.open({
      dataDir,
      advertiseAddress,
      controlPort,
      state: this.state,
      record,
      log,
      timing: { ...defaultTiming, ...raft },
      http: () => this.#http,
      onFatal: (error) => this.#options.onFatal?.(error),
    });
  }

  /** One at a time; a failed attempt leaves nothing behind. */
  #enter(attempt: () => Promise<void>): Promise<void> {
    return this.#alone(async () => {
      const membership = this.membership;
      if (membership.state === 'member') {
        throw shoalError('ALREADY_INITIALISED', { reason: `cluster ${membership.clusterId}` });
      }
      await probePort(this.#options.advertiseAddress, this.#options.controlPort);
      try {
        await attempt();
      } catch (error) {
        // Once it runs, it is a member, and only slow to catch up.
        if (this.#member === null) wipe(this.#options.dataDir);
        throw error;
      }
    });
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#changing) throw shoalError('OVERLOADED', { what: 'changes of membership', limit: 1 });
    this.#changing = true;
    try {
      await work();
    } finally {
      this.#changing = false;
    }
  }

  #isSole(member: Member): boolean {
    const { nodeId } = member.directory.self;
    return (
      member.manager !== null && member.directory.managers().every((manager) => manager.nodeId === nodeId)
    );
  }

  async #remove(member: Member, nodeId: string): Promise<void> {
    await member.leaderCalls.call('remove', { nodeId, timeout_ms: leaveTime_ms }, leaveTime_ms);
  }

  async #led(): Promise<void> {
    const deadline_ms = performance.now() + catchUp_ms;
    while (!this.isLeader) {
      if (performance.now() > deadline_ms)
        throw shoalError('NO_LEADER', { reason: 'this node did not elect itself' });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async #caughtUp(nodeId: string): Promise<void> {
    const signal = AbortSignal.timeout(catchUp_ms);
    while (this.state.get('node', nodeId) === undefined) {
      if (signal.aborted)
        throw shoalError('TIMEOUT', { reason: 'joined, but the store has not arrived yet' });
      await this.state.journal.changed(signal);
    }
  }

  #memberOrThrow(): Member {
    if (this.#member === null) throw shoalError('NOT_INITIALISED');
    return this.#member;
  }
}
