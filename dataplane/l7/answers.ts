/** The front end's own answers: short, with the reason, as text or as JSON where the client asks for it. */
import { STATUS_CODES } from 'node:http';
import { fieldValues, type HeaderField } from './grammar.ts';

/** One own answer. `code` is for programs, `message` for people and `hint` says what to do. */
export type Answer = { status: number; code: string; message: string; hint?: string };

/** What is known of the request that is answered; little, if its head could not be read. */
export type AnsweredRequest = { method: string; fields: readonly HeaderField[] };

/** Reasons that more than one place gives. */
export const answers = {
  hostUnknown(host: string | null): Answer {
    return {
      status: 404,
      code: 'NO_SUCH_HOST',
      message:
        host === null ? 'The request names no host.' : `No service is published here for host ${host}.`,
      hint: 'Publish it with --host, or check the name.',
    };
  },
  noEndpoint(service: string): Answer {
    return { status: 503, code: 'NO_ENDPOINT', message: `Service ${service} has no healthy endpoint.` };
  },
  endpointsBusy(service: string): Answer {
    return {
      status: 503,
      code: 'LIMIT_REACHED',
      message: `All endpoints of service ${service} have as many connections as allowed.`,
    };
  },
  endpointFailed(service: string, what: string): Answer {
    return { status: 502, code: 'ENDPOINT_FAILED', message: `The endpoint of service ${service} ${what}.` };
  },
  endpointTimeout(service: string, what: string): Answer {
    return { status: 504, code: 'ENDPOINT_TIMEOUT', message: `The endpoint of service ${service} ${what}.` };
  },
  headTooSlow(head_ms: number): Answer {
    return {
      status: 408,
      code: 'REQUEST_TIMEOUT',
      message: `The request head was not complete after ${head_ms} ms.`,
    };
  },
  bodyTooSlow(stall_ms: number): Answer {
    return {
      status: 408,
      code: 'REQUEST_TIMEOUT',
      message: `Nothing of the request body came for ${stall_ms} ms.`,
    };
  },
  bodyMalformed(error: string): Answer {
    return { status: 400, code: 'BAD_REQUEST', message: `The request body is not well formed (${error}).` };
  },
  loop(passes: number): Answer {
    return {
      status: 508,
      code: 'LOOP_DETECTED',
      message: `This request has passed here ${passes} times already: a service's endpoint leads back to this port.`,
    };
  },
} as const;

/** The answer as bytes (RFC 9110: Date in 6.6.1, Allow with 405 in 15.5.6). A HEAD request gets no body. */
export function answerBytes(
  answer: Answer,
  request: AnsweredRequest | null,
  form: { keepAlive: boolean; clientMinorVersion: 0 | 1; date: string },
): Buffer {
  const json = request !== null && prefersJson(request.fields);
  const { status, code, message, hint } = answer;
  const body = json
    ? `${JSON.stringify({ error: hint === undefined ? { code, message } : { code, message, hint } })}\n`
    : `${message}${hint === undefined ? '' : ` ${hint}`}\n`;
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\nDate: ${form.date}\r\n`;
  text += `Content-Type: ${json ? 'application/json' : 'text/plain; charset=utf-8'}\r\n`;
  text += `Content-Length: ${Buffer.byteLength(body)}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n`;
  if (status === 405) text += 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n';
  if (status === 503) text += 'Retry-After: 1\r\n';
  if (!form.keepAlive) text += 'Connection: close\r\n';
  else if (form.clientMinorVersion === 0) text += 'Connection: keep-alive\r\n';
  return Buffer.from(`${text}\r\n${request?.method === 'HEAD' ? '' : body}`);
}

/** JSON if Accept names it, and names it before any text. */
function prefersJson(fields: readonly HeaderField[]): boolean {
  const accept = fieldValues(fields, 'accept').join(',').toLowerCase();
  const json = accept.search(/application\/([a-z0-9.-]+\+)?json/);
  const text = accept.indexOf('text/');
  return json !== -1 && (text === -1 || json < text);
}
