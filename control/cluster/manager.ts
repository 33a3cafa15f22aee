/** What only a manager has: the Raft member with its store and streams, and the leader's duties. */
import type { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { shoalError } from '../errors.ts';
import type { Identity } from '../pki/identity.ts';
import { connectAsMember, protocols } from '../pki/tls.ts';
import { RaftDriver } from '../raft/driver.ts';
import type { RaftStorage } from '../raft/storage.ts';
import { RaftTransport } from '../raft/transport.ts';
import type { State } from '../store/state.ts';
import type { Directory } from './directory.ts';
import { openStorage } from './membership-file.ts';
import type { RaftStatus, Timing } from './types.ts';
import { Voters } from './voters.ts';

/** Timing unless told otherwise: an election begins after 150 to 300 ms without a leader. */
export const defaultTiming = {
  tick_ms: 10,
  electionTicks: 15,
  heartbeatTicks: 3,
  snapshotEntries: 4_096,
  agentHeartbeat_ms: 200,
  agentDown_ms: 1_000,
} satisfies Required<Timing>;

export type ManagerOptions = {
  dataDir: string;
  state: State;
  directory: Directory;
  identity: Identity;
  localAddress: string;
  log: Logger;
  timing: Required<Timing>;
  onLeadership: (isLeader: boolean) => void;
  onFatal: (error: Error) => void;
};

/** A manager's part in Raft. */
export class Manager {
  readonly driver: RaftDriver;
  readonly transport: RaftTransport;
  readonly voters: Voters;
  readonly #storage: RaftStorage;
  readonly #directory: Directory;

  private constructor(options: ManagerOptions, storage: RaftStorage) {
    const { directory, identity, localAddress, state, log, timing } = options;
    const { raftId } = directory.self;
    this.#storage = storage;
    this.#directory = directory;
    this.transport = new RaftTransport({
      log,
      raftId,
      connect: (peer) => connectTo(directory, peer, identity, localAddress),
      receive: (message) => this.driver.receive(message),
      onUnreachable: (peer) => this.driver.reportUnreachable(peer),
      onSnapshot: (peer, outcome) => this.driver.reportSnapshot(peer, outcome),
    });
    this.driver = new RaftDriver({
      raftId,
      storage,
      state,
      log,
      ...timing,
      send: (message) => this.transport.send(message),
      onLeadership: (lead, isLeader) => {
        log.info({ leader: directory.managerByRaftId(lead)?.nodeId ?? null, isLeader }, 'leadership changed');
        options.onLeadership(isLeader);
      },
      onFatal: (error) => {
        this.transport.close();
        options.onFatal(error);
      },
    });
    this.voters = new Voters(this.driver, state, log);
  }

  /** Opens the store and prepares; `start` begins. */
  static async open(options: ManagerOptions): Promise<Manager> {
    const storage = await openStorage(options.dataDir, false);
    try {
      return new Manager(options, storage);
    } catch (error) {
      await storage.close();
      throw error;
    }
  }

  start(): void {
    this.driver.start();
    this.voters.start();
  }

  async close(): Promise<void> {
    this.voters.close();
    this.transport.close();
    await this.driver.close();
    await this.#storage.close();
  }

  /** Gives up streams to managers that are gone. */
  review(): void {
    this.transport.retain(new Set(this.#directory.managers().map((manager) => manager.raftId)));
  }

  /** Takes the stream of another manager. */
  accept(socket: TLSSocket, raftId: number): void {
    this.transport.accept(socket, raftId);
  }

  /** Hands leadership to another voter, if there is one, and waits until this node does not lead. */
  async stepDown(timeout_ms: number): Promise<void> {
    const deadline_ms = performance.now() + timeout_ms;
    for (let turn = 0; this.driver.isLeader && performance.now() < deadline_ms; turn += 1) {
      const successor = this.voters.successor();
      if (successor !== 0 && turn % 20 === 0) this.driver.transferLeader(successor);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (this.driver.isLeader) throw shoalError('TIMEOUT', { reason: 'no other manager took over' });
  }

  status(applied: number): RaftStatus {
    const { id, hardState, softState, confState, progress } = this.driver.status();
    return {
      role:
        softState.role === 'StateLeader'
          ? 'leader'
          : softState.role === 'StateFollower'
            ? 'follower'
            : 'candidate',
      applied,
      raftId: id,
      term: hardState.term,
      commit: hardState.commit,
      lastIndex: this.#storage.lastIndex(),
      firstIndex: this.#storage.firstIndex(),
      voters: confState.voters,
      learners: confState.learners,
      progress: Object.fromEntries(
        [...progress].map(([raftId, { match, state, recentActive }]) => [
          raftId,
          { match, state, recentActive },
        ]),
      ),
      counters: { ...this.driver.allCounters(), ...this.transport.counters },
    };
  }
}

async function connectTo(
  directory: Directory,
  raftId: number,
  identity: Identity,
  localAddress: string,
): Promise<TLSSocket> {
  const manager = directory.managerByRaftId(raftId);
  if (manager === undefined) throw shoalError('UNREACHABLE', { name: `manager with Raft id ${raftId}` });
  const destination = { address: manager.address, port: manager.controlPort, localAddress };
  return connectAsMember(destination, identity, protocols.raft, manager.nodeId);
}
