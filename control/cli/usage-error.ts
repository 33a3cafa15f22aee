/** What was typed cannot be meant: exit code 2, and nothing has been sent to any agent. */

/** A value that a flag or argument does not take. The message names the flag, the value and what is expected. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** The flag or argument as the user writes it: `--publish`, `HOST:PORT`. */
  readonly flag: string;
  /** The form that would have been taken, if there is one to show. */
  readonly expected: string;

  /**
   * @param flag the flag or argument as the user writes it
   * @param value what was given; `undefined` when nothing was
   * @param expected the form that would have been taken
   * @param problem what is wrong with the value in particular, when that says more than the expected form
   */
  constructor(flag: string, value: string | undefined, expected: string, problem?: string) {
    const what = value === undefined ? flag : `${flag} "${value}"`;
    super(`${what}: ${problem === undefined ? '' : `${problem}; `}expected ${expected}`);
    this.flag = flag;
    this.expected = expected;
  }
}
