/** What a mutation is, and how one is applied to a source text. */

/** One deliberate bug. */
export interface Mutation {
  /** For the command line. */
  readonly name: string;
  /** What breaks by it, and which rule of Raft forbids it. */
  readonly why: string;
  /** Relative to the repository. */
  readonly file: string;
  /** A text that stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** A mutation that the simulation cannot catch, with the reason. */
export interface OpenMutation extends Mutation {
  readonly reason: string;
}

/**
 * The source with the bug. Throws unless the text is there exactly once: a mutation of code that has changed must
 * be rewritten, and not pass in silence.
 */
export function applyMutation({ name, file, find, replace }: Mutation, source: string): string {
  const count = source.split(find).length - 1;
  if (count !== 1) {
    throw new Error(
      `mutation ${name}: its text is ${count} times in ${file}, not once; adapt it to the present code: ${find}`,
    );
  }
  // A function, so that no pattern in the text is taken for one.
  return source.replace(find, () => replace);
}
