/** Whatever goes wrong in a request as an error of the catalogue; a caller never sees a stack trace. */
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { type ErrorCode, ShoalError, shoalError } from '../errors.ts';
import { apiLimits } from './limits.ts';

/** Fastify's own errors in the words of the catalogue; undefined for one that is not the caller's doing. */
function fromFramework(error: FastifyError): ShoalError | undefined {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return shoalError('LIMIT_REACHED', {
        limit: apiLimits.bodySize_bytes,
        what: 'bytes in a request body',
      });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return shoalError('BAD_REQUEST', { reason: 'the body must be sent as application/json' });
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return shoalError('BAD_REQUEST', { reason: 'the body is empty' });
    case 'FST_ERR_HANDLER_TIMEOUT':
      return shoalError('TIMEOUT', { reason: 'the request took too long' });
    default:
      if (error.statusCode === undefined || error.statusCode >= 500) return undefined;
      return shoalError('BAD_REQUEST', { reason: error.message });
  }
}

/** Failures in which no part of shoal is at fault, whatever their status. */
const outsideCauses: readonly ErrorCode[] = [
  'NO_LEADER',
  'NOT_LEADER',
  'UNREACHABLE',
  'TIMEOUT',
  'OVERLOADED',
];

/** Logs what is shoal's own fault with its stack, and what the cluster's state causes in one line. */
function logFailure(request: FastifyRequest, error: Error, answer: ShoalError): void {
  if (answer.status < 500) return;
  const { code, message } = answer;
  if (outsideCauses.includes(code))
    request.log.warn({ code, url: request.url }, `request failed: ${message}`);
  else request.log.error({ err: error, code, url: request.url }, 'request failed');
}

/** Fastify's error handler: answers with the serialised error and logs what is shoal's own fault. */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const known = error instanceof ShoalError ? error : fromFramework(error);
  const answer = known ?? shoalError('INTERNAL');
  logFailure(request, error, answer);
  reply
    .code(answer.status)
    .header('content-type', 'application/json; charset=utf-8')
    .serializer(JSON.stringify);
  reply.send(answer.toJSON());
}

/** Fastify's handler for a path that no route has. */
export function answerNotFound(request: FastifyRequest, reply: FastifyReply): void {
  const path = request.url.split('?')[0] ?? '';
  answerError(
    shoalError('NOT_FOUND', {
      kind: 'route',
      name: `${request.method} ${path.slice(0, 128)}`,
    }) as unknown as FastifyError,
    request,
    reply,
  );
}

/** Node's handler for bytes that are no HTTP request: one answer, if there is still somebody to read it, and done. */
export function answerMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const late = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const reason = late ? 'it did not arrive in time' : 'it is not HTTP';
  const body = JSON.stringify(shoalError('BAD_REQUEST', { reason }));
  if (socket.writable) {
    socket.write(
      `HTTP/1.1 ${late ? '408 Request Timeout' : '400 Bad Request'}\r\nConnection: close\r\n` +
        `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
  socket.destroy(error);
}
