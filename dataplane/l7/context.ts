/** What the parts of the socket layer share. */
import type { Candidate } from './balance.ts';
import type { L7Protocol } from './config.ts';
import type { L7Counters } from './counters.ts';
import type { L7Limits } from './limits.ts';
import type { Router } from './router.ts';
import type { UpstreamPool } from './upstream.ts';

/** One endpoint of a service, with the pool that leads to it. */
export type Backend = Candidate & { id: string; pool: UpstreamPool };

/** A service with its endpoints, as of one configuration. */
export type BackendService = { id: string; name: string; backends: readonly Backend[] };

/** All that one configuration says about routing; replaced as a whole. */
export type Snapshot = { router: Router; services: ReadonlyMap<string, BackendService> };

/** One line of an access log: a request, or a spliced TLS connection (then `method`, `path`, `status` are null). */
export type AccessEvent = {
  protocol: L7Protocol;
  clientAddress: string;
  method: string | null;
  host: string | null;
  path: string | null;
  status: number | null;
  /** Name of the service, if a route was found. */
  service: string | null;
  /** Endpoint that answered or was tried last, as `address:port`. */
  endpoint: string | null;
  duration_ms: number;
  /** Body (or spliced) bytes from and to the client. */
  received_bytes: number;
  sent_bytes: number;
};

/** The front end as its connections see it. */
export type L7Context = {
  limits: L7Limits;
  counters: L7Counters;
  via: string | null;
  now_ms: () => number;
  random: () => number;
  onAccess: ((event: AccessEvent) => void) | null;
  /** The configuration in force at this moment; not to be kept across requests. */
  snapshot: () => Snapshot;
};

/** A listener as its connections see it: they ask again for each request. */
export type ListenerState = {
  readonly port: number;
  readonly protocol: L7Protocol;
  /** No longer configured, or the front end is closing: connections end after their current request. */
  readonly draining: boolean;
};

/** A client connection as the server keeps it. */
export type ClientConnection = {
  /** Ends it as soon as nothing is under way. */
  drain(): void;
  destroy(): void;
};

/** An address without the IPv6 form of an IPv4 one, which dual-stack sockets give. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}

/** `address:port`, with brackets where the address is IPv6. */
export function endpointName(backend: Backend): string {
  const { address, port } = backend.pool;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
