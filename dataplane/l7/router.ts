/**
 * Host to service. An exact host goes before a wildcard, and the longest wildcard before shorter ones; `*.x`
 * stands for any number of labels before `x`, but not for `x` itself.
 *
 * What a host leads to is a `HostRoutes` and not yet a service, so that paths can be told apart there later.
 */
import type { L7Protocol, L7Route } from './config.ts';
import { isHostPattern, normaliseHost } from './grammar.ts';

/** All that is routed for one host. */
type HostRoutes = { service: string };

/** Hosts of one port (and perhaps one local address). Wildcards are kept without their `*.`. */
type HostTable = { exact: Map<string, HostRoutes>; wildcard: Map<string, HostRoutes> };

/** Immutable; made again whenever the configuration changes. */
export class Router {
  readonly #tables: ReadonlyMap<string, HostTable>;

  private constructor(tables: ReadonlyMap<string, HostTable>) {
    this.#tables = tables;
  }

  /** Builds the tables. Of two routes for the same host the first counts. Throws on a host that is not one. */
  static compile(routes: readonly L7Route[]): Router {
    const tables = new Map<string, HostTable>();
    for (const route of routes) {
      const host = route.host.toLowerCase().replace(/\.$/, '');
      if (!isHostPattern(host)) {
        throw new Error(
          `route host ${JSON.stringify(route.host)} is neither a host name nor "*." and a host name`,
        );
      }
      const key = tableKey(route.port, route.protocol, route.address ?? null);
      const table = tables.get(key) ?? { exact: new Map(), wildcard: new Map() };
      tables.set(key, table);
      const hosts = host.startsWith('*.') ? table.wildcard : table.exact;
      const name = host.startsWith('*.') ? host.slice(2) : host;
      if (!hosts.has(name)) hosts.set(name, { service: route.service });
    }
    return new Router(tables);
  }

  /**
   * The service for a host that came in on `port`, or null. `host` may carry a port, upper case and a trailing dot.
   * Routes bound to the local address that the client reached go before those for any address.
   */
  match(port: number, protocol: L7Protocol, host: string, localAddress: string | null = null): string | null {
    const name = normaliseHost(host);
    if (name === '') return null;
    const bound =
      localAddress === null ? undefined : this.#tables.get(tableKey(port, protocol, localAddress));
    const any = this.#tables.get(tableKey(port, protocol, null));
    return (find(bound, name) ?? find(any, name))?.service ?? null;
  }
}

function tableKey(port: number, protocol: L7Protocol, address: string | null): string {
  return `${protocol} ${port} ${address ?? '*'}`;
}

function find(table: HostTable | undefined, name: string): HostRoutes | undefined {
  if (table === undefined) return undefined;
  const exact = table.exact.get(name);
  if (exact !== undefined || table.wildcard.size === 0) return exact;
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    const found = table.wildcard.get(name.slice(dot + 1));
    if (found !== undefined) return found;
  }
  return undefined;
}
