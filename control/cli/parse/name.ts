/** Names, references and join tokens, from text. Pure. */
import { UsageError } from '../usage-error.ts';

/** Same rule as `Name` of the store: one DNS label in lower case (a test keeps the two together). */
const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const reference = /^[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?$/;

/** True for a name that a service, node or network can have. */
export function isName(text: string): boolean {
  return label.test(text);
}

/** The name of a new object: usable as a DNS label. Throws {@link UsageError}. */
export function parseName(flag: string, value: string): string {
  if (isName(value)) return value;
  const problem = isName(value.toLowerCase()) ? `write it in lower case: ${value.toLowerCase()}` : undefined;
  throw new UsageError(
    flag,
    value,
    'a name of 1 to 63 letters a-z, digits and dashes that begins and ends with a letter or digit',
    problem,
  );
}

/** True for what can name an object that exists: its name, its id or the beginning of its id. */
export function isReference(text: string): boolean {
  return reference.test(text);
}

/** A reference to an object that exists. Throws {@link UsageError}. */
export function parseReference(flag: string, value: string): string {
  if (!isReference(value)) throw new UsageError(flag, value, 'a name, an id or the beginning of an id');
  return value;
}

/** A role in the cluster. Throws {@link UsageError}. */
export function parseRole(flag: string, value: string): 'manager' | 'worker' {
  if (value !== 'manager' && value !== 'worker') throw new UsageError(flag, value, 'manager or worker');
  return value;
}

/**
 * A join token: `SHTKN-1-`, digest of the cluster's root certificate, secret. The value is a secret, so that the
 * error shows no more than its beginning. Throws {@link UsageError}.
 */
export function parseToken(flag: string, value: string): string {
  if (/^SHTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/.test(value)) return value;
  const shown = value.length > 12 ? `${value.slice(0, 12)}…` : value;
  const expected = 'a token as `shoal join-token manager|worker` prints it (SHTKN-1-…-…)';
  const problem = value.startsWith('SWMTKN-') ? 'this is a token of Docker Swarm' : undefined;
  throw new UsageError(flag, shown, expected, problem);
}
