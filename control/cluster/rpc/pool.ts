/** Calls to many nodes: one client for each, by node id. */
import type { Identity } from '../../pki/identity.ts';
import { connectAsMember, protocols } from '../../pki/tls.ts';
import { RpcClient } from './client.ts';

/** Nodes that connections are kept to; the one used longest ago goes first. */
const clientsLimit = 64;

/** Where a node is called. */
export type Callee = { nodeId: string; address: string; controlPort: number };

/** The clients of one member. */
export class RpcPool {
  readonly #identity: Identity;
  readonly #localAddress: string;
  readonly #clients = new Map<string, RpcClient>();

  constructor(identity: Identity, localAddress: string) {
    this.#identity = identity;
    this.#localAddress = localAddress;
  }

  /** The client for a node; connects at its first call. */
  client({ nodeId, address, controlPort }: Callee): RpcClient {
    const key = `${nodeId} ${address}:${controlPort}`;
    const destination = { address, port: controlPort, localAddress: this.#localAddress };
    const client =
      this.#clients.get(key) ??
      new RpcClient(`${address}:${controlPort}`, () =>
        connectAsMember(destination, this.#identity, protocols.control, nodeId),
      );
    this.#clients.delete(key);
    this.#clients.set(key, client);
    if (this.#clients.size > clientsLimit) {
      const [oldest] = this.#clients.keys();
      if (oldest !== undefined) {
        this.#clients.get(oldest)?.close();
        this.#clients.delete(oldest);
      }
    }
    return client;
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }
}
