/**
 * Every bound of the L7 front end in one place. Reaching one is counted (see `counters.ts`) and answered or closed
 * with the reason; none of them makes the process grow.
 */
export const defaultLimits = {
  /** Request or response head, start line included; beyond it 431 (RFC 6585), or 502 for a response. */
  headSize_bytes: 16 * 1_024,
  /** Request line; beyond it 414. RFC 9112 section 3 asks for at least 8,000. */
  requestLineSize_bytes: 8 * 1_024,
  /** Header fields of one message; beyond it 431. */
  headerFields: 100,
  /** All chunk extensions of one body together (a body of extensions only would otherwise cost nothing to send). */
  chunkExtensionsSize_bytes: 16 * 1_024,
  /** Trailer section of a chunked body. */
  trailerSize_bytes: 8 * 1_024,
  trailerFields: 32,
  /** Handshake bytes of a ClientHello; with post-quantum key shares real ones stay under 4 KiB. */
  clientHelloSize_bytes: 16 * 1_024,
  /** Interim (1xx) responses before the final one. */
  interimResponses: 16,

  /** From a head's first byte to its last, and from accept to the first byte. Not extended by single bytes. */
  head_ms: 10_000,
  /** A client connection without a request. */
  keepAliveIdle_ms: 60_000,
  connect_ms: 2_000,
  /** From the request's last byte to the response head. */
  responseHead_ms: 60_000,
  /** A request body that does not move, or a client that does not read its response. */
  bodyStall_ms: 60_000,
  /** A connection, spliced or not, whose client may be gone unseen, and on which nothing moves. */
  halfClosedIdle_ms: 300_000,
  /** After the last response, how long what the client still sends is read and thrown away (RFC 9112, 9.6). */
  linger_ms: 1_000,
  /** A pooled upstream connection; below Node's 5 s, the shortest default of common servers. */
  upstreamIdle_ms: 4_000,
  /** How long an endpoint that refused a connection is avoided. */
  endpointOut_ms: 1_000,
  /** Between attempts to open a listener whose address was not available. */
  listenRetry_ms: 1_000,

  connectionsPerListener: 10_000,
  upstreamConnectionsPerEndpoint: 1_024,
  upstreamIdlePerEndpoint: 64,
  /** Connections tried for one request, the first included. */
  attemptsPerRequest: 3,
  /** Requests that wait for a second or later attempt, over the whole front end; beyond it they get 502. */
  retriesPending: 1_000,
  /** Sent part of a body that is kept so that an idempotent request can be sent again. */
  replaySize_bytes: 16 * 1_024,
  /** Passes of one request through this front end, seen in Via; beyond it 508 (a loop in the configuration). */
  viaPasses: 8,
};

/** See `defaultLimits` for the meaning of each. */
export type L7Limits = { [Name in keyof typeof defaultLimits]: number };
