/** The name server's listeners: one for the node itself, one in every namespace attached here. */
import { readFile } from 'node:fs/promises';
import { openListener } from 'netlink-ts';
import type { Logger } from 'pino';
import { parseResolvConf, type Upstream } from '../dns/resolv-conf.ts';
import { type DnsListener, DnsServer } from '../dns/server.ts';
import { buildView, type ViewSource } from '../dns/view.ts';

const dnsPort = 53;

export type ResolverOptions = {
  /** Address to answer on, in every namespace. */
  readonly address: string;
  /** Servers for everything else; those of /etc/resolv.conf if there are none. */
  readonly upstreams: readonly string[];
  readonly log: Logger;
};

/** A namespace that wants a resolver. */
export type ResolverPlace = { readonly id: string; readonly netns: string };

/** Answers names on this node. */
export class Resolvers {
  readonly #options: ResolverOptions;
  readonly #server = new DnsServer();
  /** By attachment id; '' is the node itself. */
  readonly #listeners = new Map<string, DnsListener>();
  /** Places that could not be opened, so that each is logged once. */
  readonly #failed = new Set<string>();

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** Counters of queries and answers. */
  counters(): Record<string, number> {
    return this.#server.counters.snapshot();
  }

  /** Takes over what is known now. */
  update(source: ViewSource): void {
    this.#server.view = buildView(source);
  }

  /** Listens on the node and in `places`, and no longer elsewhere. A place that fails is tried again next time. */
  async reconcile(places: readonly ResolverPlace[]): Promise<void> {
    const wanted = new Map<string, string | undefined>([['', undefined]]);
    for (const { id, netns } of places) wanted.set(id, netns);
    for (const [id, listener] of this.#listeners) {
      if (wanted.has(id)) continue;
      this.#listeners.delete(id);
      this.#failed.delete(id);
      await listener.close();
    }
    for (const [id, netns] of wanted) if (!this.#listeners.has(id)) await this.#open(id, netns);
  }

  /** Reads the upstreams anew. */
  async refreshUpstreams(): Promise<void> {
    this.#server.setUpstreams(await this.#upstreams());
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    await this.#server.close();
  }

  async #upstreams(): Promise<Upstream[]> {
    if (this.#options.upstreams.length > 0) {
      return this.#options.upstreams.map((address) => ({ address, port: dnsPort }));
    }
    try {
      return parseResolvConf(await readFile('/etc/resolv.conf', 'utf8'));
    } catch (error) {
      this.#options.log.warn({ err: error }, 'no upstream name servers: /etc/resolv.conf cannot be read');
      return [];
    }
  }

  async #open(id: string, netns: string | undefined): Promise<void> {
    const { address, log } = this.#options;
    try {
      const place = netns === undefined ? {} : { netns };
      const fdUdp = openListener({ ...place, type: 'udp', address, port: dnsPort });
      const fdTcp = openListener({ ...place, type: 'tcp', address, port: dnsPort });
      this.#listeners.set(id, await this.#server.listen({ address, port: dnsPort, fdUdp, fdTcp }));
      this.#failed.delete(id);
    } catch (error) {
      if (this.#failed.has(id)) return;
      this.#failed.add(id);
      const where = netns ?? 'this node';
      log.error(
        { err: error, address, netns },
        `names are not answered on ${address}:${dnsPort} of ${where}`,
      );
    }
  }
}
