/** Replies of upstream servers, kept for as long as they say themselves, negative ones too (RFC 2308). */
import type { DnsCounters } from './counters.ts';
import { findOpt, isTruncated, lowerCase, type Query, rcode, responseCode } from './message.ts';
import { replyLifetime } from './time-to-live.ts';

export type CacheOptions = {
  /** Replies kept at a time; the oldest goes first. 0 switches the cache off. */
  maxEntries: number;
  /** Longest reply that is kept. */
  maxReply_bytes: number;
  /** Records of a reply that is kept. */
  maxRecords: number;
  /** Longest that a reply with records is kept, whatever it says. */
  maxPositive_s: number;
  /** Longest that a negative reply is kept: names that are missing now are often about to appear. */
  maxNegative_s: number;
};

/** With these limits the cache takes 4 MiB at most. */
export const defaultCacheOptions: CacheOptions = {
  maxEntries: 2_048,
  maxReply_bytes: 2_048,
  maxRecords: 100,
  maxPositive_s: 3_600,
  maxNegative_s: 30,
};

type Entry = { bytes: Buffer; ttlOffsets: readonly number[]; stored_ms: number; expires_ms: number };

const header_bytes = 12;

/**
 * What a reply depends on besides the server asked: the question without case, the flags and DO. Undefined for
 * queries with EDNS options or other additional records (client subnet, cookies, signatures), whose replies are
 * for one client alone.
 */
function keyOf(query: Query): string | undefined {
  const opt = findOpt(query.packet);
  const additionals = query.packet.additionals?.length ?? 0;
  if (additionals > (opt === undefined ? 0 : 1) || (opt?.options?.length ?? 0) > 0) return undefined;
  const edns = opt === undefined ? 'plain' : String(opt.flags);
  return `${edns} ${query.bytes.readUInt16BE(2)} ${lowerCase(query.question).toString('latin1')}`;
}

/** Puts the client's own question, in the case it was asked, into a reply to the same question. */
export function withQuestion(reply: Buffer, question: Buffer): Buffer {
  const copy = Buffer.from(reply);
  if (copy.readUInt16BE(4) === 1) question.copy(copy, header_bytes);
  return copy;
}

/** A bounded cache of replies. */
export class ReplyCache {
  readonly #options: CacheOptions;
  readonly #counters: DnsCounters;
  readonly #now_ms: () => number;
  /** In the order they were stored. */
  readonly #entries = new Map<string, Entry>();
  #lastPurge_ms = Number.NEGATIVE_INFINITY;

  constructor(
    counters: DnsCounters,
    options: CacheOptions = defaultCacheOptions,
    now_ms: () => number = () => performance.now(),
  ) {
    this.#counters = counters;
    this.#options = options;
    this.#now_ms = now_ms;
  }

  /** Replies held now, expired ones that nobody asked for since included. */
  get size(): number {
    return this.#entries.size;
  }

  /** A reply with the client's question and TTLs counted down; its id is to be set. Undefined if there is none. */
  find(query: Query): Buffer | undefined {
    if (this.#entries.size === 0) return undefined;
    const key = keyOf(query);
    const entry = key === undefined ? undefined : this.#entries.get(key);
    if (key === undefined || entry === undefined) return undefined;
    const now_ms = this.#now_ms();
    if (now_ms >= entry.expires_ms) {
      this.#entries.delete(key);
      return undefined;
    }
    this.#counters.count('cacheHits');
    const reply = withQuestion(entry.bytes, query.question);
    const age_s = Math.floor((now_ms - entry.stored_ms) / 1_000);
    for (const offset of entry.ttlOffsets) {
      reply.writeUInt32BE(Math.max(0, reply.readUInt32BE(offset) - age_s), offset);
    }
    return reply;
  }

  /** Keeps a reply to `query`, if it is one that may be kept: complete, NOERROR or NXDOMAIN, with a lifetime. */
  store(query: Query, reply: Buffer): void {
    const { maxEntries, maxReply_bytes, maxRecords, maxPositive_s, maxNegative_s } = this.#options;
    if (maxEntries === 0 || reply.length > maxReply_bytes || isTruncated(reply)) return;
    const code = responseCode(reply);
    if (code !== rcode.noError && code !== rcode.nameError) return;
    const lifetime = replyLifetime(reply, query.question.length, maxRecords);
    const key = keyOf(query);
    if (lifetime === undefined || key === undefined) return;
    const limit_s = lifetime.negative ? maxNegative_s : maxPositive_s;
    const ttl_s = Math.min(lifetime.ttl_s, limit_s);
    if (ttl_s === 0) return;
    const now_ms = this.#now_ms();
    this.#entries.delete(key);
    if (this.#entries.size >= maxEntries) this.#makeRoom(now_ms);
    const { ttlOffsets } = lifetime;
    // A copy, so that a small reply does not keep the receive buffer alive.
    const bytes = Buffer.from(reply);
    for (const offset of ttlOffsets) {
      bytes.writeUInt32BE(Math.min(bytes.readUInt32BE(offset), limit_s), offset);
    }
    this.#entries.set(key, { bytes, ttlOffsets, stored_ms: now_ms, expires_ms: now_ms + ttl_s * 1_000 });
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.clear();
  }

  /** Takes expired replies out, at most once a second since that looks at all of them, else the oldest. */
  #makeRoom(now_ms: number): void {
    if (now_ms - this.#lastPurge_ms >= 1_000) {
      this.#lastPurge_ms = now_ms;
      for (const [key, entry] of this.#entries) if (now_ms >= entry.expires_ms) this.#entries.delete(key);
    }
    if (this.#entries.size < this.#options.maxEntries) return;
    const oldest = this.#entries.keys().next().value;
    if (oldest !== undefined) this.#entries.delete(oldest);
    this.#counters.count('cacheEvictions');
  }
}
