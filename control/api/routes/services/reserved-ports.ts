/**
 * Ports that no service may have. The data plane takes packets for published ports before the node's own stack
 * sees them: a service on the control port would cut every node off from the cluster, for good, since taking it
 * back needs a leader. Pure.
 */
import type { Publish } from '../../../store/objects.ts';
import type { StateReader } from '../../services.ts';

type Wanted = Pick<Publish, 'address' | 'published' | 'protocol'>;

/** Why `publish` is refused; undefined if it is not. */
export function whyNotPublished(state: StateReader, publish: Wanted): string | undefined {
  const { address, published, protocol } = publish;
  if (address?.startsWith('127.')) {
    return `no client reaches ${address}: publish on an address that they reach, or without one on every node's`;
  }
  const [cluster] = state.list('cluster');
  if (protocol === 'udp') {
    if (published !== cluster?.tunnelPort) return undefined;
    return `port ${published}/udp carries the tunnels between nodes: publish on another port`;
  }
  const node = state
    .list('node')
    .find((one) => one.controlPort === published && (address === null || one.addresses.includes(address)));
  if (node === undefined) return undefined;
  return `port ${published}/tcp is the control port of node "${node.name}": publish on another port, or on an address that no node has`;
}
