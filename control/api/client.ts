/**
 * The API's client, over the Unix socket of an agent on the same machine. It stands on Node's own HTTP client,
 * which is there at once: loading undici takes as long as all else that the command line does (100 of 200 ms).
 */
import { Agent, type IncomingMessage, request } from 'node:http';
import { deserialiseError, shoalError } from '../errors.ts';
import { socketFailure } from './socket-failure.ts';

/** Longest that the agent may take for its answer: above its own limits, so that its word is heard. */
const answerTime_ms = 100_000;
/** Longest answer that is read. */
const answerSize_bytes = 256 * 1_024 * 1_024;

type Query = Record<string, string | number | undefined>;
type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
type Answer = { status: number; text: string };

/** Calls the API of one agent. Errors that it answers with are thrown as they are in the catalogue. */
export class ApiClient implements Disposable {
  readonly #socketPath: string;
  readonly #connections = new Agent({ keepAlive: true, maxSockets: 1 });

  /** @param socketPath Unix socket of the agent; nothing is opened before the first call */
  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** `GET path`. Throws ShoalError, or SocketFailure when no agent answers. */
  get<T>(path: string, query?: Query): Promise<T> {
    return this.#call('GET', path, undefined, query);
  }

  /** `POST path`. Throws as {@link get}. */
  post<T>(path: string, body: object, query?: Query): Promise<T> {
    return this.#call('POST', path, body, query);
  }

  /** `PATCH path`. Throws as {@link get}. */
  patch<T>(path: string, body: object, query?: Query): Promise<T> {
    return this.#call('PATCH', path, body, query);
  }

  /** `DELETE path`. Throws as {@link get}. */
  delete<T>(path: string, query?: Query): Promise<T> {
    return this.#call('DELETE', path, undefined, query);
  }

  [Symbol.dispose](): void {
    this.#connections.destroy();
  }

  async #call<T>(method: Method, path: string, body: object | undefined, query: Query = {}): Promise<T> {
    const named = Object.entries(query).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, String(value)]],
    );
    const target = named.length === 0 ? path : `${path}?${new URLSearchParams(named)}`;
    let answer: Answer;
    try {
      answer = await this.#exchange(method, target, body === undefined ? undefined : JSON.stringify(body));
    } catch (thrown) {
      throw socketFailure(thrown, this.#socketPath);
    }
    let value: unknown;
    try {
      value = JSON.parse(answer.text);
    } catch {
      throw shoalError('INTERNAL', { reason: `what answers at ${this.#socketPath} is not a shoal agent` });
    }
    if (answer.status >= 400) throw deserialiseError(value);
    return value as T;
  }

  /** One request and its answer, whole. Rejects with what the socket or the parser said, or ETIMEDOUT. */
  #exchange(method: Method, path: string, body: string | undefined): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const sent = request({
        socketPath: this.#socketPath,
        agent: this.#connections,
        host: 'shoal',
        method,
        path,
        headers,
      });
      const late = setTimeout(() => sent.destroy(coded('ETIMEDOUT')), answerTime_ms);
      const fail = (error: Error) => {
        clearTimeout(late);
        reject(error);
      };
      sent.once('error', fail);
      sent.once('response', (response) => {
        readWhole(response).then((text) => {
          clearTimeout(late);
          resolve({ status: response.statusCode ?? 0, text });
        }, fail);
      });
      sent.end(body);
    });
  }
}

/** An error that is known by its code. */
function coded(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

/** The body of an answer as text. Rejects with EMSGSIZE beyond the limit, ECONNRESET when it is cut short. */
async function readWhole(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let size_bytes = 0;
  for await (const piece of response) {
    size_bytes += (piece as Buffer).length;
    if (size_bytes > answerSize_bytes) {
      response.destroy();
      throw coded('EMSGSIZE');
    }
    pieces.push(piece as Buffer);
  }
  return Buffer.concat(pieces).toString('utf8');
}
