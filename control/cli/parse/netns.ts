/** Network namespaces, from text. Pure. */
import { UsageError } from '../usage-error.ts';
import { parseInteger } from './number.ts';

/** Longest path of a namespace that the store takes. */
const longestPath = 1_024;
/** Where `ip netns` keeps names (ip-netns(8)). */
const namedFolder = '/run/netns/';

/** A path from the root, or the name of one in /run/netns. Throws {@link UsageError}. */
export function parseNetns(flag: string, value: string): string {
  const expected = 'the path of a network namespace, such as /run/netns/app, or a name there';
  const path = value.includes('/') ? value : `${namedFolder}${value}`;
  const parts = path.split('/');
  const wrong =
    value === '' ||
    !path.startsWith('/') ||
    parts.includes('..') ||
    parts.includes('.') ||
    /\p{Cc}/u.test(path);
  if (wrong || path.endsWith('/') || path.length > longestPath) throw new UsageError(flag, value, expected);
  return path;
}

/** A process id, up to the largest that a 64-bit kernel gives (PID_MAX_LIMIT). Throws {@link UsageError}. */
export function parsePid(flag: string, value: string): number {
  return parseInteger(flag, value, 1, 4_194_304);
}
