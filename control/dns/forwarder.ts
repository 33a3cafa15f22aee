/** Asks upstream servers, one after the other, for what the name server does not know itself (RFC 5625). */
import { type CacheOptions, defaultCacheOptions, ReplyCache, withQuestion } from './cache.ts';
import type { DnsCounters } from './counters.ts';
import { type Exchange, type ExchangeResult, exchangeTcp, exchangeUdp } from './exchange.ts';
import { bareReply, isTruncated, lowerCase, type Query, rcode, responseCode, withId } from './message.ts';
import type { Upstream } from './resolv-conf.ts';
import { UpstreamSockets } from './upstream-sockets.ts';

export type ForwarderOptions = {
  /** How long one upstream server may take; three of them fit the 5 s that a C library waits. */
  timeout_ms: number;
  /**
   * Queries waiting for an upstream at a time. Each listener may have as many as are left free, no more: half of
   * them for one that is alone, and always some for the next (the dynamic thresholds of Choudhury and Hahne, 1998).
   */
  maxInFlight: number;
  /** How long a server that gave no answer is asked last instead of first. */
  penalty_ms: number;
  cache: CacheOptions;
};

export const defaultForwarderOptions: ForwarderOptions = {
  timeout_ms: 1_500,
  maxInFlight: 512,
  penalty_ms: 5_000,
  cache: defaultCacheOptions,
};

/** What one listener has in flight, for a fair division of the limit. */
export type Share = { inFlight: number };

const retriedCodes: readonly number[] = [rcode.serverFailure, rcode.notImplemented, rcode.refused];

/** Forwards queries to a list of upstream servers that can be replaced at any time. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #counters: DnsCounters;
  readonly #abort = new AbortController();
  #upstreams: readonly Upstream[] = [];
  /** Monotonic time until which a server counts as unresponsive. Only for servers in the list. */
  readonly #penalised = new Map<Upstream, number>();
  readonly #cache: ReplyCache;
  readonly #sockets: UpstreamSockets;
  /** Questions being asked now, by everything but the id. */
  readonly #asked = new Map<string, Promise<Buffer | undefined>>();
  #inFlight = 0;

  constructor(counters: DnsCounters, options: ForwarderOptions = defaultForwarderOptions) {
    this.#counters = counters;
    this.#options = options;
    this.#cache = new ReplyCache(counters, options.cache);
    this.#sockets = new UpstreamSockets(() => counters.count('upstreamMismatches'));
  }

  /** Servers in order of preference; loops must have been taken out. Other servers may know other names. */
  setUpstreams(upstreams: readonly Upstream[]): void {
    const place = ({ address, port }: Upstream): string => `${address} ${port}`;
    if (upstreams.map(place).join() !== this.#upstreams.map(place).join()) this.#cache.clear();
    this.#upstreams = [...upstreams];
    for (const known of [...this.#penalised.keys()]) {
      if (!this.#upstreams.includes(known)) this.#penalised.delete(known);
    }
  }

  get hasUpstream(): boolean {
    return this.#upstreams.length > 0;
  }

  /** Queries waiting for an upstream server now. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * The reply to relay, under the client's id: the first useful one, else the last refusal, else SERVFAIL. A
   * truncated reply is asked again by TCP if the client came by TCP. Never rejects.
   */
  async resolve(query: Query, byTcp: boolean, share: Share): Promise<Buffer> {
    const id = query.bytes.readUInt16BE(0);
    const kept = this.#cache.find(query);
    if (kept !== undefined) {
      kept.writeUInt16BE(id, 0);
      return kept;
    }
    const failure = bareReply(query.bytes, rcode.serverFailure, query.question);
    if (share.inFlight >= this.#options.maxInFlight - this.#inFlight) {
      this.#counters.count('failedForwardLimit');
      return failure;
    }
    this.#inFlight += 1;
    share.inFlight += 1;
    try {
      const reply = await this.#askOnce(query, byTcp);
      if (reply !== undefined) return withId(withQuestion(reply, query.question), id);
      this.#counters.count('failedUpstream');
      return failure;
    } finally {
      this.#inFlight -= 1;
      share.inFlight -= 1;
    }
  }

  /** Ends all waiting; the queries concerned get SERVFAIL. */
  close(): void {
    this.#abort.abort();
    this.#sockets.close();
  }

  /** Equal queries at the same time are one to the upstream; bounded with the queries in flight. */
  #askOnce(query: Query, byTcp: boolean): Promise<Buffer | undefined> {
    const { bytes, question } = query;
    const rest = bytes.toString('latin1', 12 + question.length);
    const name = lowerCase(question).toString('latin1');
    const key = `${byTcp ? 'tcp' : 'udp'} ${bytes.readUInt16BE(2)} ${name}${rest}`;
    const asked = this.#asked.get(key);
    if (asked !== undefined) {
      this.#counters.count('coalesced');
      return asked;
    }
    this.#counters.count('forwarded');
    const upstreams = this.#upstreams;
    const reply = this.#askInTurn(query, byTcp).then((bytes) => {
      // What servers said that are no longer asked must not outlive the change.
      if (bytes !== undefined && this.#upstreams === upstreams) this.#cache.store(query, bytes);
      return bytes;
    });
    const done = reply.finally(() => this.#asked.delete(key));
    this.#asked.set(key, done);
    return done;
  }

  async #askInTurn(query: Query, byTcp: boolean): Promise<Buffer | undefined> {
    let refusal: Buffer | undefined;
    for (const upstream of this.#inOrder()) {
      const result = await this.#ask(upstream, query, byTcp);
      if (this.#abort.signal.aborted) return undefined;
      if (result.kind !== 'reply') {
        this.#counters.count(result.kind === 'timeout' ? 'upstreamTimeouts' : 'upstreamErrors');
        this.#penalise(upstream);
        continue;
      }
      this.#penalised.delete(upstream);
      if (!retriedCodes.includes(responseCode(result.bytes))) return result.bytes;
      this.#counters.count('upstreamRefusals');
      refusal = result.bytes;
    }
    return refusal;
  }

  async #ask(upstream: Upstream, query: Query, byTcp: boolean): Promise<ExchangeResult> {
    const exchange: Exchange = {
      upstream,
      query: query.bytes,
      question: query.question,
      timeout_ms: this.#options.timeout_ms,
      signal: this.#abort.signal,
      onMismatch: () => this.#counters.count('upstreamMismatches'),
    };
    const result = await exchangeUdp(exchange, this.#sockets);
    if (!byTcp || result.kind !== 'reply' || !isTruncated(result.bytes)) return result;
    this.#counters.count('forwardedTcp');
    return exchangeTcp(exchange);
  }

  /** Servers that have answered or were not asked first, then those that lately gave no answer. */
  #inOrder(): Upstream[] {
    const now_ms = performance.now();
    const isPenalised = (upstream: Upstream) => (this.#penalised.get(upstream) ?? 0) > now_ms;
    return [
      ...this.#upstreams.filter((upstream) => !isPenalised(upstream)),
      ...this.#upstreams.filter(isPenalised),
    ];
  }

  #penalise(upstream: Upstream): void {
    // The list may have been replaced while this server was being asked.
    if (!this.#upstreams.includes(upstream)) return;
    this.#penalised.set(upstream, performance.now() + this.#options.penalty_ms);
  }
}
