/** What the L7 tests share: a random source that can be repeated, raw clients, and upstreams on loopback. */
import { createHash } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, connect, type Server as NetServer, type Socket } from 'node:net';
import type { L7Config, L7Endpoint } from '../../../dataplane/l7/config.ts';
import { type L7Options, L7Server } from '../../../dataplane/l7/server.ts';

/** Mulberry32: numbers in [0, 1) that a seed repeats. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** An integer in [0, below). */
export function pick(random: () => number, below: number): number {
  return Math.floor(random() * below);
}

/** Cuts bytes into random pieces, none of them empty. */
export function pieces(bytes: Buffer, random: () => number): Buffer[] {
  const cut: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = random() < 0.5 ? 1 + pick(random, 3) : 1 + pick(random, bytes.length);
    cut.push(bytes.subarray(at, at + size));
    at += size;
  }
  return cut;
}

export function randomBytes(random: () => number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => pick(random, 256)));
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** An address of 127/8 that only this process uses, so that fixed ports cannot collide with other tests. */
export const loopback = `127.${100 + (process.pid % 100)}.${(process.pid >> 8) % 256}.${1 + (process.pid % 250)}`;

export function portOf(server: NetServer): number {
  return (server.address() as AddressInfo).port;
}

/** Listens on loopback on a port that the kernel chooses. */
export function listen<S extends NetServer>(server: S): Promise<S> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, loopback, () => resolve(server));
  });
}

/** A node:http upstream. Call `stop` to end it with all its connections. */
export async function httpUpstream(
  handler: RequestListener,
): Promise<{ server: Server; endpoint: L7Endpoint; stop: () => Promise<void> }> {
  const server = await listen(createServer({ keepAliveTimeout: 60_000 }, handler));
  const port = portOf(server);
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { server, endpoint: { id: `e${port}`, address: loopback, port }, stop };
}

/** Port of the front end in tests; only `loopback` is bound. */
export const frontPort = 8_080;

/** A configuration of http services by host on `loopback`. */
export function httpConfig(hosts: Record<string, L7Endpoint[]>): L7Config {
  return {
    listeners: [{ port: frontPort, protocol: 'http', address: loopback }],
    routes: Object.keys(hosts).map((host) => ({
      port: frontPort,
      protocol: 'http',
      host,
      service: `s-${host}`,
    })),
    services: Object.fromEntries(
      Object.entries(hosts).map(([host, endpoints]) => [`s-${host}`, { name: `name-${host}`, endpoints }]),
    ),
  };
}

/** Starts a front end with a configuration. */
export async function frontEnd(config: L7Config, options: L7Options = {}): Promise<L7Server> {
  const server = new L7Server(options);
  const { failed } = await server.apply(config);
  if (failed[0] !== undefined) throw failed[0].error;
  return server;
}

/** A client that writes raw bytes and collects what comes. */
export class RawClient implements Disposable {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #ended = false;
  #waiting: (() => void) | null = null;

  constructor(port = frontPort, options: { allowHalfOpen?: boolean } = {}) {
    this.socket = connect({
      port,
      host: loopback,
      allowHalfOpen: options.allowHalfOpen ?? true,
      noDelay: true,
    });
    this.socket.on('data', (bytes: Buffer) => {
      this.#received = Buffer.concat([this.#received, bytes]);
      this.#waiting?.();
    });
    this.socket.on('error', () => {});
    this.socket.on('end', () => this.socket.end());
    for (const event of ['end', 'close']) {
      this.socket.on(event, () => {
        this.#ended = true;
        this.#waiting?.();
      });
    }
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  get text(): string {
    return this.#received.toString('latin1');
  }

  get bytes(): Buffer {
    return this.#received;
  }

  send(text: string | Buffer): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
  }

  /** Waits until what came fulfils `enough`, or the connection ends; throws after 20 s. */
  async until(enough: (text: string) => boolean): Promise<string> {
    const timeout = setTimeout(() => this.#waiting?.(), 20_000);
    const deadline = Date.now() + 20_000;
    try {
      while (!this.#ended && !enough(this.text)) {
        if (Date.now() >= deadline)
          throw new Error(`waited for more than ${JSON.stringify(this.text.slice(0, 500))}`);
        await new Promise<void>((resolve) => {
          this.#waiting = resolve;
        });
      }
    } finally {
      clearTimeout(timeout);
      this.#waiting = null;
    }
    return this.text;
  }

  /** Everything up to the other side's end. */
  all(): Promise<string> {
    return this.until(() => false);
  }
}

/** Waits until `condition` holds; throws after 20 s. */
export async function eventually(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`did not happen in 20 s: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
