/**
 * What the name server answers from its own knowledge: a pure function from a query and what `names.ts` knows.
 *
 * A name under `.shoal` is never asked upstream, nor is a reverse name of the mesh pool, and neither is a known name
 * for a record type it does not have: an upstream's NXDOMAIN for AAAA would make resolvers give up on the A record too.
 */
import dnsPacket, { type Answer, type OptAnswer, type Packet, type Question } from 'dns-packet';
import type { CounterName } from './counters.ts';
import { findOpt, maxQuery_bytes, rcode } from './message.ts';
import { type DnsView, domain, type Records, resolveName, type SrvTarget } from './names.ts';

/**
 * Seconds that an answer may be cached. The server is on the client's own node, so asking again is cheap, while
 * every second in a cache is a second longer than the mesh needs to take a dead endpoint out. Zero would be
 * kept from no cache at all, and a client that opens thousands of connections a second would ask thousands of
 * times.
 */
export const defaultTtl_s = 1;

export type AnswerOptions = {
  /** Time to live of answers and of negative answers. */
  ttl_s: number;
  /** Uniform in [0, 1): shuffles the order of records. */
  random: () => number;
  /** Whether a name that is not known here can be asked elsewhere. */
  hasUpstream: boolean;
};

/** `outcome` names the counter that this answer belongs to. */
export type AnswerResult = { kind: 'answer'; packet: Packet; outcome: CounterName } | { kind: 'forward' };

