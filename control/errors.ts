/**
 * The one catalogue of errors that shoal shows to people and programs.
 *
 * Every error has a stable `code` (for programs), a message that names the thing and the value, an HTTP status and,
 * where there is something to do about it, a hint. Over the wire it is `{ error: { code, message, hint } }`, plus
 * `details`, from which the message was made.
 */

/** Values that a message is made from: names, ids, limits. Must survive JSON. */
export type ErrorDetails = Record<string, unknown>;

type Entry = { status: number; message: (details: ErrorDetails) => string; hint?: string };

/** `a "b"` for kind and name, or whatever of the two there is. */
function subject(details: ErrorDetails): string {
  const kind = typeof details.kind === 'string' ? details.kind : 'object';
  return details.name === undefined ? kind : `${kind} "${String(details.name)}"`;
}

/** `: why` when there is a reason, else nothing. */
function because(details: ErrorDetails): string {
  return details.reason === undefined ? '' : `: ${String(details.reason)}`;
}

const catalogue = {
  BAD_REQUEST: {
    status: 400,
    message: (d) => `the request is not valid${because(d)}`,
  },
  NOT_FOUND: {
    status: 404,
    message: (d) => `there is no ${subject(d)}`,
    hint: 'names, ids and unique beginnings of ids are accepted',
  },
  UNKNOWN_NODE: {
    status: 404,
    message: (d) => `there is no node "${String(d.name)}" in this cluster`,
    hint: 'shoal node ls lists the nodes',
  },
  UNKNOWN_SERVICE: {
    status: 404,
    message: (d) => `there is no service "${String(d.name)}"`,
    hint: 'shoal service ls lists the services',
  },
  NAME_IN_USE: {
    status: 409,
    message: (d) => `${subject(d)} exists already`,
    hint: 'choose another name, or change the one that exists',
  },
  PORT_IN_USE: {
    status: 409,
    message: (d) =>
      `port ${String(d.port)}/${String(d.protocol)}${d.address ? ` on ${String(d.address)}` : ''}` +
      ` is published by service "${String(d.service)}"`,
    hint: 'publish on another port, or on an address of its own',
  },
  HOST_IN_USE: {
    status: 409,
    message: (d) =>
      `host "${String(d.host)}" on port ${String(d.port)} is routed to service "${String(d.service)}"`,
    hint: 'a host name on a port belongs to one service',
  },
  VERSION_CONFLICT: {
    status: 409,
    message: (d) =>
      `${subject(d)} is at version ${String(d.actual)}, not ${String(d.expected)}: it was changed meanwhile`,
    hint: 'read it again and repeat the change',
  },
  POOL_EXHAUSTED: {
    status: 507,
    message: (d) => `no free ${String(d.what)} is left${d.pool ? ` in ${String(d.pool)}` : ''}`,
    hint: 'remove what is not used',
  },
  LIMIT_REACHED: {
    status: 409,
    message: (d) => `the limit of ${String(d.limit)} ${String(d.what)} is reached`,
  },
  NOT_INITIALISED: {
    status: 409,
    message: () => 'this node is not part of a cluster',
    hint: 'shoal init makes a cluster, shoal join enters one',
  },
  ALREADY_INITIALISED: {
    status: 409,
    message: (d) => `this node is part of a cluster already${because(d)}`,
    hint: 'shoal leave takes it out',
  },
  INVALID_TOKEN: {
    status: 401,
    message: (d) => `the join token is not valid${because(d)}`,
    hint: 'shoal join-token manager|worker, on a manager, prints the current one',
  },
  UNAUTHENTICATED: {
    status: 401,
    message: (d) => `the caller has not shown a certificate of this cluster${because(d)}`,
  },
  FORBIDDEN: {
    status: 403,
    message: (d) => `not allowed${because(d)}`,
  },
  NO_LEADER: {
    status: 503,
    message: (d) => `the cluster has no leader now${because(d)}; nothing was changed`,
    hint: 'more than half of the managers must be up and reach each other',
  },
  NOT_LEADER: {
    status: 503,
    message: (d) =>
      `this manager does not lead${d.leader ? `; "${String(d.leader)}" does` : ''}; nothing was changed`,
  },
  TIMEOUT: {
    status: 504,
    message: (d) => `no answer in time${because(d)}; the outcome is unknown`,
    hint: 'read the object to see whether the change was made, or repeat it under the same request id',
  },
  UNREACHABLE: {
    status: 502,
    message: (d) => `${String(d.address ?? d.name ?? 'the other node')} cannot be reached${because(d)}`,
    hint: 'check the address, the control port and what filters packets in between',
  },
  STORAGE_FAILED: {
    status: 500,
    message: (d) => `the store${d.path ? ` in ${String(d.path)}` : ''} failed${because(d)}`,
  },
  OVERLOADED: {
    status: 503,
    message: (d) =>
      `too many ${String(d.what ?? 'requests')} at once (limit ${String(d.limit)}); nothing was changed`,
    hint: 'try again in a moment',
  },
  INTERNAL: {
    status: 500,
    message: (d) => `something went wrong inside shoal${because(d)}`,
    hint: 'the log of the agent has more',
  },
} satisfies Record<string, Entry>;

