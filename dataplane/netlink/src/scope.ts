import { numberOf, wordOf } from './rtnetlink.ts';

const SCOPES = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;

/** How far an address or route reaches, as in <linux/rtnetlink.h>; a number for those without a word. */
export type Scope = keyof typeof SCOPES | number;

/** The kernel's number of a scope. @throws TypeError for an unknown word */
export function encodeScope(scope: Scope): number {
  return typeof scope === 'number' ? scope : numberOf(SCOPES, scope, 'scope');
}

/** The word for a scope's number, or the number. */
export function decodeScope(number: number): Scope {
  return wordOf(SCOPES, number) ?? number;
}
