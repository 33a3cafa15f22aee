/** The word that was probably meant. Pure. */

/** Edits (insert, delete, replace, swap of neighbours) between two words: Damerau's distance, restricted form. */
function distance(from: string, to: string): number {
  const width = to.length + 1;
  const rows = Array.from({ length: from.length + 1 }, (_, row) =>
    Array.from({ length: width }, (_, column) => (row === 0 ? column : column === 0 ? row : 0)),
  );
  const at = (row: number, column: number) => rows[row]?.[column] ?? 0;
  for (let row = 1; row <= from.length; row++) {
    for (let column = 1; column < width; column++) {
      const same = from[row - 1] === to[column - 1];
      let least = Math.min(
        at(row - 1, column) + 1,
        at(row, column - 1) + 1,
        at(row - 1, column - 1) + (same ? 0 : 1),
      );
      if (row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]) {
        least = Math.min(least, at(row - 2, column - 2) + 1);
      }
      const cells = rows[row];
      if (cells !== undefined) cells[column] = least;
    }
  }
  return at(from.length, to.length);
}

/** The known word nearest to `word`, if one is near enough that a slip of the hand explains it. */
export function near(word: string, known: readonly string[]): string | undefined {
  if (word.length > 64) return undefined;
  const ranked = known
    .map((candidate) => ({ candidate, edits: distance(word, candidate) }))
    .sort((a, b) => a.edits - b.edits);
  const [best] = ranked;
  if (best === undefined || best.edits > Math.max(2, Math.floor(best.candidate.length / 3))) return undefined;
  return best.candidate;
}
