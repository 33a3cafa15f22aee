/** What a member answers to other nodes: the calls behind the facade. */
import { shoalError } from '../errors.ts';
import type { Outcome } from '../raft/pending.ts';
import { type Command, parseCommand } from '../store/commands.ts';
import type { State } from '../store/state.ts';
import type { Admission } from './admission.ts';
import type { Directory } from './directory.ts';
import type { LeaderCalls } from './leader-calls.ts';
import type { Liveness } from './liveness.ts';
import type { Manager } from './manager.ts';
import type { Methods, StreamItem } from './rpc/server.ts';
import type { NodeStatus, Peer } from './types.ts';
import { watchStream } from './watch-stream.ts';

/** Longest time that a caller may ask to wait. */
export const longestWait_ms = 60_000;

export type MethodsOptions = {
  state: State;
  directory: Directory;
  liveness: Liveness;
  admission: Admission;
  manager: () => Manager | null;
  leader: () => string | null;
  leaderCalls: () => LeaderCalls;
};

/** The answers of one member. */
export class MemberMethods {
  readonly #options: MethodsOptions;

  constructor(options: MethodsOptions) {
    this.#options = options;
  }

  /** As the control port takes them. `join` is the only one that needs no certificate. */
  table(): Methods {
    const onLeader = ['propose', 'heartbeat', 'admit', 'remove', 'statuses', 'waitApplied'];
    const calls: Methods['calls'] = Object.fromEntries(
      onLeader.map((method) => [
        method,
        (params: unknown, peer: Peer | null) => this.answer(method, params, peer),
      ]),
    );
    calls.join = (params) => this.#options.leaderCalls().call('admit', params, 8_000);
    const watch = (params: unknown, _peer: Peer | null, signal: AbortSignal) => this.#watch(params, signal);
    return { calls, streams: { watch }, open: new Set(['join']) };
  }

  /** Answers a call that only the leader answers. `peer` is null for this node itself. Throws NOT_LEADER. */
  async answer(method: string, params: unknown, peer: Peer | null): Promise<unknown> {
    const manager = this.#leading();
    const fields = (params ?? {}) as Record<string, unknown>;
    switch (method) {
      case 'propose':
        return this.#propose(manager, fields, peer);
      case 'heartbeat':
        return this.#heartbeat(fields, peer);
      case 'admit':
        return this.#options.admission.admit(params);
      case 'remove':
        return this.#remove(manager, fields, peer);
      case 'statuses':
        return this.#statuses();
      case 'waitApplied':
        return this.#options.liveness.waitApplied(integer(fields, 'version'), time(fields));
      default:
        throw shoalError('BAD_REQUEST', { reason: `"${method}" is not a method` });
    }
  }

  #leading(): Manager {
    const manager = this.#options.manager();
    if (manager?.driver.isLeader) return manager;
    throw shoalError('NOT_LEADER', { leader: this.#options.leader() });
  }

  #propose(manager: Manager, fields: Record<string, unknown>, peer: Peer | null): Promise<Outcome> {
    const command = parseCommand(fields.command);
    const requestId = fields.requestId;
    if (typeof requestId !== 'string' || requestId.length < 8 || requestId.length > 64) {
      throw shoalError('BAD_REQUEST', { reason: 'a request id has 8 to 64 characters' });
    }
    if (peer !== null) allow(command, peer);
    return manager.driver.propose(requestId, command, time(fields));
  }

  #heartbeat(fields: Record<string, unknown>, peer: Peer | null): null {
    const nodeId = peer?.nodeId ?? this.#options.directory.self.nodeId;
    this.#options.liveness.record(nodeId, integer(fields, 'appliedVersion'));
    return null;
  }

  /** A manager goes from Raft first: as long as it may vote, it must be able to. */
  async #remove(manager: Manager, fields: Record<string, unknown>, peer: Peer | null): Promise<null> {
    const { state, directory } = this.#options;
    if (peer?.role === 'worker' && peer.nodeId !== fields.nodeId) {
      throw shoalError('FORBIDDEN', { reason: 'a worker takes out itself alone; ask a manager' });
    }
    const node = state.get('node', String(fields.nodeId));
    if (node === undefined) throw shoalError('UNKNOWN_NODE', { name: String(fields.nodeId) });
    if (node.id === directory.self.nodeId) {
      await manager.stepDown(time(fields));
      throw shoalError('NOT_LEADER', { leader: this.#options.leader() });
    }
    if (node.role === 'manager') await manager.voters.remove(node.raftId, time(fields));
    const command: Command = { type: 'node.remove', id: node.id };
    await manager.driver.propose(`remove-${node.id}`.slice(0, 64), command, time(fields));
    return null;
  }

  /** Times are told as ages, since clocks of two nodes cannot be compared. */
  #statuses(): [string, { appliedVersion: number; age_ms: number }][] {
    const now_ms = performance.now();
    return [...this.#options.liveness.statuses()].map(([nodeId, status]: [string, NodeStatus]) => [
      nodeId,
      { appliedVersion: status.appliedVersion, age_ms: now_ms - status.lastHeard_ms },
    ]);
  }

  #watch(params: unknown, signal: AbortSignal): AsyncIterable<StreamItem> {
    const { state, leader, manager } = this.#options;
    if (manager() === null) throw shoalError('FORBIDDEN', { reason: 'only managers give out the store' });
    return watchStream(state, integer((params ?? {}) as Record<string, unknown>, 'from'), leader, signal);
  }
}

function integer(fields: Record<string, unknown>, name: string): number {
  const value = fields[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw shoalError('BAD_REQUEST', { reason: `${name} must be an integer from 0 on` });
}

function time(fields: Record<string, unknown>): number {
  return Math.min(longestWait_ms, integer(fields, 'timeout_ms'));
}

/** Workers change services, networks and attachments; of the cluster and its nodes only what is said of themselves. */
function allow(command: Command, peer: Peer): void {
  if (peer.role === 'manager') return;
  const own = command.type === 'node.update' && command.id === peer.nodeId;
  const patch = own ? command.patch : {};
  const harmless = patch.role === undefined && patch.raftId === undefined;
  if (/^(cluster|node)\./.test(command.type) && !(own && harmless)) {
    throw shoalError('FORBIDDEN', { reason: `worker ${peer.nodeId} asked for ${command.type}` });
  }
}