/** What went wrong, for programs. Codes are never renamed. */
export type ErrorCode = keyof typeof catalogue;

/** All codes, for the documentation of the API and for tests. */
export const errorCodes = Object.keys(catalogue) as ErrorCode[];

/** An error as it crosses the wire. */
export type SerialisedError = {
  error: { code: ErrorCode; message: string; hint?: string; details?: ErrorDetails };
};

/** An error of the catalogue. Make one with {@link shoalError}. */
export class ShoalError extends Error {
  override readonly name = 'ShoalError';
  readonly code: ErrorCode;
  /** HTTP status that the API answers with. */
  readonly status: number;
  /** What to do about it. */
  readonly hint?: string;
  readonly details?: ErrorDetails;

  constructor(code: ErrorCode, details?: ErrorDetails, options?: { message?: string; cause?: unknown }) {
    const entry: Entry = catalogue[code];
    super(
      options?.message ?? entry.message(details ?? {}),
      options?.cause === undefined ? undefined : { cause: options.cause },
    );
    this.code = code;
    this.status = entry.status;
    if (entry.hint !== undefined) this.hint = entry.hint;
    if (details !== undefined) this.details = details;
  }

  /** The form that crosses the wire. */
  toJSON(): SerialisedError {
    return {
      error: {
        code: this.code,
        message: this.message,
        ...(this.hint === undefined ? {} : { hint: this.hint }),
        ...(this.details === undefined ? {} : { details: this.details }),
      },
    };
  }
}

/** Makes an error of the catalogue: `throw shoalError('NAME_IN_USE', { kind: 'service', name })`. */
export function shoalError(code: ErrorCode, details?: ErrorDetails, cause?: unknown): ShoalError {
  return new ShoalError(code, details, { cause });
}

/** True for a value that is the serialised form of an error. */
export function isSerialisedError(value: unknown): value is SerialisedError {
  const error = (value as { error?: { code?: unknown } } | null | undefined)?.error;
  return typeof error === 'object' && typeof error?.code === 'string' && error.code in catalogue;
}

/** The error that another node serialised; anything else becomes INTERNAL with what was received as the reason. */
export function deserialiseError(value: unknown): ShoalError {
  if (isSerialisedError(value)) {
    const { code, message, details } = value.error;
    return new ShoalError(code, details, typeof message === 'string' ? { message } : {});
  }
  return shoalError('INTERNAL', {
    reason: `not an error that shoal knows: ${String(JSON.stringify(value)).slice(0, 200)}`,
  });
}

/** Any thrown value as an error of the catalogue; what is not one already becomes INTERNAL. */
export function toShoalError(thrown: unknown): ShoalError {
  if (thrown instanceof ShoalError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return shoalError('INTERNAL', { reason }, thrown);
}
