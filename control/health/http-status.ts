/** Reads the status out of an HTTP/1 response as it arrives (RFC 9112), with limits, and nothing more. */

/** Longest response head that is read. */
export const maxHead_bytes = 16_384;

export type StatusResult = { kind: 'status'; status: number } | { kind: 'invalid' };

const headerField = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[\t\x20-\x7e\x80-\xff]*$/;

function readHead(head: string): StatusResult {
  const [statusLine, ...fields] = head.split('\r\n');
  const match = /^HTTP\/1\.[01] ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(statusLine ?? '');
  if (match === null || !fields.every((field) => headerField.test(field))) return { kind: 'invalid' };
  return { kind: 'status', status: Number(match[1]) };
}

/** Takes bytes until the head of the final response is complete; interim responses (1xx) are passed over. */
export class StatusReader {
  #text = '';
  #taken_bytes = 0;

  /** The result once it is known, undefined while more bytes are needed. */
  push(chunk: Buffer): StatusResult | undefined {
    const room_bytes = maxHead_bytes - this.#taken_bytes;
    this.#taken_bytes += chunk.length;
    this.#text += chunk.subarray(0, room_bytes).toString('latin1');
    for (;;) {
      const end = this.#text.indexOf('\r\n\r\n');
      if (end === -1) {
        if (this.#taken_bytes > maxHead_bytes || !this.#mayBeHttp()) return { kind: 'invalid' };
        return undefined;
      }
      const result = readHead(this.#text.slice(0, end));
      const interim = result.kind === 'status' && result.status < 200 && result.status !== 101;
      if (!interim) return result;
      this.#text = this.#text.slice(end + 4);
    }
  }

  /** Whether what has come so far can still become a response; other protocols need not be waited for. */
  #mayBeHttp(): boolean {
    const start = 'HTTP/1.';
    return this.#text.startsWith(start.slice(0, this.#text.length));
  }
}
