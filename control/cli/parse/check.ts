/** Health checks, from flags. Pure. */
import { UsageError } from '../usage-error.ts';
import { parseDuration_ms } from './duration.ts';
import { parseInteger } from './number.ts';

/** What of a health check was named; the rest keeps its default, or what it was. */
export type CheckArgument = {
  kind?: 'tcp' | 'http' | 'none';
  path?: string;
  interval_ms?: number;
  timeout_ms?: number;
  rise?: number;
  fall?: number;
};

/** Longest path of an HTTP check, as in the store. */
const longestPath = 1_024;

/** `tcp`, `http` (path `/`), `http:PATH` or `none`. Throws {@link UsageError}. */
export function parseCheck(flag: string, value: string): CheckArgument {
  const expected = 'tcp, http, http:PATH or none, as in http:/healthz';
  if (value === 'tcp' || value === 'none') return { kind: value };
  if (value === 'http') return { kind: 'http', path: '/' };
  if (!value.startsWith('http:')) throw new UsageError(flag, value, expected);
  const path = value.slice('http:'.length);
  if (path.startsWith('//')) throw new UsageError(flag, value, expected, 'name the path only, not a URL');
  if (!path.startsWith('/')) throw new UsageError(flag, value, expected, 'the path begins with /');
  if (path.length > longestPath) {
    throw new UsageError(flag, `${value.slice(0, 32)}…`, expected, `the path is longer than ${longestPath}`);
  }
  // A space or a control character would end the request line early (RFC 9112 section 3).
  if (!/^[\x21-\x7e]+$/.test(path)) {
    throw new UsageError(flag, value, expected, 'the path holds a character that must be percent-encoded');
  }
  return { kind: 'http', path };
}

/** Time between two checks of an endpoint. Throws {@link UsageError}. */
export const parseCheckInterval_ms = (flag: string, value: string): number =>
  parseDuration_ms(flag, value, 50, 3_600_000);

/** Time after which a check has failed. Throws {@link UsageError}. */
export const parseCheckTimeout_ms = (flag: string, value: string): number =>
  parseDuration_ms(flag, value, 10, 60_000);

/** Checks in a row that change an endpoint's health. Throws {@link UsageError}. */
export const parseCheckCount = (flag: string, value: string): number => parseInteger(flag, value, 1, 100);
