/**
 * Request and response heads of HTTP/1.0 and 1.1 (RFC 9112), as strict as a shared front end has to be: whatever
 * two implementations could read as different messages (request smuggling) is refused, not repaired.
 */
import type { Framing } from './body.ts';
import { fieldValues, type HeaderField, isHostAndPort, isToken, listMembers } from './grammar.ts';
import { type HeadError, HeadReader, type HeadResult, headError } from './head-reader.ts';
import type { L7Limits } from './limits.ts';

export type { HeadError, HeadErrorCode, HeadResult } from './head-reader.ts';

/** Minor version of HTTP/1. */
export type MinorVersion = 0 | 1;

/** A request head that may be forwarded. */
export type RequestHead = {
  method: string;
  /** In origin form (or `*` for OPTIONS), also when it came in absolute form. */
  target: string;
  minorVersion: MinorVersion;
  /** Host and port the client asked for: of an absolute target, else of Host; null if an HTTP/1.0 client gave none. */
  authority: string | null;
  fields: HeaderField[];
  /** Members of Connection, in lower case. */
  connection: string[];
  /** Whether the client lets the connection be used again. */
  keepAlive: boolean;
  /** Upgrade's value if the client asks for one. */
  upgrade: string | null;
  expectContinue: boolean;
  framing: Framing;
};

/** A response head. Its framing depends on the request as well: see `responseFraming`. */
export type ResponseHead = {
  status: number;
  reason: string;
  minorVersion: MinorVersion;
  fields: HeaderField[];
  connection: string[];
  keepAlive: boolean;
  upgrade: string | null;
  contentLength: number | null;
  chunked: boolean;
};

type RequestLine = { method: string; target: string; authority: string | null; minorVersion: MinorVersion };
type StatusLine = { status: number; reason: string; minorVersion: MinorVersion };
type Framed = { contentLength: number | null; chunked: boolean };

const methodLength = 32;
const visible = /^[!-~]+$/;
const absoluteForm = /^https?:\/\/([^/?]*)(.*)$/i;

/** Reads request heads; errors carry the status to answer with (400, 405, 414, 417, 431, 501, 505). */
export class RequestHeadParser {
  readonly #reader: HeadReader<RequestLine>;

  constructor(limits: L7Limits) {
    this.#reader = new HeadReader({
      limits,
      parseStartLine: parseRequestLine,
      startLineSize_bytes: limits.requestLineSize_bytes,
      startLineStatus: 414,
    });
  }

  /** Whether part of a head has been read. */
  get begun(): boolean {
    return this.#reader.begun;
  }

  push(chunk: Uint8Array): HeadResult<RequestHead> {
    const result = this.#reader.push(chunk);
    if (result.state !== 'head') return result;
    const head = interpretRequest(result.head.start, result.head.fields);
    if ('code' in head) return { state: 'error', error: head };
    return { state: 'head', head, consumed: result.consumed };
  }
}

/** Reads response heads; every error carries 502, which is what the client is told. */
export class ResponseHeadParser {
  readonly #reader: HeadReader<StatusLine>;

  constructor(limits: L7Limits) {
    this.#reader = new HeadReader({
      limits,
      parseStartLine: parseStatusLine,
      startLineSize_bytes: limits.headSize_bytes,
      startLineStatus: 502,
    });
  }

  push(chunk: Uint8Array): HeadResult<ResponseHead> {
    const result = this.#reader.push(chunk);
    if (result.state === 'more') return result;
    if (result.state === 'error') return { state: 'error', error: { ...result.error, status: 502 } };
    const head = interpretResponse(result.head.start, result.head.fields);
    if ('code' in head) return { state: 'error', error: { ...head, status: 502 } };
    return { state: 'head', head, consumed: result.consumed };
  }
}

