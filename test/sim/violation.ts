/** What a simulation throws when a guarantee is broken. */

/** A guarantee was broken. */
export class Violation extends Error {
  override readonly name = 'Violation';
  /** Which one: a short name, the same for every case. */
  readonly invariant: string;

  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
  }
}
