/**
 * An agent without a network or a kernel: the real replicated store, one replica of it, and everything around it
 * in memory. What the API changes goes through the same commands, checks and state machine as in a cluster.
 */

import { newId } from '../../../control/api/ids.ts';
import type {
  AgentServices,
  AttachRequest,
  ClusterServices,
  FlowRow,
} from '../../../control/api/services.ts';
import type { InitOptions, JoinOptions, Membership } from '../../../control/cluster/types.ts';
import { ShoalError, shoalError } from '../../../control/errors.ts';
import { createSecret } from '../../../control/pki/token.ts';
import { type Command, parseCommand } from '../../../control/store/commands.ts';
import type { Attachment, Role } from '../../../control/store/objects.ts';
import { State } from '../../../control/store/state.ts';

const startedAt_ms = 1_700_000_000_000;
const rootDigest = 'd'.repeat(50);

/** The cluster part: a leader that commits at once. */
export class FakeCluster implements ClusterServices {
  membership: Membership = { state: 'none' };
  state = new State();
  /** Commands in the order they came, refused ones included. */
  readonly proposed: Command[] = [];
  /** Ids of nodes that never apply anything. */
  readonly stuck = new Set<string>();
  /** Thrown by the next proposal, once. */
  nextFailure: Error | undefined;
  /** Versions that were waited for, and for how long. */
  readonly waits: { version: number; timeout_ms: number }[] = [];
  leads = true;

  async init(options: InitOptions): Promise<void> {
    if (this.membership.state === 'member') throw shoalError('ALREADY_INITIALISED');
    const clusterId = newId();
    const nodeId = newId();
    this.membership = { state: 'member', nodeId, role: 'manager', clusterId };
    await this.propose({
      type: 'cluster.init',
      cluster: {
        id: clusterId,
        createdAt_ms: startedAt_ms,
        meshPool: options.meshPool ?? '10.248.0.0/13',
        tunnelPort: 4789,
        tunnelVni: 4096,
        caCertificate: 'CERTIFICATE',
        caKey: 'TOP-SECRET-KEY',
        joinSecrets: { manager: createSecret(), worker: createSecret() },
      },
      node: this.#newNode(nodeId, 'edge-1', 'manager', 1),
    });
  }

  async join(options: JoinOptions): Promise<void> {
    if (this.membership.state === 'member') throw shoalError('ALREADY_INITIALISED');
    if (options.address.startsWith('192.0.2.')) throw shoalError('UNREACHABLE', { address: options.address });
    throw shoalError('INVALID_TOKEN', { reason: 'it is of another cluster' });
  }

  async leave(): Promise<void> {
    this.membership = { state: 'none' };
    this.state = new State();
  }

  async propose(command: Command): Promise<unknown> {
    this.proposed.push(command);
    const failure = this.nextFailure;
    this.nextFailure = undefined;
    if (failure !== undefined) throw failure;
    const result = this.state.apply(this.state.version + 1, parseCommand(command));
    if (!result.ok) throw new ShoalError(result.error.code, result.error.details);
    return result.value;
  }

  leader() {
    if (!this.leads || this.membership.state === 'none') return null;
    return { nodeId: this.membership.nodeId, address: '10.0.0.1', controlPort: 2377 };
  }

  issueJoinToken(role: Role): string {
    const secret = this.state.cluster()?.joinSecrets[role];
    return `SHTKN-1-${rootDigest}-${secret}`;
  }

  async waitApplied(version: number, { timeout_ms }: { timeout_ms: number }) {
    this.waits.push({ version, timeout_ms });
    const ready = this.state.list('node').filter((node) => node.status === 'ready');
    return {
      applied: ready.filter(({ id }) => !this.stuck.has(id)).map(({ id }) => id),
      missing: ready.filter(({ id }) => this.stuck.has(id)).map(({ id }) => id),
    };
  }

  /** Brings in another node. Returns its id. */
  async addNode(name: string, role: Role, number: number): Promise<string> {
    const id = newId();
    await this.propose({ type: 'node.join', node: this.#newNode(id, name, role, number) });
    return id;
  }

  #newNode(id: string, name: string, role: Role, number: number) {
    return {
      id,
      name,
      role,
      raftId: role === 'manager' ? number : 0,
      advertiseAddress: `10.0.0.${number}`,
      controlPort: 2377,
      addresses: [`10.0.0.${number}`],
      createdAt_ms: startedAt_ms,
    };
  }
}

/** The whole agent around a {@link FakeCluster}. */
export class FakeAgent implements AgentServices {
  readonly cluster = new FakeCluster();
  flowCount = 2;
  readonly dataplane = {
    summary: async () => ({ uplink: 'eth0', 'XDP mode': 'native' }),
    drops: async () => [
      { reason: 'no_endpoint', description: 'no endpoint takes connections', packets: 7 },
      { reason: 'malformed', description: 'a header that is cut short', packets: 0 },
    ],
    flows: async (limit: number) => {
      const flow = (index: number): FlowRow => ({
        protocol: 'tcp',
        client: `198.51.100.1:${40_000 + index}`,
        frontend: '10.0.0.1:80',
        endpoint: '10.1.0.5:8080',
        via: 'edge-1',
        state: 'established',
        packets: 10 + index,
        bytes: 1_000,
        age_ms: 61_000,
      });
      const flows = Array.from({ length: Math.min(limit, this.flowCount) }, (_, index) => flow(index));
      return { flows, total: this.flowCount, limit };
    },
  };
  uplinkAddresses = () => ['10.0.0.1'];

  async attach(request: AttachRequest): Promise<Attachment> {
    const { membership } = this.cluster;
    if (membership.state !== 'member') throw shoalError('NOT_INITIALISED');
    return (await this.cluster.propose({
      type: 'attachment.create',
      id: newId(),
      nodeId: membership.nodeId,
      endpointId: newId(),
      at_ms: startedAt_ms,
      ...request,
    })) as Attachment;
  }

  async detach(id: string): Promise<void> {
    await this.cluster.propose({ type: 'attachment.remove', id });
  }
}

/** An agent whose cluster has a manager `edge-1`, this node, and the workers `edge-2` and `edge-3`. */
export async function fakeAgent(): Promise<FakeAgent> {
  const agent = new FakeAgent();
  await agent.cluster.init({ addresses: agent.uplinkAddresses() });
  await agent.cluster.addNode('edge-2', 'worker', 2);
  await agent.cluster.addNode('edge-3', 'worker', 3);
  return agent;
}
