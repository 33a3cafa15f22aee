/** A shoal cluster on the nodes of an edge lab. */
import type { AgentHandle, AgentOptions } from './agent.ts';
import type { EdgeLab } from './topology.ts';

/** Port of everything between nodes. */
export const controlPort = 2377;

/** What a cluster is made of. */
export interface ClusterOptions {
  /** Role of each node after the first, which founds the cluster; all are managers unless told. */
  readonly role?: (number: number) => 'manager' | 'worker';
  readonly agent?: AgentOptions;
  /** Told what is being done. */
  readonly onStep?: (text: string) => void;
}

/** Starts an agent on every node and joins them into one cluster. The agents are in the order of the nodes. */
export async function startCluster(edge: EdgeLab, options: ClusterOptions = {}): Promise<AgentHandle[]> {
  const say = options.onStep ?? (() => {});
  say(`starting ${edge.nodes.length} agents`);
  const agents = await Promise.all(edge.nodes.map((node) => edge.lab.startAgent(node, options.agent)));
  const [first, ...others] = agents;
  if (first === undefined) throw new Error('a cluster needs a node');
  say('shoal init');
  await first.cli('init');
  for (const [index, agent] of others.entries()) {
    const role = options.role?.(index + 2) ?? 'manager';
    const { token } = await first.cli<{ token: string }>('join-token', role);
    say(`shoal join (${agent.host.name}, ${role})`);
    await agent.cli('join', '--token', token, `${first.host.requiredAddress}:${controlPort}`);
  }
  return agents;
}
