/**
 * One request and its response: sends the request to an endpoint (again, where that is safe), relays the response,
 * and holds each side to the other's pace. It ends exactly once, by telling the client's connection how.
 */
import type { Socket } from 'node:net';
import { type Answer, answers } from './answers.ts';
import { Attempts, type NoConnection } from './attempts.ts';
import { BodyReader, type Framing } from './body.ts';
import type { BackendService, L7Context } from './context.ts';
import {
  forwardedUpgrade,
  interimResponseBytes,
  isIdempotent,
  requestBytes,
  responseBytes,
} from './forward.ts';
import { fieldValues } from './grammar.ts';
import { type RequestHead, type ResponseHead, ResponseHeadParser, responseFraming } from './head.ts';
import type { UpstreamConnection, UpstreamEnd, UpstreamUser } from './upstream.ts';

/** The client's side of an exchange. */
export type ExchangeClient = {
  readonly address: string;
  /** Whether the connection may be kept after this response, as far as the client's side knows. */
  mayKeepAlive(): boolean;
  /** Sends to the client; false if it should be given time. */
  write(bytes: Uint8Array): boolean;
  cork(): void;
  uncork(): void;
  /** Body bytes may come again (`Exchange.body` took less than it was given, or said it was congested). */
  resumeBody(): void;
  /** Nothing of a response was sent: say this instead. */
  fail(answer: Answer): void;
  /** The response is complete. */
  complete(keepAlive: boolean): void;
  /** The response cannot be completed: cut the connection. */
  abort(): void;
  /** 101: join this socket to the client; `rest` was already read from it. */
  upgrade(socket: Socket, rest: Buffer, finish: () => void): void;
};

/** See the head of this file. */
export class Exchange implements UpstreamUser {
  readonly #context: L7Context;
  readonly #client: ExchangeClient;
  readonly #head: RequestHead;
  readonly #service: BackendService;
  readonly #attempts: Attempts;
  readonly #requestBody: BodyReader;
  readonly #responseParser: ResponseHeadParser;
  #upstream: UpstreamConnection | null = null;
  #ready = false;
  #upstreamCongested = false;
  #clientCongested = false;
  #finished = false;
  /** Sent part of the request body, as long as the request can be sent again; null once it cannot. */
  #replay: Buffer[] | null;
  #replay_bytes = 0;
  #answered = false;
  #interim = 0;
  #response: ResponseHead | null = null;
  #responseFraming: Framing = { kind: 'none' };
  #responseBody: BodyReader | null = null;
  #keepAlive = false;
  #unchunk = false;
  #timer: NodeJS.Timeout | null = null;
  #timerFor = '';
  received_bytes = 0;
  sent_bytes = 0;

  constructor(context: L7Context, client: ExchangeClient, head: RequestHead, service: BackendService) {
    this.#context = context;
    this.#client = client;
    this.#head = head;
    this.#service = service;
    this.#attempts = new Attempts(context, service);
    this.#requestBody = new BodyReader(head.framing, context.limits);
    this.#responseParser = new ResponseHeadParser(context.limits);
    this.#replay = isIdempotent(head.method) ? [] : null;
  }

  get service(): BackendService {
    return this.#service;
  }

  /** Endpoint in use or tried last. */
  get backend() {
    return this.#attempts.backend;
  }

  /** Status sent to the client, if any. */
  get status(): number | null {
    return this.#response?.status ?? null;
  }

  /** Whether all of the request has been read. */
  get requestComplete(): boolean {
    return this.#requestBody.done;
  }

  /** Whether request body bytes would be taken now. */
  get acceptsBody(): boolean {
    return this.#ready && !this.#upstreamCongested && !this.#requestBody.done;
  }

  start(): void {
    this.#connect(this.#attempts.next(this, { pooled: true, avoid: false }));
  }

