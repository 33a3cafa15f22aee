/** What the L7 front end counts. Names end in what they count; all but the `_open` ones only ever grow. */
const names = [
  'connections_accepted',
  'connections_open',
  'connections_refused_limit',
  'listen_failures',
  'requests',
  'responses_relayed',
  'responses_interim',
  'answers_own',
  'upgrades',
  'upgrades_h2c_ignored',
  'tls_connections',
  'tls_malformed',
  'tls_no_match',
  'tls_no_endpoint',
  'heads_malformed',
  'heads_too_long',
  'request_lines_too_long',
  'heads_too_slow',
  'bodies_malformed',
  'bodies_stalled',
  'idle_timeouts',
  'half_closed_timeouts',
  'hosts_unknown',
  'loops_detected',
  'requests_aborted_by_client',
  'responses_aborted_by_endpoint',
  'responses_invalid',
  'response_head_timeouts',
  'no_endpoint',
  'upstream_connections_open',
  'upstream_connections_opened',
  'upstream_connections_reused',
  'upstream_connect_failures',
  'upstream_connect_timeouts',
  'upstream_limit_reached',
  'upstream_idle_closed',
  'upstream_unsolicited_bytes',
  'retries',
  'retries_pending_open',
  'retries_refused_limit',
  'bytes_from_clients',
  'bytes_to_clients',
] as const;

/** Name of one counter. */
export type CounterName = (typeof names)[number];

/** All counters; a plain record, so that adding is one store. */
export type L7Counters = Record<CounterName, number>;

/** A set of counters, all at zero. */
export function newCounters(): L7Counters {
  return Object.fromEntries(names.map((name) => [name, 0])) as L7Counters;
}
