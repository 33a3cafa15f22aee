/**
 * Rewriting heads on their way through (RFC 9110, section 7.6): hop-by-hop fields end here, the client's address
 * and wish are told to the endpoint, and message framing is written anew from what was parsed.
 */
import type { Framing } from './body.ts';
import { fieldValues, type HeaderField } from './grammar.ts';
import type { RequestHead, ResponseHead } from './head.ts';

/** What the endpoint is told of the client. */
export type ForwardedBy = {
  clientAddress: string;
  protocol: 'http' | 'https';
  /** Name in Via (RFC 9110, 7.6.3); null adds none. */
  via: string | null;
};

/** Fields that concern one connection only (RFC 9110, 7.6.1, and RFC 2616, 13.5.1, for the older ones). */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
]);
/** Written by `requestBytes` itself. */
const rewritten = new Set([
  'host',
  'content-length',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'via',
]);
/** CGI-style servers read `_` as `-`: these spellings would let a client forge what is said here. */
const forged = new Set(['x_forwarded_for', 'x_forwarded_proto', 'x_forwarded_host']);

/** Requests that may be sent again unasked (RFC 9110, 9.2.2). */
const idempotentMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/** Whether a request by this method may be sent a second time if no answer came. */
export function isIdempotent(method: string): boolean {
  return idempotentMethods.has(method);
}

/**
 * The protocol to be switched to, if the client's wish is passed on. HTTP/2 is not: what follows would carry
 * requests that nobody here sees (RFC 9113 has dropped this way of starting it).
 */
export function forwardedUpgrade(head: RequestHead): string | null {
  const { upgrade } = head;
  return upgrade !== null && /(^|[,\s])h2c?($|[,\s/])/i.test(upgrade) ? null : upgrade;
}

/** How often a request has passed the front end that calls itself `via`. */
export function viaPasses(head: RequestHead, via: string): number {
  let passes = 0;
  for (const value of fieldValues(head.fields, 'via')) {
    for (const hop of value.split(',')) if (hop.trim().split(/\s+/)[1] === via) passes += 1;
  }
  return passes;
}

/** The request head as sent to the endpoint, always as HTTP/1.1. */
export function requestBytes(head: RequestHead, by: ForwardedBy): Buffer {
  const nominated = new Set(head.connection);
  const upgrade = forwardedUpgrade(head);
  let text = `${head.method} ${head.target} HTTP/1.1\r\nHost: ${head.authority ?? ''}\r\n`;
  for (const field of head.fields) {
    const { lower } = field;
    if (hopByHop.has(lower) || rewritten.has(lower) || forged.has(lower) || nominated.has(lower)) continue;
    text += `${field.name}: ${field.value}\r\n`;
  }
  text += framingLine(head.framing, head.fields);
  text += forwardedLines(head, by, nominated);
  const acceptsTrailers = fieldValues(head.fields, 'te').some((value) =>
    /(^|,)\s*trailers\s*(,|$)/i.test(value),
  );
  if (acceptsTrailers) text += 'TE: trailers\r\n';
  const options = [...(upgrade === null ? [] : ['upgrade']), ...(acceptsTrailers ? ['TE'] : [])];
  if (upgrade !== null) text += `Upgrade: ${upgrade}\r\n`;
  if (options.length > 0) text += `Connection: ${options.join(', ')}\r\n`;
  return Buffer.from(`${text}\r\n`, 'latin1');
}

/** `Content-Length: 0` is kept, since for a POST it says something that its absence does not. */
function framingLine(framing: Framing, fields: readonly HeaderField[]): string {
  if (framing.kind === 'chunked') return 'Transfer-Encoding: chunked\r\n';
  if (framing.kind === 'length') return `Content-Length: ${framing.length}\r\n`;
  return fields.some((field) => field.lower === 'content-length') ? 'Content-Length: 0\r\n' : '';
}

function forwardedLines(head: RequestHead, by: ForwardedBy, nominated: ReadonlySet<string>): string {
  // A chain that the client asked to be removed, by naming it in Connection, starts anew here.
  const before = (lower: string) => (nominated.has(lower) ? [] : fieldValues(head.fields, lower));
  const chain = [...before('x-forwarded-for').filter((value) => value !== ''), by.clientAddress].join(', ');
  let text = `X-Forwarded-For: ${chain}\r\nX-Forwarded-Proto: ${by.protocol}\r\n`;
  if (head.authority !== null) text += `X-Forwarded-Host: ${head.authority}\r\n`;
  // Via is what finds loops, so it stays whatever Connection names.
  const via = fieldValues(head.fields, 'via').filter((value) => value !== '');
  if (by.via !== null) via.push(`1.${head.minorVersion} ${by.via}`);
  if (via.length > 0) text += `Via: ${via.join(', ')}\r\n`;
  return text;
}

/** How a response goes to the client. */
export type ResponseForm = {
  /** Whether the client's connection is kept after it. */
  keepAlive: boolean;
  /** Version of the request: HTTP/1.0 has to be told of keep-alive and cannot read chunks. */
  clientMinorVersion: 0 | 1;
};

/** The final response head as sent to the client. */
export function responseBytes(head: ResponseHead, form: ResponseForm): Buffer {
  let text = statusAndFields(head, new Set(['content-length']));
  // RFC 9112, 6.1 and 6.3: a 204 has no framing fields at all; a 304 and an answer to HEAD keep theirs.
  if (head.contentLength !== null && head.status !== 204) text += `Content-Length: ${head.contentLength}\r\n`;
  if (head.chunked && head.status !== 204 && head.status !== 304 && form.clientMinorVersion === 1) {
    text += 'Transfer-Encoding: chunked\r\n';
  }
  if (!form.keepAlive) text += 'Connection: close\r\n';
  else if (form.clientMinorVersion === 0) text += 'Connection: keep-alive\r\n';
  return Buffer.from(`${text}\r\n`, 'latin1');
}

/** A 1xx head as sent to the client; 101 keeps its Upgrade. */
export function interimResponseBytes(head: ResponseHead): Buffer {
  let text = statusAndFields(head, new Set(['content-length']));
  if (head.status === 101) text += `Connection: upgrade\r\nUpgrade: ${head.upgrade ?? ''}\r\n`;
  return Buffer.from(`${text}\r\n`, 'latin1');
}

function statusAndFields(head: ResponseHead, without: ReadonlySet<string>): string {
  const nominated = new Set(head.connection);
  let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
  for (const field of head.fields) {
    if (hopByHop.has(field.lower) || without.has(field.lower) || nominated.has(field.lower)) continue;
    text += `${field.name}: ${field.value}\r\n`;
  }
  return text;
}
