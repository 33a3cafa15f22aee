/** What the cluster facade takes and gives: the types that API, agent and tests are written against. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { Command } from '../store/commands.ts';
import type { Role } from '../store/objects.ts';
import type { State } from '../store/state.ts';
import type { Change, ChangeBatch, WatchEvent } from '../store/watch.ts';

export type { Change, ChangeBatch, WatchEvent };

/** Timing of Raft and of the heartbeats. All have defaults made for one data centre or a few near ones. */
export type Timing = {
  /** Length of a tick. Default 10 ms. */
  tick_ms?: number;
  /** Ticks without a leader after which an election begins; the bound is drawn from [n, 2n). Default 15. */
  electionTicks?: number;
  /** Ticks between the leader's heartbeats. Default 3. */
  heartbeatTicks?: number;
  /** Log entries between two snapshots. Default 4,096. */
  snapshotEntries?: number;
  /** Time between an agent's heartbeats to the leader. Default 200 ms. */
  agentHeartbeat_ms?: number;
  /** Silence after which the leader takes an agent for down. Default 1,000 ms. */
  agentDown_ms?: number;
};

/** How one agent takes part. */
export type ClusterOptions = {
  /** Folder of this node's identity, keys and store; made if it does not exist. */
  dataDir: string;
  nodeName: string;
  /** IPv4 address that other nodes reach this one at. All listening is on it alone. */
  advertiseAddress: string;
  /** TCP port for everything between nodes (2377 by convention). */
  controlPort: number;
  log: Logger;
  raft?: Timing;
  /** Raft cannot go on on this node (the disk failed): the process should end, so that it is started afresh. */
  onFatal?: (error: Error) => void;
};

/** Whether this node belongs to a cluster, and as what. */
export type Membership =
  | { state: 'none' }
  | { state: 'member'; nodeId: string; role: Role; clusterId: string };

/** Where the leader is. */
export type LeaderInfo = { nodeId: string; address: string; controlPort: number };

/** What a node can say of Raft on it; a worker has only the first two fields. */
export type RaftStatus = {
  role: 'worker' | 'leader' | 'follower' | 'candidate';
  /** Last index in this node's replica of the store. */
  applied: number;
  raftId?: number;
  term?: number;
  commit?: number;
  lastIndex?: number;
  firstIndex?: number;
  voters?: readonly number[];
  learners?: readonly number[];
  /** On the leader: how far each manager is, by Raft id. */
  progress?: Record<number, { match: number; state: string; recentActive: boolean }>;
  counters?: Record<string, number>;
};

/** What the leader knows of an agent from its heartbeats. */
export type NodeStatus = { appliedVersion: number; lastHeard_ms: number };

/** The caller of a request that came with mutual TLS: `request.socket.peer`, set by the control port. */
export type Peer = { nodeId: string; role: Role };

export type InitOptions = { meshPool?: string; addresses: string[]; tunnelPort?: number; tunnelVni?: number };
export type JoinOptions = {
  token: string;
  /** `HOST:PORT` of any manager. */
  address: string;
  addresses: string[];
};
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** The cluster as every other part of the agent sees it; `Cluster` in cluster.ts is it. */
export interface ClusterFacade {
  readonly membership: Membership;
  /** This node's replica of the store. Read-only; of a node outside a cluster it is empty. */
  readonly state: State;
  readonly isLeader: boolean;
  /** Makes a cluster with this node as its only manager. Throws ALREADY_INITIALISED. */
  init(options: InitOptions): Promise<void>;
  /** Enters a cluster. Throws INVALID_TOKEN, UNREACHABLE, ALREADY_INITIALISED, LIMIT_REACHED, NAME_IN_USE. */
  join(options: JoinOptions): Promise<void>;
  /** Leaves the cluster and wipes keys and store. With `force` also when no leader can be told. */
  leave(options?: { force?: boolean }): Promise<void>;
  /** Takes another node out: from Raft, from the store, and off the network. */
  removeNode(nodeId: string): Promise<void>;
  /** Changes from `fromVersion` on; begins with a snapshot if those are not remembered any more. */
  watch(fromVersion: number, options?: { signal?: AbortSignal }): AsyncIterable<WatchEvent>;
  /**
   * Has the leader commit a command, and resolves with its value once this node has applied it too. Throws the
   * error that the state machine refused with; NO_LEADER or OVERLOADED when nothing was changed; TIMEOUT when
   * that is not known. A repeat under the same `requestId` is not applied twice.
   */
  propose(command: Command, options?: { timeout_ms?: number; requestId?: string }): Promise<unknown>;
  leader(): LeaderInfo | null;
  raftStatus(): RaftStatus;
  /** The join token of a role, on any manager. Throws FORBIDDEN on a worker. */
  issueJoinToken(role: Role): string;
  /** This node's data plane has applied the store up to `version`; heartbeats tell the leader. */
  reportApplied(version: number): void;
  /** On the leader: what the heartbeats told. Empty on other nodes, which use {@link remoteNodeStatus}. */
  nodeStatus(): Map<string, NodeStatus>;
  /** What the leader knows of the agents, asked from wherever this node is. */
  remoteNodeStatus(): Promise<Map<string, NodeStatus>>;
  /** Waits until all ready nodes' data planes have applied `version`. Lists of node ids. */
  waitApplied(
    version: number,
    options: { timeout_ms: number },
  ): Promise<{ applied: string[]; missing: string[] }>;
  /** Handler of plain HTTP requests that come over mutual TLS; `request.socket.peer` is the caller. */
  setHttpHandler(handler: HttpHandler): void;
  close(): Promise<void>;
}
