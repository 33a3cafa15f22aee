/**
 * What the L7 front end is told to do: which ports to listen on, which host goes to which service, and where the
 * service's endpoints are reached from this node. It is made by `plan.ts` and applied whole, never in part.
 */

/** `http`: HTTP/1.x, routed per request by its host. `tls`: passed through unopened, routed by SNI. */
export type L7Protocol = 'http' | 'tls';

/** One listening socket; `address: null` is every address of the node, IPv4 and IPv6. */
export type L7Listener = { port: number; protocol: L7Protocol; address: string | null };

/** Sends `host` (exact, or `*.example.com`) on a port to a service, by its key in `L7Config.services`. */
export type L7Route = {
  port: number;
  protocol: L7Protocol;
  host: string;
  service: string;
  /** Only connections that arrived at this local address; absent or null: at any. */
  address?: string | null;
};

/** An endpoint, with the address and port that this node has to connect to in order to reach it. */
export type L7Endpoint = {
  id: string;
  address: string;
  port: number;
  /** Share of the connections relative to the others; 1 when absent. Must be positive. */
  weight?: number;
};

/** A service as far as L7 is concerned: its name for people, and its eligible endpoints. */
export type L7Service = { name: string; endpoints: L7Endpoint[] };

/** The whole desired state of one node's L7 front end. */
export type L7Config = {
  listeners: L7Listener[];
  routes: L7Route[];
  services: Record<string, L7Service>;
};
