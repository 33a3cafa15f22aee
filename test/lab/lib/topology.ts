/** Topologies that the tests, the demo and the bench share. */
import type { Host } from './host.ts';
import { type HostOptions, Lab, type Switch } from './lab.ts';

/** Nodes get 192.0.2.1 to .9 and clients 192.0.2.10 onwards. */
export const nodeLimit = 9;
export const clientLimit = 90;

/** What `edgeLab` makes. */
export interface EdgeLabOptions {
  /** Name of the lab; `edge` unless told. */
  readonly name?: string;
  /** 3 unless told. */
  readonly nodes?: number;
  /** 1 unless told. */
  readonly clients?: number;
  /** MTU of the underlay; 1500 unless told. */
  readonly mtu_bytes?: number;
  /** For the nodes and clients. */
  readonly host?: HostOptions;
}

/** Clients and edge nodes on one switch, in 192.0.2.0/24 (RFC 5737). */
export interface EdgeLab extends AsyncDisposable {
  readonly lab: Lab;
  readonly underlay: Switch;
  /** The first client, 192.0.2.10. */
  readonly client: Host;
  readonly clients: readonly Host[];
  /** `node1` at 192.0.2.1 and so on. */
  readonly nodes: readonly Host[];
  /** The node with that number, from 1. @throws Error if there is none */
  node(number: number): Host;
}

/** Makes clients and nodes on one underlay switch. With one client it is called `client`, else `client1`, …. */
export async function edgeLab(options: EdgeLabOptions = {}): Promise<EdgeLab> {
  const nodeCount = options.nodes ?? 3;
  const clientCount = options.clients ?? 1;
  if (nodeCount < 1 || nodeCount > nodeLimit) throw new Error(`nodes: ${nodeCount} is not 1 to ${nodeLimit}`);
  if (clientCount < 1 || clientCount > clientLimit) {
    throw new Error(`clients: ${clientCount} is not 1 to ${clientLimit}`);
  }
  const lab = await Lab.create({ name: options.name ?? 'edge' });
  try {
    const mtu = options.mtu_bytes === undefined ? {} : { mtu_bytes: options.mtu_bytes };
    const underlay = await lab.addSwitch('underlay', mtu);
    const add = async (name: string, address: string): Promise<Host> => {
      const host = await lab.addHost(name, options.host);
      await lab.link(host, underlay, { address: `${address}/24`, ...mtu });
      return host;
    };
    const clients: Host[] = [];
    for (let number = 1; number <= clientCount; number++) {
      clients.push(await add(clientCount === 1 ? 'client' : `client${number}`, `192.0.2.${9 + number}`));
    }
    const nodes: Host[] = [];
    for (let number = 1; number <= nodeCount; number++) {
      nodes.push(await add(`node${number}`, `192.0.2.${number}`));
    }
    const [client] = clients;
    if (client === undefined) throw new Error('no client was made');
    return {
      lab,
      underlay,
      client,
      clients,
      nodes,
      node: (number) => lab.host(`node${number}`),
      [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose](),
    };
  } catch (error) {
    await lab[Symbol.asyncDispose]();
    throw error;
  }
}
