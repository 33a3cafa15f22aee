/**
 * Which endpoint takes the next request: two are drawn by weight and the one with fewer outstanding requests wins
 * (the power of two choices, Mitzenmacher 2001), a tie going to the first drawn. An endpoint that refused a
 * connection is avoided for a moment, unless there is no other.
 */

/** What is known of the load of one address and port; shared by all services that name it. */
export type EndpointLoad = {
  /** Requests and spliced connections that it is serving now. */
  outstanding: number;
  /** Monotonic time until which it is avoided; 0 if it is not. */
  outUntil_ms: number;
};

/** One endpoint to choose from. */
export type Candidate = { weight: number; load: EndpointLoad };

/** A load record of an endpoint that nothing is known of. */
export function newEndpointLoad(): EndpointLoad {
  return { outstanding: 0, outUntil_ms: 0 };
}

/** Notes that a connection failed: the endpoint is avoided for `out_ms`. */
export function markFailed(load: EndpointLoad, now_ms: number, out_ms: number): void {
  load.outUntil_ms = now_ms + out_ms;
}

/** Notes that a connection was made: the endpoint is trusted again. */
export function markWorking(load: EndpointLoad): void {
  load.outUntil_ms = 0;
}

/**
 * Chooses among the candidates that are not in `exclude`; null if there is none. `random` gives [0, 1). Those marked
 * as failed are taken only if all are.
 */
export function chooseEndpoint<C extends Candidate>(
  candidates: readonly C[],
  now_ms: number,
  random: () => number,
  exclude: ReadonlySet<C>,
): C | null {
  const allowed = exclude.size === 0 ? candidates : candidates.filter((candidate) => !exclude.has(candidate));
  const working = allowed.every((candidate) => candidate.load.outUntil_ms <= now_ms)
    ? allowed
    : allowed.filter((candidate) => candidate.load.outUntil_ms <= now_ms);
  const pool = working.length > 0 ? working : allowed;
  if (pool.length < 2) return pool[0] ?? null;
  const first = drawByWeight(pool, random, null);
  const second = drawByWeight(pool, random, first);
  return relativeLoad(second) < relativeLoad(first) ? second : first;
}

function relativeLoad(candidate: Candidate): number {
  return candidate.load.outstanding / candidate.weight;
}

function drawByWeight<C extends Candidate>(pool: readonly C[], random: () => number, without: C | null): C {
  let total = 0;
  for (const candidate of pool) if (candidate !== without) total += candidate.weight;
  let left = random() * total;
  let last: C | null = null;
  for (const candidate of pool) {
    if (candidate === without) continue;
    last = candidate;
    left -= candidate.weight;
    if (left < 0) return candidate;
  }
  if (last === null) throw new Error('drawing from no candidates');
  return last;
}
