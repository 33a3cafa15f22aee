/** What the name server counts, one line per reason, so that no query disappears without a trace. */

/** Every counter with the sentence that explains it to an operator. */
export const counterDescriptions = {
  queriesUdp: 'datagrams received on UDP',
  queriesTcp: 'messages received on TCP',
  answered: 'names of services answered with addresses',
  answeredEmpty: 'known names asked for a record type they do not have',
  answeredUnknown: 'names that do not exist, answered here (NXDOMAIN)',
  preparedPurges: 'times that all prepared answers were forgotten because there were too many',
  truncated: 'answers cut to the size that UDP allows, the rest to be asked by TCP',
  forwarded: 'queries handed to an upstream server',
  coalesced: 'queries that waited for the upstream answer to another, equal one',
  cacheHits: 'queries answered from earlier upstream answers',
  cacheEvictions: 'upstream answers forgotten before their time because the cache was full',
  forwardedTcp: 'queries asked again by TCP because the upstream answer was truncated',
  upstreamTimeouts: 'upstream servers that did not answer in time',
  upstreamErrors: 'upstream servers that could not be reached or closed the connection',
  upstreamRefusals: 'upstream answers that made the next server be asked (SERVFAIL, REFUSED, NOTIMP)',
  upstreamMismatches: 'upstream datagrams ignored: wrong id, wrong question or malformed',
  upstreamLoops: 'upstream servers left out because they lead back to this name server',
  failedNoUpstream: 'queries that need an upstream server while none is known (SERVFAIL)',
  failedUpstream: 'queries that no upstream server answered (SERVFAIL)',
  failedForwardLimit: 'queries not forwarded because too many were in flight (SERVFAIL)',
  failedInternal: 'queries that hit a fault of the name server itself (SERVFAIL)',
  malformed: 'queries that could not be parsed (FORMERR)',
  notImplemented: 'operations other than QUERY (NOTIMP)',
  badEdnsVersion: 'queries with an EDNS version above 0 (BADVERS)',
  refusedClass: 'queries of a class other than IN (REFUSED)',
  refusedTransfer: 'zone transfers asked for (REFUSED)',
  droppedShort: 'messages too short to carry an id, dropped',
  droppedResponse: 'responses that arrived where queries belong, dropped',
  droppedSendQueue: 'answers dropped because the UDP send queue was full',
  droppedSendError: 'answers that the kernel refused to send',
  socketErrors: 'errors of listening sockets and of client connections',
  tcpConnections: 'TCP connections accepted',
  tcpRefusedLimit: 'TCP connections closed at once because too many were open',
  tcpClosedIdle: 'TCP connections closed because no complete query came in time',
  tcpClosedOversize: 'TCP connections closed because a message was longer than allowed or empty',
} as const;

export type CounterName = keyof typeof counterDescriptions;

/** Cumulative counts since the process started. */
export class DnsCounters {
  readonly #values: Record<CounterName, number>;

  constructor() {
    this.#values = Object.fromEntries(Object.keys(counterDescriptions).map((name) => [name, 0])) as Record<
      CounterName,
      number
    >;
  }

  /** Adds one to a counter. */
  count(name: CounterName): void {
    this.#values[name] += 1;
  }

  /** Value of one counter. */
  get(name: CounterName): number {
    return this.#values[name];
  }

  /** A copy of all values. */
  snapshot(): Record<CounterName, number> {
    return { ...this.#values };
  }
}
