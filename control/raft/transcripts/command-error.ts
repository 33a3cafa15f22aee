/** An error that a command prints, as opposed to a case that is wrong. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
