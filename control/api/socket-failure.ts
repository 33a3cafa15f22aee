/** What can go wrong between the command line and the agent, in words. */

/** A call that got no answer from the agent; serialised like the errors that an agent answers with. */
export class SocketFailure extends Error {
  override readonly name = 'SocketFailure';
  /** TIMEOUT when the outcome of a change is not known, UNREACHABLE when nothing was sent. */
  readonly code: 'UNREACHABLE' | 'TIMEOUT';

  constructor(code: 'UNREACHABLE' | 'TIMEOUT', message: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }

  toJSON() {
    return { error: { code: this.code, message: this.message } };
  }
}

/** The failure of a call, by the code of what the HTTP client threw. */
export function socketFailure(thrown: unknown, socketPath: string): SocketFailure {
  const error = thrown as NodeJS.ErrnoException;
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
    case 'ENOTSOCK':
    case 'ENOTDIR':
      return new SocketFailure(
        'UNREACHABLE',
        `no agent answers at ${socketPath}: is \`shoal agent\` running? (--socket, SHOAL_SOCKET)`,
        thrown,
      );
    case 'EACCES':
    case 'EPERM':
      return new SocketFailure(
        'UNREACHABLE',
        `${socketPath} may not be opened by this user: run as root, or as a member of the agent's --socket-group`,
        thrown,
      );
    case 'ETIMEDOUT':
      return new SocketFailure(
        'TIMEOUT',
        `the agent at ${socketPath} does not answer in time; the outcome is unknown`,
        thrown,
      );
    case 'ECONNRESET':
    case 'EPIPE':
      return new SocketFailure(
        'TIMEOUT',
        `the agent at ${socketPath} hung up before it answered; the outcome is unknown`,
        thrown,
      );
    default:
      return new SocketFailure(
        'UNREACHABLE',
        `the agent at ${socketPath} cannot be asked: ${error.message}`,
        thrown,
      );
  }
}
