/**
 * Requests against their TypeBox schemas, with errors that a person can act on: the field, the value it had and
 * what it takes. Bodies are taken as they are; only path and query, which are text, are converted first.
 */
import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import { type ShoalError, shoalError } from '../errors.ts';

/** As much of a TypeBox (JSON Schema) error as is read here. */
export type SchemaError = { keyword: string; instancePath: string; params: object; message: string };

/** Longest piece of a caller's value that an error repeats. */
const shownLength = 64;

/** `/endpoints/0/port` as `endpoints[0].port` (RFC 6901 escapes undone). */
export function fieldName(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce(
      (name, part) => (/^\d+$/.test(part) ? `${name}[${part}]` : name === '' ? part : `${name}.${part}`),
      '',
    );
}

/** The value that `pointer` leads to, cut to a length that fits into a message. */
function shownValue(value: unknown, pointer: string): string {
  let inner = value;
  for (const part of pointer.split('/').slice(1)) {
    if (typeof inner !== 'object' || inner === null) break;
    inner = (inner as Record<string, unknown>)[part.replaceAll('~1', '/').replaceAll('~0', '~')];
  }
  const text = JSON.stringify(inner) ?? 'nothing';
  return text.length > shownLength ? `${text.slice(0, shownLength)}…` : text;
}

const formats: Record<string, string> = { ipv4: 'an IPv4 address' };

/** What one failed keyword would have taken, in words. */
function expectation(error: SchemaError): string {
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'const':
      return JSON.stringify(params.allowedValue);
    case 'format':
      return formats[String(params.format)] ?? `a ${String(params.format)}`;
    case 'type':
      return String(params.type);
    case 'pattern':
      return `text that matches ${String(params.pattern)}`;
    case 'minimum':
      return `at least ${String(params.limit)}`;
    case 'maximum':
      return `at most ${String(params.limit)}`;
    case 'maxLength':
      return `at most ${String(params.limit)} characters`;
    case 'minLength':
      return `at least ${String(params.limit)} characters`;
    case 'maxItems':
      return `at most ${String(params.limit)} items`;
    default:
      return error.message;
  }
}

/**
 * The errors of one value as one BAD_REQUEST: an unknown field first, then a missing one, then the first value
 * that does not fit with all the alternatives it had.
 *
 * @param part what was checked: `body`, `querystring`, `params` or `headers`
 */
export function describeErrors(part: string, value: unknown, errors: readonly SchemaError[]): ShoalError {
  const where = part === 'querystring' ? 'query' : part === 'params' ? 'path' : part;
  const inside = (pointer: string, name: string) => {
    const outer = fieldName(pointer);
    return outer === '' ? name : `${outer}.${name}`;
  };
  const unknown = errors.find((error) => error.keyword === 'additionalProperties');
  if (unknown !== undefined) {
    const names = (unknown.params as { additionalProperties?: string[] }).additionalProperties ?? [];
    const field = inside(unknown.instancePath, (names[0] ?? '?').slice(0, shownLength));
    return shoalError('BAD_REQUEST', { field, reason: `there is no field "${field}" in the ${where}` });
  }
  const missing = errors.find((error) => error.keyword === 'required');
  if (missing !== undefined) {
    const names = (missing.params as { requiredProperties?: string[] }).requiredProperties ?? [];
    const field = inside(missing.instancePath, names[0] ?? '?');
    return shoalError('BAD_REQUEST', { field, reason: `the ${where} lacks the field "${field}"` });
  }
  const [first] = errors;
  if (first === undefined) return shoalError('BAD_REQUEST', { reason: `the ${where} does not fit` });
  if (first.keyword === 'minProperties') {
    return shoalError('BAD_REQUEST', { reason: `the ${where} names nothing to change` });
  }
  const alternatives = errors
    .filter((error) => error.instancePath === first.instancePath && error.keyword !== 'anyOf')
    .map(expectation);
  const field = fieldName(first.instancePath) || where;
  return shoalError('BAD_REQUEST', {
    field,
    reason: `${field} is ${shownValue(value, first.instancePath)}, expected ${[...new Set(alternatives)].join(' or ')}`,
  });
}

/** Fastify's validator compiler for TypeBox schemas. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema);
  return (received: unknown) => {
    const value = httpPart === 'body' ? received : Value.Convert(schema, received);
    if (validator.Check(value)) return { value };
    return { error: describeErrors(httpPart ?? 'body', value, validator.Errors(value) as SchemaError[]) };
  };
};