/** Only ASCII letters: Unicode case mapping would make other characters equal to letters. */
function lowerCase(name: string): string {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

function shuffled<T>(records: readonly T[], random: () => number): T[] {
  const result = [...records];
  for (let last = result.length - 1; last > 0; last -= 1) {
    const other = Math.min(last, Math.floor(random() * (last + 1)));
    const [a, b] = [result[last], result[other]];
    if (a === undefined || b === undefined) break;
    result[last] = b;
    result[other] = a;
  }
  return result;
}

/** OPT of a reply (RFC 6891 section 6.1.1): the server's own size, DO as it came, no options. */
function replyOpt(query: Packet, extendedRcode: number): OptAnswer[] {
  const opt = findOpt(query);
  if (opt === undefined) return [];
  return [
    {
      type: 'OPT',
      name: '.',
      udpPayloadSize: maxQuery_bytes,
      extendedRcode,
      ednsVersion: 0,
      flags: opt.flags & dnsPacket.DNSSEC_OK,
      flag_do: opt.flag_do,
      options: [],
    },
  ];
}

/**
 * Start of authority that carries the time a negative answer may be cached (RFC 2308 section 5). Its owner must be
 * at or above the name asked for: the last labels of that name, in the case they were asked in.
 */
function startOfAuthority(name: string, zoneLabels: number, ttl_s: number): Answer {
  return {
    type: 'SOA',
    name: name.split('.').slice(-zoneLabels).join('.'),
    class: 'IN',
    ttl: ttl_s,
    data: {
      mname: `ns.${domain}`,
      rname: `hostmaster.${domain}`,
      serial: 1,
      refresh: 60,
      retry: 60,
      expire: 60,
      minimum: ttl_s,
    },
  };
}

type Reply = {
  code: number;
  outcome: CounterName;
  answers?: Answer[];
  authorities?: Answer[];
  additionals?: Answer[];
};

function reply(query: Packet, content: Reply): AnswerResult {
  const authoritative = content.code === rcode.noError || content.code === rcode.nameError;
  const flags =
    (content.code & 0xf) |
    dnsPacket.RECURSION_AVAILABLE |
    (authoritative ? dnsPacket.AUTHORITATIVE_ANSWER : 0);
  const packet: Packet = {
    id: query.id ?? 0,
    type: 'response',
    flags,
    questions: query.questions ?? [],
    answers: content.answers ?? [],
    authorities: content.authorities ?? [],
    additionals: [...replyOpt(query, content.code >> 4), ...(content.additionals ?? [])],
  };
  return { kind: 'answer', packet, outcome: content.outcome };
}

/** A record set, and what clients will want to know next. */
type RecordSet = { answers: Answer[]; additionals: Answer[] };

function addressRecord(name: string, data: string, ttl_s: number): Answer {
  return { type: 'A', name, class: 'IN', ttl: ttl_s, data };
}

/** Priority 0 and equal weights: the mesh balances, not the client. */
function srvRecord(name: string, { port, target }: SrvTarget, ttl_s: number): Answer {
  return { type: 'SRV', name, class: 'IN', ttl: ttl_s, data: { priority: 0, weight: 1, port, target } };
}

/** The records of one type; of the first type there is for ANY, since one set is enough (RFC 8482). */
function recordSet(question: Question, records: Records, options: AnswerOptions): RecordSet | undefined {
  // dns-packet decodes type 255 as ANY, which its type declarations lack.
  const wanted: string = question.type;
  const { name } = question;
  const { ttl_s, random } = options;
  const asks = (type: string): boolean => wanted === type || wanted === 'ANY';
  if (asks('A') && records.a.length > 0) {
    const answers = shuffled(records.a, random).map((address) => addressRecord(name, address, ttl_s));
    return { answers, additionals: [] };
  }
  if (asks('PTR') && records.ptr.length > 0) {
    const answers = records.ptr.map((data): Answer => ({ type: 'PTR', name, class: 'IN', ttl: ttl_s, data }));
    return { answers, additionals: [] };
  }
  if (!asks('SRV') || records.srv.length === 0) return undefined;
  const targets = shuffled(records.srv, random);
  const addresses = new Map(targets.map((target) => [target.target, target.addresses]));
  return {
    answers: targets.map((target) => srvRecord(name, target, ttl_s)),
    additionals: [...addresses].flatMap(([target, all]) =>
      all.map((address) => addressRecord(target, address, ttl_s)),
    ),
  };
}

function answerKnown(
  query: Packet,
  question: Question,
  found: { records: Records; zoneLabels: number },
  options: AnswerOptions,
): AnswerResult {
  const set = recordSet(question, found.records, options);
  if (set !== undefined) return reply(query, { code: rcode.noError, outcome: 'answered', ...set });
  const authorities = [startOfAuthority(question.name, found.zoneLabels, options.ttl_s)];
  return reply(query, { code: rcode.noError, outcome: 'answeredEmpty', authorities });
}

/** A name that is not known here and might be elsewhere. */
function answerElsewhere(query: Packet, question: Question, options: AnswerOptions): AnswerResult {
  if (options.hasUpstream) return { kind: 'forward' };
  const singleLabel = question.name !== '.' && !question.name.includes('.');
  if (!singleLabel) return reply(query, { code: rcode.serverFailure, outcome: 'failedNoUpstream' });
  const authorities = [startOfAuthority(question.name, 1, options.ttl_s)];
  return reply(query, { code: rcode.nameError, outcome: 'answeredUnknown', authorities });
}

/**
 * Answers a query of one question, or says that it is to be forwarded. Classes other than IN and zone transfers
 * are refused, EDNS versions above 0 get BADVERS. Names are compared without case and answered in the case asked.
 */
export function answer(query: Packet, view: DnsView, options: AnswerOptions): AnswerResult {
  const question = query.questions?.[0];
  if (question === undefined) return reply(query, { code: rcode.formatError, outcome: 'malformed' });
  if ((findOpt(query)?.ednsVersion ?? 0) !== 0) {
    return reply(query, { code: rcode.badVersion, outcome: 'badEdnsVersion' });
  }
  if ((question.class ?? 'IN') !== 'IN') {
    return reply(query, { code: rcode.refused, outcome: 'refusedClass' });
  }
  if (question.type === 'AXFR' || question.type === 'IXFR') {
    return reply(query, { code: rcode.refused, outcome: 'refusedTransfer' });
  }
  const found = resolveName(lowerCase(question.name), view);
  if (found.kind === 'exists') return answerKnown(query, question, found, options);
  if (found.kind === 'elsewhere') return answerElsewhere(query, question, options);
  const authorities = [startOfAuthority(question.name, found.zoneLabels, options.ttl_s)];
  return reply(query, { code: rcode.nameError, outcome: 'answeredUnknown', authorities });
}
