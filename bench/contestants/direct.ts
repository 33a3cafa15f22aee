/** No balancer: the client connects to the endpoint's node itself. The ceiling. */
import {
  type BenchLab,
  type Contestant,
  type ContestantKind,
  endpointPorts,
  type Target,
} from './contestant.ts';

class Direct implements Contestant {
  #address = '';

  async setUp(lab: BenchLab): Promise<void> {
    this.#address = lab.endpoint.requiredAddress;
  }

  target(): Target {
    const address = this.#address;
    return { http: { address, port: endpointPorts.http }, bulk: { address, port: endpointPorts.bulk } };
  }

  async tearDown(): Promise<void> {}
}

export const direct: ContestantKind = {
  name: 'direct',
  about: 'no balancer, client to endpoint node',
  commands: [],
  create: () => new Direct(),
};
