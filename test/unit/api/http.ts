/** Requests to an app without a network, with what the tests want of the answer. */
import type { LightMyRequestResponse } from 'fastify';
import type { PeerOf, Surface } from '../../../control/api/access.ts';
import { buildApp } from '../../../control/api/app.ts';
import type { Api } from '../../../control/api/schemas.ts';
import type { SerialisedError } from '../../../control/errors.ts';
import type { FakeAgent } from './fake-agent.ts';

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** One answer: status, and the body as JSON. */
export type Answer<T> = { status: number; body: T; raw: LightMyRequestResponse };

/** An app with short ways to call it. */
export class TestApi implements AsyncDisposable {
  readonly app: Api;
  constructor(app: Api) {
    this.app = app;
  }

  static async of(agent: FakeAgent, surface: Surface = 'local', peerOf?: PeerOf): Promise<TestApi> {
    const options = { services: agent, surface, ...(peerOf === undefined ? {} : { peerOf }) };
    return new TestApi(await buildApp(options));
  }

  /** Sends a request; an object is sent as JSON, text as it is under the content type of JSON. */
  async call<T>(method: Method, url: string, body?: object | string): Promise<Answer<T>> {
    const sent =
      body === undefined
        ? {}
        : {
            payload: typeof body === 'string' ? body : JSON.stringify(body),
            headers: { 'content-type': 'application/json' },
          };
    const raw = await this.app.inject({ method, url, ...sent });
    return { status: raw.statusCode, body: raw.json() as T, raw };
  }

  get<T>(url: string): Promise<Answer<T>> {
    return this.call<T>('GET', url);
  }

  /** The error that a request is answered with. */
  async fails(method: Method, url: string, body?: object | string) {
    const answer = await this.call<SerialisedError>(method, url, body);
    return { status: answer.status, text: answer.raw.payload, ...answer.body.error };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.app.close();
  }
}
