/**
 * What the name server answers from its own knowledge: a pure function from a query and the services that exist.
 *
 * `web` and `web.shoal` are the service's VIP; `tasks.web` and `tasks.web.shoal` are the addresses of all its
 * endpoints, in random order. A name under `.shoal` is never asked upstream, and neither is a known name for a
 * record type it does not have: an upstream's NXDOMAIN for AAAA would make resolvers give up on the A record too.
 */
import dnsPacket, { type Answer, type OptAnswer, type Packet, type Question } from 'dns-packet';
import type { CounterName } from './counters.ts';
import { findOpt, maxQuery_bytes, rcode } from './message.ts';

/** Domain that belongs to shoal alone. */
export const domain = 'shoal';

/**
 * Seconds that an answer may be cached. The server is on the client's own node, so asking again is cheap, while
 * every second in a cache is a second longer than the mesh needs to take a dead endpoint out. Zero would be
 * kept from no cache at all, and a client that opens thousands of connections a second would ask thousands of
 * times.
 */
export const defaultTtl_s = 1;

/** What is known about one service, by its name in lower case. */
export type ServiceAddresses = { vip: string | null; endpoints: readonly string[] };

/** The services that the name server knows. */
export type DnsView = { lookup(name: string): ServiceAddresses | undefined };

export type AnswerOptions = {
  /** Time to live of answers and of negative answers. */
  ttl_s: number;
  /** Uniform in [0, 1): shuffles endpoint addresses. */
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

function shuffled(addresses: readonly string[], random: () => number): string[] {
  const result = [...addresses];
  for (let last = result.length - 1; last > 0; last -= 1) {
    const other = Math.min(last, Math.floor(random() * (last + 1)));
    const [a, b] = [result[last], result[other]];
    if (a === undefined || b === undefined) break;
    result[last] = b;
    result[other] = a;
  }
  return result;
}

/** Addresses of `NAME` or `tasks.NAME`; undefined if no such service exists. */
function resolveLocal(name: string, view: DnsView): readonly string[] | undefined {
  const direct = name.includes('.') ? undefined : view.lookup(name);
  if (direct !== undefined) return direct.vip === null ? direct.endpoints : [direct.vip];
  if (!name.startsWith('tasks.')) return undefined;
  const service = name.slice('tasks.'.length);
  return service.includes('.') ? undefined : view.lookup(service)?.endpoints;
}

/** Addresses of a name in any of its forms. The `.shoal` form goes first: it is the unambiguous one. */
function resolve(name: string, view: DnsView): readonly string[] | undefined {
  const suffix = `.${domain}`;
  const qualified = name.endsWith(suffix) ? resolveLocal(name.slice(0, -suffix.length), view) : undefined;
  return qualified ?? resolveLocal(name, view);
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
 * at or above the name asked for, so it is that name's last label.
 */
function startOfAuthority(name: string, ttl_s: number): Answer {
  const owner = name.slice(name.lastIndexOf('.') + 1);
  return {
    type: 'SOA',
    name: owner,
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

type Reply = { code: number; outcome: CounterName; answers?: Answer[]; authorities?: Answer[] };

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
    additionals: replyOpt(query, content.code >> 4),
  };
  return { kind: 'answer', packet, outcome: content.outcome };
}

function answerKnown(
  query: Packet,
  question: Question,
  addresses: readonly string[],
  options: AnswerOptions,
): AnswerResult {
  // dns-packet decodes type 255 as ANY, which its type declarations lack; RFC 8482 allows one record set for it.
  const wanted: string = question.type;
  if ((wanted !== 'A' && wanted !== 'ANY') || addresses.length === 0) {
    const authorities = [startOfAuthority(question.name, options.ttl_s)];
    return reply(query, { code: rcode.noError, outcome: 'answeredEmpty', authorities });
  }
  const answers = shuffled(addresses, options.random).map(
    (data): Answer => ({ type: 'A', name: question.name, class: 'IN', ttl: options.ttl_s, data }),
  );
  return reply(query, { code: rcode.noError, outcome: 'answered', answers });
}

/** A name that no service has: answered here if it could not be anybody else's, forwarded otherwise. */
function answerUnknown(query: Packet, question: Question, options: AnswerOptions): AnswerResult {
  const name = lowerCase(question.name);
  if (name === domain || name.endsWith(`.${domain}`)) {
    const authorities = [startOfAuthority(question.name, options.ttl_s)];
    if (name === domain) return reply(query, { code: rcode.noError, outcome: 'answeredEmpty', authorities });
    return reply(query, { code: rcode.nameError, outcome: 'answeredUnknown', authorities });
  }
  if (options.hasUpstream) return { kind: 'forward' };
  const singleLabel = name !== '.' && !name.includes('.');
  if (singleLabel) return reply(query, { code: rcode.nameError, outcome: 'answeredUnknown' });
  return reply(query, { code: rcode.serverFailure, outcome: 'failedNoUpstream' });
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
  const addresses = resolve(lowerCase(question.name), view);
  return addresses === undefined
    ? answerUnknown(query, question, options)
    : answerKnown(query, question, addresses, options);
}
