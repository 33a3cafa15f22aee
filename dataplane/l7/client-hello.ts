/**
 * Reads what a TLS client says first, without decrypting anything: the server name (RFC 6066, section 3) and the
 * application protocols (RFC 7301) of its ClientHello (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2), which may come in
 * many records and many pieces. Unknown extensions, GREASE (RFC 8701) among them, are passed over. With encrypted
 * client hello the name is the outer, public one.
 */

/** Alert descriptions used here (RFC 8446, 6.2). */
export const alerts = {
  unexpectedMessage: 10,
  recordOverflow: 22,
  illegalParameter: 47,
  decodeError: 50,
  protocolVersion: 70,
  internalError: 80,
  unrecognizedName: 112,
} as const;

/** What the client asked for; `serverName` is null when it named none. */
export type ClientHello = { serverName: string | null; applicationProtocols: string[] };

/** Wait for more, the hello, or what is wrong with it and the alert to send. */
export type ClientHelloResult =
  | { state: 'more' }
  | { state: 'hello'; hello: ClientHello }
  | { state: 'error'; alert: number; reason: string };

const handshakeRecord = 22;
const recordSize_bytes = 1 << 14;
const clientHelloType = 1;
const more: { state: 'more' } = { state: 'more' };

/** Feed it a connection's first bytes until it gives something else than `more`; then it repeats that answer. */
export class ClientHelloParser {
  readonly #limit_bytes: number;
  /** Handshake bytes so far, record headers removed. */
  #message: Buffer = Buffer.alloc(0);
  #messageLength = 0;
  #header: number[] = [];
  #recordLeft = 0;
  #result: ClientHelloResult = more;

  constructor(limits: { clientHelloSize_bytes: number }) {
    this.#limit_bytes = limits.clientHelloSize_bytes;
  }

  push(chunk: Uint8Array): ClientHelloResult {
    let i = 0;
    while (i < chunk.length && this.#result.state === 'more') {
      if (this.#recordLeft === 0) {
        this.#header.push(chunk[i] as number);
        i += 1;
        this.#result = this.#checkHeader();
        continue;
      }
      // One byte while the message's own header is read, so that a bad one is found at its place.
      const whole = this.#messageLength < 4 ? 1 : this.#expectedLength() - this.#messageLength;
      const take = Math.min(this.#recordLeft, chunk.length - i, whole);
      this.#append(chunk.subarray(i, i + take));
      this.#recordLeft -= take;
      i += take;
      this.#result = this.#checkMessage();
    }
    return this.#result;
  }

  #checkHeader(): ClientHelloResult {
    const [type, major, , high, low] = this.#header;
    if (type !== handshakeRecord) return failed(alerts.unexpectedMessage, 'this is not a TLS handshake');
    if (major !== undefined && major !== 3) {
      return failed(alerts.protocolVersion, `record version ${major} is not TLS`);
    }
    if (high === undefined || low === undefined) return more;
    const length = high * 256 + low;
    if (length === 0) return failed(alerts.unexpectedMessage, 'there is an empty handshake record');
    if (length > recordSize_bytes) return failed(alerts.recordOverflow, `a record has ${length} bytes`);
    this.#recordLeft = length;
    this.#header = [];
    return more;
  }

