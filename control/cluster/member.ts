/** A node inside a cluster: everything that runs between `init` or `join` and `leave`. */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { shoalError } from '../errors.ts';
import { loadIdentity } from '../pki/identity.ts';
import type { Outcome } from '../raft/pending.ts';
import type { Command } from '../store/commands.ts';
import type { State } from '../store/state.ts';
import { Admission } from './admission.ts';
import { ControlPort } from './control-port.ts';
import { Directory } from './directory.ts';
import { Follower } from './follower.ts';
import { LeaderCalls } from './leader-calls.ts';
import { Liveness } from './liveness.ts';
import { Manager } from './manager.ts';
import type { MembershipRecord } from './membership-file.ts';
import { MemberMethods } from './methods.ts';
import { RpcPool } from './rpc/pool.ts';
import type { HttpHandler, LeaderInfo, RaftStatus, Timing } from './types.ts';

export type MemberOptions = {
  dataDir: string;
  advertiseAddress: string;
  controlPort: number;
  state: State;
  record: MembershipRecord;
  log: Logger;
  timing: Required<Timing>;
  http: () => HttpHandler | null;
  onFatal: (error: Error) => void;
};

/** Heartbeats without an answer yet, at one time. */
const heartbeatsLimit = 3;

/** One node's membership at work. */
export class Member {
  readonly directory: Directory;
  readonly liveness: Liveness;
  readonly leaderCalls: LeaderCalls;
  readonly #options: MemberOptions;
  readonly #pool: RpcPool;
  readonly #methods: MemberMethods;
  readonly #closing = new AbortController();
  #manager: Manager | null = null;
  #follower: Follower | null = null;
  #port: ControlPort | null = null;
  #heartbeat: NodeJS.Timeout | null = null;
  #heartbeatsOut = 0;
  /** Leader as others say; a manager knows it from Raft. */
  #hint: string | null = null;
  #appliedVersion = 0;