/** RFC 9112 section 3: method SP target SP version, one space each. */
function parseRequestLine(line: string): RequestLine | HeadError {
  const first = line.indexOf(' ');
  const second = line.indexOf(' ', first + 1);
  if (first === -1 || second === -1) {
    return headError(400, 'request-line', 'the request line is not "method target version"');
  }
  const method = line.slice(0, first);
  const target = line.slice(first + 1, second);
  const version = line.slice(second + 1);
  if (!isToken(method)) return headError(400, 'method', 'the method has characters that are not allowed');
  if (method.length > methodLength) {
    return headError(501, 'method-too-long', `the method is longer than ${methodLength} characters`);
  }
  if (version !== 'HTTP/1.1' && version !== 'HTTP/1.0') {
    return /^HTTP\/\d\.\d$/.test(version)
      ? headError(505, 'version-unsupported', 'only HTTP/1.0 and HTTP/1.1 are spoken here')
      : headError(400, 'version', 'the request line does not end in an HTTP version');
  }
  if (method === 'CONNECT')
    return headError(501, 'method-connect', 'this is not a forward proxy: no CONNECT');
  if (method === 'TRACE') return headError(405, 'method-trace', 'TRACE is not allowed');
  const minorVersion = version === 'HTTP/1.1' ? 1 : 0;
  const split = splitTarget(method, target);
  return 'code' in split ? split : { method, ...split, minorVersion };
}

/** RFC 9112 section 3.2. A fragment is refused: servers disagree on whether it is part of the path. */
function splitTarget(
  method: string,
  target: string,
): { target: string; authority: string | null } | HeadError {
  if (!visible.test(target) || target.includes('#')) {
    return headError(400, 'target', 'the request target has characters that are not allowed');
  }
  if (target.startsWith('/')) return { target, authority: null };
  if (target === '*' && method === 'OPTIONS') return { target, authority: null };
  const absolute = absoluteForm.exec(target);
  if (absolute === null) {
    return headError(400, 'target-form', 'the request target is neither a path nor an http URL');
  }
  const [, authority = '', rest = ''] = absolute;
  if (authority === '' || authority.startsWith(':') || !isHostAndPort(authority)) {
    return headError(
      400,
      'host-invalid',
      'the host in the request target is not a host with an optional port',
    );
  }
  if (rest === '') return { target: method === 'OPTIONS' ? '*' : '/', authority };
  return { target: rest.startsWith('/') ? rest : `/${rest}`, authority };
}

function parseStatusLine(line: string): StatusLine | HeadError {
  const match = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/.exec(line);
  if (match === null) return headError(502, 'status-line', 'the first line is not an HTTP/1 status line');
  return { status: Number(match[2]), reason: match[3] ?? '', minorVersion: match[1] === '1' ? 1 : 0 };
}

function interpretRequest(line: RequestLine, fields: HeaderField[]): RequestHead | HeadError {
  const hosts = fieldValues(fields, 'host');
  const host = hosts[0];
  if (hosts.length > 1) return headError(400, 'host-duplicate', 'there is more than one Host header');
  if (host === undefined && line.minorVersion === 1) {
    return headError(400, 'host-missing', 'an HTTP/1.1 request must have a Host header');
  }
  if (host !== undefined && !isHostAndPort(host)) {
    return headError(400, 'host-invalid', 'the Host header is not a host with an optional port');
  }
  const framed = readFraming(fields, line.minorVersion);
  if ('code' in framed) return framed;
  const expectation = fieldValues(fields, 'expect');
  const expectContinue = expectation.length === 1 && expectation[0]?.toLowerCase() === '100-continue';
  if (expectation.length > 0 && !expectContinue) {
    return headError(417, 'expectation', 'the only expectation understood is 100-continue');
  }
  const connection = listMembers(fields, 'connection');
  const length = framed.contentLength ?? 0;
  const unchunked: Framing = length === 0 ? { kind: 'none' } : { kind: 'length', length };
  return {
    ...line,
    // RFC 9112, 3.2.2: the target's own host counts, whatever Host says.
    authority: line.authority ?? (host === '' ? null : (host ?? null)),
    fields,
    connection,
    keepAlive: persistent(connection, line.minorVersion),
    upgrade: upgradeOf(fields, connection, line.minorVersion),
    expectContinue: expectContinue && line.minorVersion === 1,
    framing: framed.chunked ? { kind: 'chunked' } : unchunked,
  };
}