  #checkMessage(): ClientHelloResult {
    if (this.#message[0] !== clientHelloType) {
      return failed(alerts.unexpectedMessage, 'the first message is not a ClientHello');
    }
    if (this.#messageLength < 4) return more;
    const expected = this.#expectedLength();
    if (expected > this.#limit_bytes) {
      return failed(alerts.decodeError, `the ClientHello is longer than ${this.#limit_bytes} bytes`);
    }
    if (this.#messageLength < expected) return more;
    return parseClientHello(this.#message.subarray(4, expected));
  }

  #expectedLength(): number {
    return 4 + this.#message.readUIntBE(1, 3);
  }

  #append(piece: Uint8Array): void {
    const needed = this.#messageLength + piece.length;
    if (needed > this.#message.length) {
      const grown = Buffer.alloc(Math.max(512, needed, this.#message.length * 2));
      this.#message.copy(grown, 0, 0, this.#messageLength);
      this.#message = grown;
    }
    this.#message.set(piece, this.#messageLength);
    this.#messageLength = needed;
  }
}

/** Reads length-prefixed vectors (RFC 8446, 3.4); a read beyond the end gives null, and so do all after it. */
class VectorReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get empty(): boolean {
    return this.#at === this.#bytes.length;
  }

  number(size_bytes: 1 | 2): number | null {
    if (this.#at + size_bytes > this.#bytes.length) return null;
    const value = this.#bytes.readUIntBE(this.#at, size_bytes);
    this.#at += size_bytes;
    return value;
  }

  take(length: number): Buffer | null {
    if (this.#at + length > this.#bytes.length) return null;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  vector(prefix_bytes: 1 | 2): Buffer | null {
    const length = this.number(prefix_bytes);
    return length === null ? null : this.take(length);
  }
}

function failed(alert: number, reason: string): ClientHelloResult {
  return { state: 'error', alert, reason };
}

function malformed(what: string): ClientHelloResult {
  return { state: 'error', alert: alerts.decodeError, reason: `the ClientHello's ${what} is malformed` };
}

function parseClientHello(body: Buffer): ClientHelloResult {
  const reader = new VectorReader(body);
  const version = reader.number(2);
  if (version === null || reader.take(32) === null) return malformed('start');
  if (version >> 8 !== 3) {
    return { state: 'error', alert: alerts.protocolVersion, reason: `version ${version} is not TLS` };
  }
  const session = reader.vector(1);
  if (session === null || session.length > 32) return malformed('session id');
  const suites = reader.vector(2);
  if (suites === null || suites.length < 2 || suites.length % 2 !== 0)
    return malformed('list of cipher suites');
  const compression = reader.vector(1);
  if (compression === null || compression.length === 0) return malformed('list of compression methods');
  const hello: ClientHello = { serverName: null, applicationProtocols: [] };
  if (reader.empty) return { state: 'hello', hello };
  const extensions = reader.vector(2);
  if (extensions === null || !reader.empty) return malformed('extension block');
  return readExtensions(extensions, hello);
}

function readExtensions(bytes: Buffer, hello: ClientHello): ClientHelloResult {
  const reader = new VectorReader(bytes);
  const seen = new Set<number>();
  while (!reader.empty) {
    const type = reader.number(2);
    const data = reader.vector(2);
    if (type === null || data === null) return malformed('extension block');
    if (seen.has(type)) {
      return { state: 'error', alert: alerts.illegalParameter, reason: `extension ${type} comes twice` };
    }
    seen.add(type);
    if (type === 0) {
      const name = readServerName(data);
      if (name === null) return malformed('server name');
      hello.serverName = name;
    } else if (type === 16) {
      const protocols = readProtocols(data);
      if (protocols === null) return malformed('list of application protocols');
      hello.applicationProtocols = protocols;
    }
  }
  return { state: 'hello', hello };
}

/** RFC 6066: a list of which only host names (type 0) are defined, at most one of each type. */
function readServerName(data: Buffer): string | null {
  const outer = new VectorReader(data);
  const list = outer.vector(2);
  if (list === null || !outer.empty) return null;
  const reader = new VectorReader(list);
  const type = reader.number(1);
  const name = reader.vector(2);
  if (type !== 0 || name === null || !reader.empty) return null;
  const text = name.toString('latin1');
  return text.length <= 254 && /^[A-Za-z0-9._-]+$/.test(text) ? text : null;
}

function readProtocols(data: Buffer): string[] | null {
  const outer = new VectorReader(data);
  const list = outer.vector(2);
  if (list === null || list.length === 0 || !outer.empty) return null;
  const reader = new VectorReader(list);
  const protocols: string[] = [];
  while (!reader.empty) {
    const name = reader.vector(1);
    if (name === null || name.length === 0) return null;
    protocols.push(name.toString('latin1'));
  }
  return protocols;
}

/** A fatal alert as one plaintext record, which is what a client can read before any keys exist. */
export function fatalAlert(description: number): Buffer {
  return Buffer.from([21, 3, 3, 0, 2, 2, description]);
}