  private constructor(options: MemberOptions) {
    const { state, record, log, timing } = options;
    this.#options = options;
    this.directory = new Directory(options.dataDir, state, record);
    this.#pool = new RpcPool(loadIdentity(options.dataDir), options.advertiseAddress);
    this.liveness = new Liveness({
      state,
      log,
      down_ms: timing.agentDown_ms,
      isLeader: () => this.isLeader,
      propose: (command) => this.propose(randomUUID(), command, timing.agentDown_ms),
      now_ms: () => performance.now(),
    });
    this.leaderCalls = new LeaderCalls({
      directory: this.directory,
      pool: this.#pool,
      leader: () => this.#leaderId(),
      hint: (nodeId) => {
        this.#hint = nodeId;
      },
      local: (method, params) => this.#methods.answer(method, params, null),
    });
    this.#methods = new MemberMethods({
      state,
      directory: this.directory,
      liveness: this.liveness,
      admission: new Admission({
        state,
        managers: () => this.directory.managers(),
        propose: (requestId, command) => this.#driverPropose(requestId, command),
      }),
      manager: () => this.#manager,
      leader: () => this.#leaderId(),
      leaderCalls: () => this.leaderCalls,
    });
  }

  /** Starts taking part. Throws STORAGE_FAILED or UNREACHABLE (the port), and then nothing is left running. */
  static async open(options: MemberOptions): Promise<Member> {
    const member = new Member(options);
    try {
      await member.#open();
      return member;
    } catch (error) {
      await member.close();
      throw error;
    }
  }

  get isLeader(): boolean {
    return this.#manager?.driver.isLeader === true;
  }

  /** The Raft side; null on a worker. */
  get manager(): Manager | null {
    return this.#manager;
  }

  leader(): LeaderInfo | null {
    const nodeId = this.#leaderId();
    const manager = nodeId === null ? undefined : this.directory.managerById(nodeId);
    if (manager === undefined) return null;
    return { nodeId: manager.nodeId, address: manager.address, controlPort: manager.controlPort };
  }

  raftStatus(): RaftStatus {
    const { version } = this.#options.state;
    if (this.#manager !== null) return this.#manager.status(version);
    return { role: 'worker', applied: version, counters: { ...this.#follower?.counters } };
  }

  /** Has the leader commit a command. */
  async propose(requestId: string, command: Command, timeout_ms: number): Promise<Outcome> {
    const params = { requestId, command, timeout_ms };
    return (await this.leaderCalls.call('propose', params, timeout_ms)) as Outcome;
  }

  reportApplied(version: number): void {
    if (version <= this.#appliedVersion) return;
    this.#appliedVersion = version;
    this.#beat();
  }

  /** Waits until this node's replica is at `version`; false if the time was over first. */
  async reached(version: number, timeout_ms: number): Promise<boolean> {
    const { state } = this.#options;
    const over = AbortSignal.any([
      AbortSignal.timeout(Math.max(1, Math.ceil(timeout_ms))),
      this.#closing.signal,
    ]);
    while (state.version < version && !over.aborted) await state.journal.changed(over);
    return state.version >= version;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    this.liveness.close();
    this.leaderCalls.close();
    await this.#follower?.close();
    await this.#manager?.close();
    this.#pool.close();
    await this.#port?.close();
  }

  async #open(): Promise<void> {
    const { dataDir, state, record, advertiseAddress, controlPort, log, timing, http } = this.#options;
    const identity = loadIdentity(dataDir);
    const shared = {
      dataDir,
      state,
      directory: this.directory,
      identity,
      localAddress: advertiseAddress,
      log,
    };
    if (record.role === 'manager') {
      const onLeadership = () => this.liveness.leadershipChanged();
      this.#manager = await Manager.open({ ...shared, timing, onLeadership, onFatal: this.#options.onFatal });
    }
    this.#port = await ControlPort.open({
      address: advertiseAddress,
      port: controlPort,
      identity,
      log,
      methods: this.#methods.table(),
      refuse: (subject) => this.directory.refuse(subject),
      acceptRaft: (socket, peer) => {
        const raftId = this.directory.managerById(peer.nodeId)?.raftId;
        if (raftId === undefined || this.#manager === null) return false;
        this.#manager.accept(socket, raftId);
        return true;
      },
      http,
    });
    this.#manager?.start();
    if (this.#manager === null) {
      const onLeader = (nodeId: string | null) => {
        this.#hint = nodeId;
      };
      this.#follower = new Follower({ ...shared, onLeader });
      this.#follower.start();
    }
    this.liveness.start();
    this.#heartbeat = setInterval(() => this.#beat(), timing.agentHeartbeat_ms);
    void this.#attend();
  }

  #leaderId(): string | null {
    if (this.#manager === null) return this.#hint;
    return this.directory.managerByRaftId(this.#manager.driver.lead)?.nodeId ?? null;
  }

  #driverPropose(requestId: string, command: Command): Promise<Outcome> {
    if (this.#manager === null) return Promise.reject(shoalError('NOT_LEADER'));
    return this.#manager.driver.propose(requestId, command, 5_000);
  }

  /** Tells the leader that this agent lives, and what its data plane has applied. */
  #beat(): void {
    if (this.#closing.signal.aborted || this.#heartbeatsOut >= heartbeatsLimit) return;
    this.#heartbeatsOut += 1;
    const params = { appliedVersion: this.#appliedVersion };
    const timeout_ms = this.#options.timing.agentDown_ms;
    this.#beatOnce(params, timeout_ms)
      .catch((error) => {
        if (error?.code === 'NOT_LEADER') this.#hint = error.details?.leader ?? null;
        else if (error?.code === 'UNREACHABLE') this.#hint = null;
      })
      .finally(() => {
        this.#heartbeatsOut -= 1;
      });
  }

  #beatOnce(params: object, timeout_ms: number): Promise<unknown> {
    if (this.isLeader) return this.#methods.answer('heartbeat', params, null);
    const { nodeId } = this.directory.self;
    const known = this.#leaderId();
    const managers = this.directory.managers().filter((manager) => manager.nodeId !== nodeId);
    const target =
      managers.find((manager) => manager.nodeId === known) ??
      managers[Math.floor(Math.random() * managers.length)];
    if (target === undefined) return Promise.resolve(null);
    return this.#pool.client(target).call('heartbeat', params, timeout_ms);
  }

  /** Follows the store for what concerns membership: cuts off nodes that are gone, remembers managers. */
  async #attend(): Promise<void> {
    const { state, log } = this.#options;
    const { nodeId } = this.directory.self;
    let present = state.get('node', nodeId) !== undefined;
    try {
      for await (const event of state.watch(state.version, this.#closing.signal)) {
        const nodes = event.type === 'snapshot' || event.changes.some((change) => change.kind === 'node');
        if (!nodes || this.#closing.signal.aborted) continue;
        this.#port?.review();
        this.#manager?.review();
        this.directory.remember();
        const still = state.get('node', nodeId) !== undefined;
        if (present && !still)
          log.error({ nodeId }, 'this node was removed from the cluster; shoal leave --force');
        present = still;
      }
    } catch (error) {
      log.error({ err: error }, 'following the membership failed');
    }
  }
}