function interpretResponse(line: StatusLine, fields: HeaderField[]): ResponseHead | HeadError {
  const framed = readFraming(fields, line.minorVersion);
  if ('code' in framed) return framed;
  const connection = listMembers(fields, 'connection');
  return {
    ...line,
    fields,
    connection,
    keepAlive: persistent(connection, line.minorVersion),
    upgrade: upgradeOf(fields, connection, line.minorVersion),
    ...framed,
  };
}

/** RFC 9112 section 6. Any doubt on where the message ends is an error. */
function readFraming(fields: readonly HeaderField[], minorVersion: MinorVersion): Framed | HeadError {
  const lengths = fieldValues(fields, 'content-length');
  const hasCoding = fields.some((field) => field.lower === 'transfer-encoding');
  if (lengths.length > 0 && hasCoding) {
    return headError(
      400,
      'content-length-with-transfer-encoding',
      'there are both Content-Length and Transfer-Encoding',
    );
  }
  if (hasCoding) {
    const error = codingError(fields, minorVersion);
    return error ?? { contentLength: null, chunked: true };
  }
  if (lengths.length > 1) {
    return headError(400, 'content-length-duplicate', 'there is more than one Content-Length header');
  }
  const text = lengths[0];
  if (text === undefined) return { contentLength: null, chunked: false };
  // 15 digits stay below 2^53, so that counting is exact.
  if (!/^\d{1,15}$/.test(text)) {
    return headError(400, 'content-length', 'Content-Length is not a number of at most 15 digits');
  }
  return { contentLength: Number(text), chunked: false };
}

function codingError(fields: readonly HeaderField[], minorVersion: MinorVersion): HeadError | null {
  if (minorVersion === 0) {
    return headError(400, 'transfer-encoding-version', 'HTTP/1.0 has no Transfer-Encoding');
  }
  const codings = fieldValues(fields, 'transfer-encoding')
    .join(',')
    .split(',')
    .map((coding) => coding.trim().toLowerCase());
  if (codings.length === 1 && codings[0] === 'chunked') return null;
  if (codings.some((coding) => !isToken(coding.split(';', 1)[0]?.trim() ?? ''))) {
    return headError(400, 'transfer-encoding', 'Transfer-Encoding is not a list of codings');
  }
  if (codings.indexOf('chunked') !== codings.length - 1) {
    return headError(
      400,
      'transfer-encoding-not-final',
      'chunked must be the last transfer coding, and only once',
    );
  }
  return headError(501, 'transfer-encoding-unsupported', 'the only transfer coding understood is chunked');
}

/** RFC 9112 section 9.3. */
function persistent(connection: readonly string[], minorVersion: MinorVersion): boolean {
  if (connection.includes('close')) return false;
  return minorVersion === 1 || connection.includes('keep-alive');
}

/** RFC 9110 section 7.8: Upgrade counts only if Connection names it, and not from HTTP/1.0. */
function upgradeOf(
  fields: readonly HeaderField[],
  connection: readonly string[],
  minorVersion: MinorVersion,
): string | null {
  if (minorVersion === 0 || !connection.includes('upgrade')) return null;
  const value = fieldValues(fields, 'upgrade').join(', ');
  return value === '' ? null : value;
}

/** Where a response's body ends (RFC 9112, 6.3), given the method of its request. */
export function responseFraming(head: ResponseHead, requestMethod: string): Framing {
  const { status } = head;
  if (requestMethod === 'HEAD' || status < 200 || status === 204 || status === 304) return { kind: 'none' };
  if (head.chunked) return { kind: 'chunked' };
  if (head.contentLength === null) return { kind: 'until-close' };
  return head.contentLength === 0 ? { kind: 'none' } : { kind: 'length', length: head.contentLength };
}
