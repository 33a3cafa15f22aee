/** The order of lists: the same on every node and at every time. */

/** Compares by name, without regard to any locale. */
export function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** Compares by time of creation, then by id. */
export function byAge(
  a: { createdAt_ms: number; id: string },
  b: { createdAt_ms: number; id: string },
): number {
  return a.createdAt_ms - b.createdAt_ms || (a.id < b.id ? -1 : 1);
}
