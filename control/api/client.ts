/** The API's client, over the Unix socket of an agent on the same machine. */
import { Client, type Dispatcher } from 'undici';
import { deserialiseError, shoalError } from '../errors.ts';
import { socketFailure } from './socket-failure.ts';

/** Longest that the agent may take for its answer: above its own limits, so that its word is heard. */
const answerTime_ms = 100_000;
/** Longest answer that is read. */
const answerSize_bytes = 256 * 1_024 * 1_024;

type Query = Record<string, string | number | undefined>;
type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** Calls the API of one agent. Errors that it answers with are thrown as they are in the catalogue. */
export class ApiClient implements AsyncDisposable {
  readonly #socketPath: string;
  readonly #client: Client;

  /** @param socketPath Unix socket of the agent; nothing is opened before the first call */
  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    this.#client = new Client('http://shoal', {
      connect: { socketPath },
      headersTimeout: answerTime_ms,
      bodyTimeout: answerTime_ms,
      maxResponseSize: answerSize_bytes,
    });
  }

  /** `GET path`. Throws ShoalError, also (UNREACHABLE) when no agent answers. */
  get<T>(path: string, query?: Query): Promise<T> {
    return this.#call('GET', path, undefined, query);
  }

  /** `POST path`. Throws ShoalError. */
  post<T>(path: string, body: object, query?: Query): Promise<T> {
    return this.#call('POST', path, body, query);
  }

  /** `PATCH path`. Throws ShoalError. */
  patch<T>(path: string, body: object, query?: Query): Promise<T> {
    return this.#call('PATCH', path, body, query);
  }

  /** `DELETE path`. Throws ShoalError. */
  delete<T>(path: string, query?: Query): Promise<T> {
    return this.#call('DELETE', path, undefined, query);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.destroy();
  }

  async #call<T>(method: Method, path: string, body: object | undefined, query: Query = {}): Promise<T> {
    const named = Object.entries(query).filter(([, value]) => value !== undefined);
    let answer: Dispatcher.ResponseData;
    let text: string;
    try {
      answer = await this.#client.request({
        method,
        path,
        query: Object.fromEntries(named),
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
      text = await answer.body.text();
    } catch (thrown) {
      throw socketFailure(thrown, this.#socketPath);
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw shoalError('INTERNAL', { reason: `what answers at ${this.#socketPath} is not a shoal agent` });
    }
    if (answer.statusCode >= 400) throw deserialiseError(value);
    return value as T;
  }
}