  /** Takes bytes of the request body; returns how many were taken. */
  body(bytes: Buffer): number {
    if (!this.acceptsBody) return 0;
    const used = this.#requestBody.push(bytes);
    if (this.#requestBody.error !== null) {
      this.#context.counters.bodies_malformed += 1;
      this.#fail(answers.bodyMalformed(this.#requestBody.error));
      return used;
    }
    if (used > 0) this.#send(bytes.subarray(0, used));
    this.#armForRequest();
    return used;
  }

  /** The client takes bytes again. */
  clientDrained(): void {
    if (!this.#clientCongested) return;
    this.#clientCongested = false;
    this.#upstream?.socket.resume();
    if (this.#timerFor === 'client') this.#disarm();
  }

  /** The client is gone. */
  cancel(): void {
    if (this.#finished) return;
    this.#context.counters.requests_aborted_by_client += 1;
    this.#finish();
    this.#upstream?.destroy();
  }

  connected(): void {
    const upstream = this.#upstream;
    if (upstream === null) throw new Error('an exchange was connected without a connection');
    this.#ready = true;
    this.#attempts.connected();
    const { via } = this.#context;
    const head = requestBytes(this.#head, { clientAddress: this.#client.address, protocol: 'http', via });
    upstream.socket.cork();
    let taken = upstream.socket.write(head);
    for (const bytes of this.#replay ?? []) taken = upstream.socket.write(bytes);
    this.#upstreamCongested = !taken;
    // Body bytes that wait at the client leave together with the head.
    this.#armForRequest();
    if (!this.#requestBody.done && taken) this.#client.resumeBody();
    upstream.socket.uncork();
  }

  drained(): void {
    this.#upstreamCongested = false;
    if (!this.#finished && this.#ready) this.#client.resumeBody();
  }

  data(bytes: Buffer): void {
    this.#answered = true;
    this.#client.cork();
    this.#consume(bytes);
    this.#client.uncork();
  }

  closed(reason: UpstreamEnd): void {
    const wasReused = this.#upstream?.reused ?? false;
    const wasReady = this.#ready;
    this.#upstream = null;
    this.#ready = false;
    // A reset says that something is missing, so only a proper end completes a body of unstated length.
    if (reason === 'ended' && this.#responseBody?.end() === true) {
      this.#complete(null);
      return;
    }
    if (this.#answered) {
      this.#context.counters.responses_aborted_by_endpoint += 1;
      this.#fail(
        answers.endpointFailed(this.#service.name, 'closed the connection before its response was complete'),
      );
      return;
    }
    if (!wasReady || this.#replay !== null) {
      // A pooled connection that the endpoint has closed says nothing about the endpoint.
      const next = this.#attempts.next(this, { pooled: false, avoid: !wasReused });
      if ('connection' in next || next.failure === 'busy') {
        this.#connect(next);
        return;
      }
    }
    this.#fail(this.#endAnswer(reason, wasReady));
  }

  #connect(next: { connection: UpstreamConnection } | { failure: NoConnection }): void {
    if ('connection' in next) {
      this.#upstream = next.connection;
      this.#upstreamCongested = false;
      if (next.connection.connected) this.connected();
      return;
    }
    const { name } = this.#service;
    if (next.failure === 'no-endpoint') this.#context.counters.no_endpoint += 1;
    this.#fail(next.failure === 'busy' ? answers.endpointsBusy(name) : answers.noEndpoint(name));
  }

  #endAnswer(reason: UpstreamEnd, wasReady: boolean): Answer {
    const { name } = this.#service;
    if (reason === 'connect-timeout') {
      return answers.endpointTimeout(
        name,
        `did not accept a connection in ${this.#context.limits.connect_ms} ms`,
      );
    }
    return answers.endpointFailed(
      name,
      wasReady ? 'closed the connection without a response' : 'refused a connection',
    );
  }

  #send(bytes: Buffer): void {
    const upstream = this.#upstream;
    if (upstream === null) throw new Error('body bytes without a connection to send them on');
    this.received_bytes += bytes.length;
    this.#context.counters.bytes_from_clients += bytes.length;
    if (this.#replay !== null) {
      this.#replay_bytes += bytes.length;
      if (this.#replay_bytes > this.#context.limits.replaySize_bytes) this.#replay = null;
      else this.#replay.push(Buffer.from(bytes));
    }
    if (!upstream.socket.write(bytes)) this.#upstreamCongested = true;
  }

  /** Response bytes: any interim heads, the head, the body. */
  #consume(bytes: Buffer): void {
    let rest = bytes;
    while (this.#responseBody === null && !this.#finished) {
      const result = this.#responseParser.push(rest);
      if (result.state === 'more') return;
      if (result.state === 'error') {
        this.#invalid(`sent an invalid response: ${result.error.reason}`);
        return;
      }
      rest = rest.subarray(result.consumed);
      if (result.head.status === 101) {
        this.#switch(result.head, rest);
        return;
      }
      if (result.head.status < 200) this.#relayInterim(result.head);
      else this.#beginResponse(result.head);
    }
    if (!this.#finished) this.#relayBody(rest);
  }

  #relayInterim(head: ResponseHead): void {
    this.#interim += 1;
    this.#context.counters.responses_interim += 1;
    if (this.#interim > this.#context.limits.interimResponses) {
      this.#invalid(`sent more than ${this.#context.limits.interimResponses} interim responses`);
      return;
    }
    // RFC 9110, 15.2: an HTTP/1.0 client gets none.
    if (this.#head.minorVersion === 1) this.#toClient(interimResponseBytes(head));
  }

  #beginResponse(head: ResponseHead): void {
    const framing = responseFraming(head, this.#head.method);
    this.#responseFraming = framing;
    this.#unchunk = framing.kind === 'chunked' && this.#head.minorVersion === 0;
    // A client that waits for 100 may or may not send its body after this: only a close is unambiguous.
    const bodyInDoubt = this.#head.expectContinue && !this.#requestBody.done && this.received_bytes === 0;
    const delimited = framing.kind !== 'until-close' && !this.#unchunk;
    this.#keepAlive = this.#head.keepAlive && delimited && !bodyInDoubt && this.#client.mayKeepAlive();
    this.#response = head;
    this.#responseBody = new BodyReader(framing, this.#context.limits);
    if (this.#requestBody.done) this.#disarm();
    this.#context.counters.responses_relayed += 1;
    this.#toClient(
      responseBytes(head, { keepAlive: this.#keepAlive, clientMinorVersion: this.#head.minorVersion }),
    );
  }

  #relayBody(bytes: Buffer): void {
    const body = this.#responseBody;
    if (body === null) return;
    let used: number;
    if (this.#unchunk) {
      used = body.push(bytes, (start, end) => this.#bodyToClient(bytes.subarray(start, end)));
    } else {
      used = body.push(bytes);
      if (used > 0) this.#bodyToClient(bytes.subarray(0, used));
    }
    if (body.error !== null) {
      this.#invalid(`sent a malformed body (${body.error})`);
      return;
    }
    if (body.done) this.#complete(bytes.subarray(used));
  }

  #bodyToClient(bytes: Buffer): void {
    this.sent_bytes += bytes.length;
    this.#toClient(bytes);
  }

  #toClient(bytes: Buffer): void {
    this.#context.counters.bytes_to_clients += bytes.length;
    if (this.#client.write(bytes) || this.#clientCongested) return;
    this.#clientCongested = true;
    this.#upstream?.socket.pause();
    this.#arm('client', () => {
      this.#context.counters.bodies_stalled += 1;
      this.#abort();
    });
  }

  /** The response is complete; `rest` came after it (null if the connection is gone). */
  #complete(rest: Buffer | null): void {
    const upstream = this.#upstream;
    const reusable =
      rest !== null &&
      rest.length === 0 &&
      this.#requestBody.done &&
      this.#response?.keepAlive === true &&
      this.#responseFraming.kind !== 'until-close';
    const keepAlive = this.#keepAlive && this.#requestBody.done;
    const pool = this.#attempts.backend?.pool;
    this.#finish();
    if (upstream !== null) {
      if (reusable && pool !== undefined) pool.release(upstream, advisedIdle_ms(this.#response));
      else upstream.destroy();
    }
    if (rest !== null && rest.length > 0) this.#context.counters.upstream_unsolicited_bytes += rest.length;
    this.#client.complete(keepAlive);
  }

  #switch(head: ResponseHead, rest: Buffer): void {
    const asked = forwardedUpgrade(this.#head);
    const upstream = this.#upstream;
    if (asked === null || head.upgrade === null || upstream === null || !this.#requestBody.done) {
      this.#invalid('switched protocols without being asked');
      return;
    }
    this.#response = head;
    this.#context.counters.upgrades += 1;
    this.#toClient(interimResponseBytes(head));
    this.#finished = true;
    this.#disarm();
    this.#client.upgrade(upstream.detach(), rest, () => this.#attempts.finish());
  }

  #invalid(what: string): void {
    this.#context.counters.responses_invalid += 1;
    this.#fail(answers.endpointFailed(this.#service.name, what));
  }

  /** Ends without a (whole) response: says so if that is still possible, else cuts the connection. */
  #fail(answer: Answer): void {
    if (this.#response !== null) {
      this.#abort();
      return;
    }
    this.#finish();
    this.#upstream?.destroy();
    this.#client.fail(answer);
  }

  #abort(): void {
    this.#finish();
    this.#upstream?.destroy();
    this.#client.abort();
  }

  #finish(): void {
    if (this.#finished) throw new Error('an exchange ended twice');
    this.#finished = true;
    this.#disarm();
    this.#attempts.finish();
  }

  /** While the request is sent, it has to move; once it is, the response head has to come. */
  #armForRequest(): void {
    if (this.#finished || this.#response !== null) {
      if (!this.#finished && !this.#requestBody.done) this.#arm('body', () => this.#bodyStalled());
      else if (this.#timerFor === 'body') this.#disarm();
      return;
    }
    if (!this.#requestBody.done) {
      this.#arm('body', () => this.#bodyStalled());
      return;
    }
    const { responseHead_ms } = this.#context.limits;
    this.#arm(
      'head',
      () => {
        this.#context.counters.response_head_timeouts += 1;
        this.#fail(answers.endpointTimeout(this.#service.name, `did not respond in ${responseHead_ms} ms`));
      },
      responseHead_ms,
    );
  }

  #bodyStalled(): void {
    const { bodyStall_ms } = this.#context.limits;
    this.#context.counters.bodies_stalled += 1;
    const waitsForContinue = this.#head.expectContinue && this.#interim === 0 && this.received_bytes === 0;
    if (this.#upstreamCongested || waitsForContinue) {
      this.#fail(
        answers.endpointTimeout(this.#service.name, `took nothing of the request for ${bodyStall_ms} ms`),
      );
    } else {
      this.#fail(answers.bodyTooSlow(bodyStall_ms));
    }
  }

  #arm(what: string, then: () => void, after_ms = this.#context.limits.bodyStall_ms): void {
    if (this.#timerFor === what && this.#timer !== null) {
      this.#timer.refresh();
      return;
    }
    this.#disarm();
    this.#timerFor = what;
    this.#timer = setTimeout(then, after_ms);
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerFor = '';
  }
}

/** The endpoint's own idle limit (`Keep-Alive: timeout=5`), less a margin for what is on its way. */
function advisedIdle_ms(head: ResponseHead | null): number | null {
  if (head === null) return null;
  const seconds = /(?:^|[,\s])timeout=(\d{1,6})/i.exec(fieldValues(head.fields, 'keep-alive').join(','))?.[1];
  return seconds === undefined ? null : Number(seconds) * 1_000 - 500;
}
