/**
 * Replies by the bytes of the query they answer. Most queries a server gets are ones it got before, and for those
 * reading, looking up and encoding come down to one look in a table: only the id differs, and the order of
 * addresses, which are shuffled anew each time.
 */
import type { CounterName, DnsCounters } from './counters.ts';

export type PreparedOptions = {
  /** Replies held; when there are as many, all are forgotten, since those asked for often come back at once. */
  maxEntries: number;
  maxQuery_bytes: number;
  maxReply_bytes: number;
};

/** With these limits the table takes some 6 MiB at most. */
export const defaultPreparedOptions: PreparedOptions = {
  maxEntries: 4_096,
  maxQuery_bytes: 300,
  maxReply_bytes: 1_232,
};

type Entry = { reply: Buffer; addresses_offset: number; addressCount: number; outcome: CounterName };

/** Length of an A record whose owner name is a pointer: 2 of name, 10 of head, 4 of address. */
const addressRecord_bytes = 16;
const headAddress_bytes = 12;

/** Complete replies that hold until the view changes. */
export class PreparedReplies {
  readonly #counters: DnsCounters;
  readonly #random: () => number;
  readonly #options: PreparedOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(
    counters: DnsCounters,
    random: () => number,
    options: PreparedOptions = defaultPreparedOptions,
  ) {
    this.#counters = counters;
    this.#random = random;
    this.#options = options;
  }

  /** Replies held now. */
  get size(): number {
    return this.#entries.size;
  }

  /** The reply to these bytes, in a buffer of its own and under their id, counted; undefined if there is none. */
  find(query: Buffer): Buffer | undefined {
    if (query.length > this.#options.maxQuery_bytes || query.length < 4) return undefined;
    const entry = this.#entries.get(query.toString('latin1', 2));
    if (entry === undefined) return undefined;
    this.#counters.count(entry.outcome);
    if (entry.addressCount > 1) this.#shuffle(entry);
    const reply = Buffer.from(entry.reply);
    reply[0] = query[0] ?? 0;
    reply[1] = query[1] ?? 0;
    return reply;
  }

  /**
   * Keeps a complete reply with nothing in it that varies but the order of addresses. `addressCount` A records
   * stand behind the question, of `question_bytes`; other kinds of sets with more than one record are not kept.
   */
  store(
    query: Buffer,
    reply: Buffer,
    about: { question_bytes: number; addressCount: number; outcome: CounterName },
  ): void {
    const { maxEntries, maxQuery_bytes, maxReply_bytes } = this.#options;
    if (query.length > maxQuery_bytes || reply.length > maxReply_bytes) return;
    const { question_bytes, addressCount, outcome } = about;
    const addresses_offset = 12 + question_bytes;
    if (addresses_offset + addressCount * addressRecord_bytes > reply.length) return;
    if (this.#entries.size >= maxEntries) {
      this.#entries.clear();
      this.#counters.count('preparedPurges');
    }
    // A copy: the encoder's buffer goes to the kernel.
    const entry = { reply: Buffer.from(reply), addresses_offset, addressCount, outcome };
    this.#entries.set(query.toString('latin1', 2), entry);
  }

  /** Forgets everything: what is known has changed. */
  clear(): void {
    this.#entries.clear();
  }

  /** Fisher and Yates, on the addresses where they stand. */
  #shuffle({ reply, addresses_offset, addressCount }: Entry): void {
    const at = (index: number): number => addresses_offset + index * addressRecord_bytes + headAddress_bytes;
    for (let last = addressCount - 1; last > 0; last -= 1) {
      const other = Math.min(last, Math.floor(this.#random() * (last + 1)));
      if (other === last) continue;
      const kept = reply.readUInt32BE(at(last));
      reply.writeUInt32BE(reply.readUInt32BE(at(other)), at(last));
      reply.writeUInt32BE(kept, at(other));
    }
  }
}
