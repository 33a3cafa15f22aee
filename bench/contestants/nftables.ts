/**
 * What a container engine's routing mesh comes down to without IPVS: nftables on the ingress node translates the
 * destination to an endpoint behind the kernel's VXLAN device, and the source to its own address there.
 */
import type { Host } from '../../test/lab/lib/host.ts';
import {
  type BenchLab,
  type Contestant,
  type ContestantKind,
  endpointPorts,
  publishedAt,
  publishedPorts,
  type Target,
} from './contestant.ts';

const overlay = {
  vni: 77,
  port: 4789,
  ingress: '10.77.0.1',
  endpoint: '10.77.0.2',
  prefixLength: 30,
} as const;

const rules = `
table ip mesh {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    iifname "eth0" tcp dport ${publishedPorts.http} dnat to ${overlay.endpoint}:${endpointPorts.http}
    iifname "eth0" tcp dport ${publishedPorts.bulk} dnat to ${overlay.endpoint}:${endpointPorts.bulk}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "vxlan0" masquerade
  }
}
`;

async function addTunnel(host: Host, remote: Host, address: string): Promise<void> {
  const ends = ['local', host.requiredAddress, 'remote', remote.requiredAddress, 'dev', 'eth0'];
  const vxlan = ['type', 'vxlan', 'id', String(overlay.vni), 'dstport', String(overlay.port)];
  await host.run('ip', ['link', 'add', 'vxlan0', ...vxlan, ...ends]);
  await host.run('ip', ['address', 'add', `${address}/${overlay.prefixLength}`, 'dev', 'vxlan0']);
  await host.run('ip', ['link', 'set', 'vxlan0', 'up']);
}

class Nftables implements Contestant {
  #lab: BenchLab | undefined;

  async setUp(lab: BenchLab): Promise<void> {
    this.#lab = lab;
    await addTunnel(lab.ingress, lab.endpoint, overlay.ingress);
    await addTunnel(lab.endpoint, lab.ingress, overlay.endpoint);
    await lab.ingress.run('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
    await lab.ingress.run('nft', ['-f', '-'], { input: rules });
  }

  target(): Target {
    if (this.#lab === undefined) throw new Error('nftables: set up first');
    return publishedAt(this.#lab.ingress);
  }

  async tearDown(): Promise<void> {
    if (this.#lab === undefined) return;
    await this.#lab.ingress.run('nft', ['delete', 'table', 'ip', 'mesh']);
    for (const host of [this.#lab.ingress, this.#lab.endpoint])
      await host.run('ip', ['link', 'delete', 'vxlan0']);
  }
}

export const nftables: ContestantKind = {
  name: 'nftables',
  about: 'DNAT and masquerade over a kernel VXLAN',
  commands: ['nft', 'ip'],
  create: () => new Nftables(),
};
