/** shoal itself: two agents in one cluster, the services published, the endpoint on the other node. */
import type { AgentHandle } from '../../test/lab/lib/agent.ts';
import {
  type BenchLab,
  type Contestant,
  type ContestantKind,
  endpointPorts,
  publishedAt,
  publishedPorts,
  type Target,
} from './contestant.ts';

const controlPort = 2377;

class Shoal implements Contestant {
  #lab: BenchLab | undefined;
  readonly #agents: AgentHandle[] = [];

  async setUp(lab: BenchLab): Promise<void> {
    this.#lab = lab;
    const first = await lab.edge.lab.startAgent(lab.ingress);
    this.#agents.push(first);
    const second = await lab.edge.lab.startAgent(lab.endpoint);
    this.#agents.push(second);
    await first.cli('init');
    const { token } = await first.cli<{ token: string }>('join-token', 'worker');
    await second.cli('join', '--token', token, `${lab.ingress.requiredAddress}:${controlPort}`);
    const publish = (name: 'http' | 'bulk', ...more: string[]): Promise<unknown> =>
      first.cli(
        ...['service', 'create', name, '--publish', `${publishedPorts[name]}`],
        ...['--endpoint', `127.0.0.1:${endpointPorts[name]}@${lab.endpoint.name}`, ...more],
      );
    await publish('http');
    // iperf3 takes one client at a time: a health check would be the one.
    await publish('bulk', '--check', 'none');
  }

  target(): Target {
    if (this.#lab === undefined) throw new Error('shoal: set up first');
    return publishedAt(this.#lab.ingress);
  }

  async tearDown(): Promise<void> {
    for (const agent of this.#agents) await agent.stop();
  }
}

export const shoal: ContestantKind = {
  name: 'shoal',
  about: 'XDP to VXLAN, no NAT at the ingress, no flow state there',
  commands: [],
  create: () => new Shoal(),
};
