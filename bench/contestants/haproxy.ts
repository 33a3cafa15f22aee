/** HAProxy in TCP mode on the ingress node: it ends the client's connection and opens one of its own. */
import { writeFileSync } from 'node:fs';
import type { LabProcess } from '../../test/lab/lib/process.ts';
import { pinned } from '../cpus.ts';
import { waitForPort } from '../endpoint.ts';
import {
  type BenchLab,
  type Contestant,
  type ContestantKind,
  endpointPorts,
  publishedAt,
  publishedPorts,
  type Target,
} from './contestant.ts';

function configuration(endpoint: string, threads: number): string {
  const proxy = (name: string, published: number, port: number): string => `
listen ${name}
  bind :${published}
  server endpoint ${endpoint}:${port}
`;
  return `
global
  maxconn 4096
  nbthread ${threads}
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${proxy('http', publishedPorts.http, endpointPorts.http)}
${proxy('bulk', publishedPorts.bulk, endpointPorts.bulk)}`;
}

class Haproxy implements Contestant {
  #lab: BenchLab | undefined;
  #process: LabProcess | undefined;

  async setUp(lab: BenchLab): Promise<void> {
    this.#lab = lab;
    const { ingress, endpoint, cpus } = lab;
    const path = `${ingress.directory}/haproxy.cfg`;
    writeFileSync(path, configuration(endpoint.requiredAddress, cpus.ingress.length));
    const [command, args] = pinned(cpus.ingress, 'haproxy', ['-db', '-f', path]);
    this.#process = ingress.spawn(command, args, { name: 'haproxy' });
    await waitForPort(ingress, publishedPorts.http, this.#process);
  }

  target(): Target {
    if (this.#lab === undefined) throw new Error('haproxy: set up first');
    return publishedAt(this.#lab.ingress);
  }

  async tearDown(): Promise<void> {
    await this.#process?.stop();
  }
}

export const haproxy: ContestantKind = {
  name: 'haproxy',
  about: 'HAProxy in TCP mode on the ingress node',
  commands: ['haproxy'],
  create: () => new Haproxy(),
};
