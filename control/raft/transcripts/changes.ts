/** Membership changes as they are typed in transcripts: `v1 l2 r3 u4`. */

import type { ConfChangeSingle, ConfChangeType } from '../core/types.ts';

const LETTERS: Record<string, ConfChangeType> = {
  v: 'ConfChangeAddNode',
  l: 'ConfChangeAddLearnerNode',
  r: 'ConfChangeRemoveNode',
  u: 'ConfChangeUpdateNode',
};

/** The changes, or what is wrong with them, as it is printed. */
export function parseChanges(text: string): ConfChangeSingle[] | string {
  const changes: ConfChangeSingle[] = [];
  const trimmed = text.trim();
  for (const token of trimmed === '' ? [] : trimmed.split(' ')) {
    if (token.length < 2) return `unknown token ${token}`;
    const type = LETTERS[token.charAt(0)];
    if (type === undefined) return `unknown input: ${token}`;
    const digits = token.slice(1);
    const nodeId = Number(digits);
    if (!/^\d+$/.test(digits)) return `strconv.ParseUint: parsing "${digits}": invalid syntax`;
    if (!Number.isSafeInteger(nodeId)) return `strconv.ParseUint: parsing "${digits}": value out of range`;
    changes.push({ type, nodeId });
  }
  return changes;
}
