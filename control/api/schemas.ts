/** Pieces that the schemas of several routes share. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import { type TProperties, type TSchema, Type } from 'typebox';

/** The app as the routes see it: what a schema says is what the handler's types are. */
export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** A body or query with these fields and no others. */
export function closed<T extends TProperties>(properties: T) {
  return Type.Object(properties, { additionalProperties: false });
}

/** How every error is answered. */
export const ErrorBody = Type.Object(
  {
    error: Type.Object({
      code: Type.String({ description: 'what went wrong, for programs; never renamed' }),
      message: Type.String({ description: 'the same for people: the thing, the value' }),
      hint: Type.Optional(Type.String({ description: 'what to do about it' })),
      details: Type.Optional(Type.Object({}, { additionalProperties: true })),
    }),
  },
  { description: 'An error' },
);

/** The answers of a route: `body` on success and an error otherwise. */
export function answers<T extends TSchema>(body: T) {
  return { 200: body, '4xx': ErrorBody, '5xx': ErrorBody };
}

/** A port, 1 to 65535. */
export const Port = Type.Integer({ minimum: 1, maximum: 65_535 });

/** A name, an id or the beginning of an id. */
export const Ref = Type.String({
  pattern: '^[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?$',
  description: 'name, id or unique beginning of an id',
});

/** Path of a route for one object. */
export const RefParams = closed({ ref: Ref });

/** What is left of an object after it was removed. */
export const Removed = Type.Object(
  { id: Type.String(), name: Type.String() },
  { description: 'What was removed' },
);
