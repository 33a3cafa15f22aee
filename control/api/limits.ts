/** Bounds of the API, all in one place, so that nothing a caller sends can hold or grow the agent. */
export const apiLimits = {
  /** Largest body: a service with all the endpoints, ports and hosts that one may have takes about half of it. */
  bodySize_bytes: 512 * 1_024,
  /** Time within which a request must have arrived whole. */
  requestTime_ms: 10_000,
  /** Time within which most requests are answered; beyond it the caller gets TIMEOUT. */
  handlerTime_ms: 40_000,
  /** The same for init, join and leave, which may wait for an election and make keys. */
  membershipTime_ms: 90_000,
  /** Time that a change may take to be agreed on. */
  proposeTime_ms: 15_000,
  /** Longest that a caller can have the API wait for nodes to apply a change, and how long it does unless told. */
  convergenceTime_ms: 20_000,
  defaultConvergenceTime_ms: 5_000,
  /** Time that requests under way are given when the app closes. */
  closingTime_ms: 1_000,
  /** Connections open at the same time on the Unix socket. */
  socketConnections: 256,
  /** Flows in one answer, and how many unless told. */
  flows: 100_000,
  defaultFlows: 100,
} as const;
