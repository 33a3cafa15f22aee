/**
 * The small pieces of HTTP grammar that heads, trailers and routes share (RFC 9110 section 5, RFC 9112).
 * Text is Latin-1: one character per byte, so that nothing changes when it is written out again.
 */

/** One header field as received: the name as written, the same in lower case, and the value without outer OWS. */
export type HeaderField = { name: string; lower: string; value: string };

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const hostAndPort = /^(?:[A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/;
const hostPattern = /^(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?$/;

/** Whether `text` is a token (RFC 9110, 5.6.2), as methods and field names must be. */
export function isToken(text: string): boolean {
  return token.test(text);
}

/**
 * Whether `text` is a host with an optional port. Stricter than RFC 3986's reg-name: letters, digits, `.`, `-`,
 * `_` or an IPv6 literal, which is all that DNS or a route can name.
 */
export function isHostAndPort(text: string): boolean {
  return text.length <= 262 && hostAndPort.test(text);
}

/** Whether `text` (normalised) can be a route's host: a name, or `*.` and a name. */
export function isHostPattern(text: string): boolean {
  return text.length <= 253 && hostPattern.test(text) && !text.includes('..');
}

/** A host as routes compare it: without port, in lower case, without the root's trailing dot. */
export function normaliseHost(authority: string): string {
  const portAt = authority.startsWith('[')
    ? authority.indexOf(':', authority.indexOf(']'))
    : authority.indexOf(':');
  const host = (portAt === -1 ? authority : authority.slice(0, portAt)).toLowerCase();
  return host.endsWith('.') ? host.slice(0, -1) : host;
}

/** Bytes that no line of a head may hold: controls other than HTAB; CR and LF are the line scanner's own. */
export const isForbiddenByte: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  (byte < 0x20 && byte !== 0x09) || byte === 0x7f ? 1 : 0,
);

/** Why a field line is refused. */
export type FieldLineError = 'obs-fold' | 'missing-colon' | 'space-before-colon' | 'field-name';

/**
 * One field line without its CRLF. Controls must have been refused before. Folding and space before the colon are
 * refused, since the next hop may read them otherwise (RFC 9112, 5.1 and 5.2).
 */
export function parseFieldLine(line: string): HeaderField | FieldLineError {
  const first = line.charCodeAt(0);
  if (first === 0x20 || first === 0x09) return 'obs-fold';
  const colon = line.indexOf(':');
  if (colon === -1) return 'missing-colon';
  const name = line.slice(0, colon);
  if (/[ \t]$/.test(name)) return 'space-before-colon';
  if (!token.test(name)) return 'field-name';
  let start = colon + 1;
  let end = line.length;
  while (start < end && isSpace(line.charCodeAt(start))) start += 1;
  while (end > start && isSpace(line.charCodeAt(end - 1))) end -= 1;
  return { name, lower: name.toLowerCase(), value: line.slice(start, end) };
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** All values of a field, in order. */
export function fieldValues(fields: readonly HeaderField[], lower: string): string[] {
  return fields.filter((field) => field.lower === lower).map((field) => field.value);
}

/** The members of a comma-separated list field over all its lines, in lower case, empty ones left out. */
export function listMembers(fields: readonly HeaderField[], lower: string): string[] {
  const members: string[] = [];
  for (const field of fields) {
    if (field.lower !== lower) continue;
    for (const member of field.value.split(',')) {
      const trimmed = member.trim().toLowerCase();
      if (trimmed !== '') members.push(trimmed);
    }
  }
  return members;
}
