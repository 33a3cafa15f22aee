/** The name server's listeners: one for the node itself, one in every namespace attached here. */
import { closeSync, readFileSync } from 'node:fs';
import { openListener } from 'netlink-ts';
import type { Logger } from 'pino';
import { parseResolvConf } from '../dns/resolv-conf.ts';
import { type DnsListener, DnsServer } from '../dns/server.ts';
import { buildView, type ViewSource } from '../dns/view.ts';

/** Port of DNS (RFC 1035, section 4.2). */
export const dnsPort = 53;
const resolvConfPath = '/etc/resolv.conf';
/** Time between two looks at the machine's resolvers, and at places that could not be listened on. */
const refresh_ms = 2_000;

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
  #places: readonly ResolverPlace[] = [];
  /** /etc/resolv.conf as it was read last. */
  #resolvConf: string | undefined;
  readonly #refresher: NodeJS.Timeout;
  #busy = Promise.resolve();

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#server.setUpstreams(options.upstreams.map((address) => ({ address, port: dnsPort })));
    this.#refreshUpstreams();
    this.#refresher = setInterval(() => this.#refresh(), refresh_ms).unref();
  }

  /** Where names should be answered and are not, for people. */
  get problems(): string[] {
    return [...this.#failed].map((id) => {
      const netns = this.#places.find((place) => place.id === id)?.netns;
      return `not answering on ${this.#options.address}:${dnsPort} of ${netns ?? 'this node'}`;
    });
  }

  /** Counters of queries and answers. */
  counters(): Record<string, number> {
    return this.#server.counters.snapshot();
  }

  /** Takes over what is known now. */
  update(source: ViewSource): void {
    this.#server.view = buildView(source);
  }

  /** Listens on the node and in `places`, and no longer elsewhere. A place that fails is tried again by and by. */
  reconcile(places: readonly ResolverPlace[]): Promise<void> {
    this.#places = places;
    const done = this.#busy.then(() => this.#reconcile(places));
    this.#busy = done.catch(() => {});
    return done;
  }

  async close(): Promise<void> {
    clearInterval(this.#refresher);
    await this.#busy;
    this.#listeners.clear();
    await this.#server.close();
  }

  async #reconcile(places: readonly ResolverPlace[]): Promise<void> {
    const wanted = new Map<string, string | undefined>([['', undefined]]);
    for (const { id, netns } of places) wanted.set(id, netns);
    for (const [id, listener] of this.#listeners) {
      if (wanted.has(id)) continue;
      this.#listeners.delete(id);
      await listener.close();
    }
    for (const id of this.#failed) if (!wanted.has(id)) this.#failed.delete(id);
    for (const [id, netns] of wanted) if (!this.#listeners.has(id)) await this.#open(id, netns);
  }

  /** Takes up what has changed on the machine since. */
  #refresh(): void {
    this.#refreshUpstreams();
    if (this.#failed.size > 0) void this.reconcile(this.#places);
  }

  #refreshUpstreams(): void {
    if (this.#options.upstreams.length > 0) return;
    const text = this.#readResolvConf();
    if (text === this.#resolvConf) return;
    this.#resolvConf = text;
    const asked = this.#server.setUpstreams(parseResolvConf(text));
    this.#options.log.debug({ upstreams: asked }, 'other names are asked of these');
  }

  /** Empty if it cannot be read, which is logged once. */
  #readResolvConf(): string {
    try {
      return readFileSync(resolvConfPath, 'utf8');
    } catch (error) {
      if (this.#resolvConf !== '') {
        this.#options.log.warn({ err: error }, `no upstream name servers: ${resolvConfPath} cannot be read`);
      }
      return '';
    }
  }

  async #open(id: string, netns: string | undefined): Promise<void> {
    const { address, log } = this.#options;
    try {
      const place = netns === undefined ? {} : { netns };
      // From here on the descriptors are the server's, also if it fails.
      const { fdUdp, fdTcp } = openBoth({ ...place, address, port: dnsPort });
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

/** A socket for each transport, or neither. */
function openBoth(place: { netns?: string; address: string; port: number }): {
  fdUdp: number;
  fdTcp: number;
} {
  const fdUdp = openListener({ ...place, type: 'udp' });
  try {
    return { fdUdp, fdTcp: openListener({ ...place, type: 'tcp' }) };
  } catch (error) {
    closeSync(fdUdp);
    throw error;
  }
}
