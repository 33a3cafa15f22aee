/**
 * Calls between nodes (`shoal-control/1`): frames that carry JSON, many calls at a time on one connection.
 *
 * A call is answered by a value, an error of the catalogue, or a stream of events that lasts until one side closes.
 */

/** Kinds of frames. */
export const rpcKinds = { call: 1, value: 2, error: 3, event: 4, snapshot: 5, ping: 6 } as const;

/** Longest frame from a caller without and with a certificate, and to a caller. */
export const rpcLimits = {
  strangerFrame_bytes: 64 * 1024,
  callFrame_bytes: 2 * 1024 * 1024,
  answerFrame_bytes: 512 * 1024 * 1024,
  /** Calls in progress on one connection. */
  callsPerConnection: 512,
  /** Bytes that wait for a slow caller; then its stream waits too. */
  waiting_bytes: 1024 * 1024,
  /** Time that a caller may take to accept more of a stream before it is given up. */
  stalled_ms: 10_000,
} as const;

/** Time between pings of a stream's source, and the silence after which its reader looks for another source. */
export const streamTiming = { ping_ms: 300, silence_ms: 2_000 } as const;

export type Call = { id: number; method: string; params: unknown };
export type Answer = { id: number; value?: unknown; error?: unknown };

/** JSON of a payload. Throws SyntaxError. */
export function parseJson(payload: Uint8Array): unknown {
  return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8'));
}

/** Bytes of a value as JSON; undefined becomes null. */
export function jsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value ?? null));
}
