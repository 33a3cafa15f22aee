/** Who is where: nodes as the store tells, and until it tells, the managers that the membership record names. */
import type { Subject } from '../pki/node-certificate.ts';
import type { State } from '../store/state.ts';
import { type ManagerAddress, type MembershipRecord, saveRecord } from './membership-file.ts';

/** Look-ups by node id and Raft id. */
export class Directory {
  readonly #dataDir: string;
  readonly #state: State;
  #record: MembershipRecord;
  /** Managers as of a version of the store. */
  #known = { version: -1, managers: [] as ManagerAddress[] };

  constructor(dataDir: string, state: State, record: MembershipRecord) {
    this.#dataDir = dataDir;
    this.#state = state;
    this.#record = record;
  }

  /** This node. */
  get self(): MembershipRecord {
    return this.#record;
  }

  /** All managers. */
  managers(): ManagerAddress[] {
    if (this.#state.cluster() === undefined) return this.#record.managers;
    if (this.#known.version !== this.#state.version)
      this.#known = { version: this.#state.version, managers: this.#list() };
    return this.#known.managers;
  }

  #list(): ManagerAddress[] {
    return this.#state
      .list('node')
      .filter((node) => node.role === 'manager')
      .map(({ id, raftId, advertiseAddress, controlPort }) => ({
        nodeId: id,
        raftId,
        address: advertiseAddress,
        controlPort,
      }));
  }

  managerByRaftId(raftId: number): ManagerAddress | undefined {
    return raftId === 0 ? undefined : this.managers().find((manager) => manager.raftId === raftId);
  }

  managerById(nodeId: string): ManagerAddress | undefined {
    return this.managers().find((manager) => manager.nodeId === nodeId);
  }

  /** Why a node with this certificate may not come in; null if it may. */
  refuse(subject: Subject): string | null {
    const { clusterId } = this.#record;
    if (subject.clusterId !== clusterId)
      return `node ${subject.nodeId} is of cluster ${subject.clusterId}, not ${clusterId}`;
    if (this.#state.cluster() === undefined) {
      return subject.role === 'manager' ? null : 'this node has only just joined, and knows managers alone';
    }
    const node = this.#state.get('node', subject.nodeId);
    if (node === undefined) return `node ${subject.nodeId} is not part of this cluster, or not any more`;
    return node.role === subject.role
      ? null
      : `node ${subject.nodeId} is a ${node.role}, not a ${subject.role}`;
  }

  /** Keeps the record up to date with the managers that the store names, for the next start. */
  remember(): void {
    const managers = this.managers();
    if (managers.length === 0 || JSON.stringify(managers) === JSON.stringify(this.#record.managers)) return;
    this.#record = { ...this.#record, managers };
    saveRecord(this.#dataDir, this.#record);
  }
}
