/** Published ports, endpoints, virtual addresses and host names of a service, from text. Pure. */
import { UsageError } from '../usage-error.ts';
import { addressProblem, isAddress, parseAddress } from './address.ts';
import { isName, isReference } from './name.ts';
import { portFrom } from './number.ts';

/** How a published port is served. */
export const protocols = ['tcp', 'udp', 'http', 'tls'] as const;
type Protocol = (typeof protocols)[number];

/** How other tools spell "every address of every node". */
const everyAddress = '0.0.0.0';

/** Calls `fail` with the reason if no host can have the address. */
function refuseUnusable(address: string, fail: (problem: string) => never): void {
  const problem = addressProblem(address);
  if (problem !== undefined) fail(problem);
}

/** A port to publish, in the words of the API. */
export type PublishArgument = {
  address: string | null;
  published: number;
  target: number | null;
  protocol: Protocol;
};

/**
 * `[ADDR:]PUBLISHED[:TARGET][/PROTOCOL]`. A first part with a dot in it is the address, so that `8080:80` is a
 * port and its target. No target means each endpoint's own port, no address every node's. Throws {@link UsageError}.
 */
export function parsePublish(flag: string, value: string): PublishArgument {
  const expected = '[ADDR:]PUBLISHED[:TARGET][/tcp|udp|http|tls], as in 8080:80/tcp';
  const fail = (problem?: string): never => {
    throw new UsageError(flag, value, expected, problem);
  };
  const [ports = '', protocol = 'tcp', ...rest] = value.split('/');
  if (rest.length > 0) fail();
  if (!protocols.some((known) => known === protocol)) fail(`"${protocol}" is not a protocol`);
  const problem = addressProblem(ports);
  if (problem !== undefined) fail(problem);
  const parts = ports.split(':');
  const first = parts[0] ?? '';
  const address = first.includes('.') ? first : null;
  if (address !== null) {
    if (!isAddress(address)) fail(`"${address}" is not an IPv4 address`);
    if (address !== everyAddress) refuseUnusable(address, fail);
    parts.shift();
  }
  if (parts.length === 0) fail('the port is missing');
  if (parts.length > 2) fail();
  const [published, target] = parts.map((text) => {
    const port = portFrom(text);
    if (port !== undefined) return port;
    return fail(text === '' ? 'a port is missing' : `"${text}" is not a port from 1 to 65535`);
  });
  if (published === undefined) return fail();
  return {
    address: address === everyAddress ? null : address,
    published,
    target: target ?? null,
    protocol: protocol as Protocol,
  };
}

/** An endpoint, in the words of the API; `node: null` is a plain address that is reached by NAT. */
export type EndpointArgument = { address: string; port: number; node: string | null };

/** `ADDR:PORT[@NODE]` in its parts, and what refuses the value as a whole. Throws {@link UsageError}. */
function splitEndpoint(flag: string, value: string): EndpointArgument & { fail: (problem: string) => never } {
  const expected = 'ADDR:PORT[@NODE], as in 127.0.0.1:8080@edge-1';
  const fail = (problem?: string): never => {
    throw new UsageError(flag, value, expected, problem);
  };
  const [place = '', node, ...rest] = value.split('@');
  if (rest.length > 0) fail();
  if (node !== undefined && !isReference(node)) fail(`"${node}" is not a node's name or id`);
  refuseUnusable(place, fail);
  const [address = '', portText, ...more] = place.split(':');
  if (more.length > 0) fail();
  if (!isAddress(address)) fail(`"${address}" is not an IPv4 address`);
  refuseUnusable(address, fail);
  if (portText === undefined) return fail('the port is missing');
  const port = portFrom(portText);
  if (port === undefined) return fail(`"${portText}" is not a port from 1 to 65535`);
  return { address, port, node: node ?? null, fail };
}

/** `ADDR:PORT[@NODE]`; with NODE (name or id) the address is local there. Throws {@link UsageError}. */
export function parseEndpoint(flag: string, value: string): EndpointArgument {
  const { fail, ...endpoint } = splitEndpoint(flag, value);
  if (endpoint.node === null && endpoint.address.startsWith('127.')) {
    fail(`${endpoint.address} is every machine's own: name the node it is on`);
  }
  return endpoint;
}

/** `ADDR:PORT[@NODE]` to take away; without NODE on whichever node it is. Throws {@link UsageError}. */
export function parseEndpointReference(
  flag: string,
  value: string,
): { address: string; port: number; node?: string } {
  const { address, port, node } = splitEndpoint(flag, value);
  return node === null ? { address, port } : { address, port, node };
}

/** `auto` (one from the pool), `none` (null) or the address to use. Throws {@link UsageError}. */
export function parseVip(flag: string, value: string): string | null {
  if (value === 'auto') return 'auto';
  if (value === 'none') return null;
  if (!isAddress(value)) {
    throw new UsageError(flag, value, 'auto, none or an IPv4 address', addressProblem(value));
  }
  return parseAddress(flag, value);
}

/** A host name (RFC 1123) or `*.` and one, in lower case and without a last dot. Throws {@link UsageError}. */
export function parseHost(flag: string, value: string): string {
  const expected = 'a host name such as app.example.com or *.example.com';
  const fail = (problem?: string): never => {
    throw new UsageError(flag, value, expected, problem);
  };
  if (value.includes('://')) fail('leave out the scheme');
  if (value.includes('/')) fail('leave out the path');
  if (value.includes(':')) fail('leave out the port (--publish names it)');
  if (isAddress(value)) fail('this is an address');
  const host = value.toLowerCase().replace(/\.$/, '');
  const labels = host.split('.');
  if (labels[0] === '*') {
    labels.shift();
    if (labels.length < 2) fail('a wildcard stands before at least two labels');
  }
  if (host.length > 253) fail('it is longer than 253 characters');
  for (const text of labels) {
    if (text.includes('*')) fail('a wildcard is the whole first label');
    if (/[^\p{ASCII}]/u.test(text)) fail('write it in its ASCII form (xn--…)');
    if (!isName(text)) fail(text === '' ? 'a label is empty' : `"${text}" is not a label of a host name`);
  }
  if (/^\d+$/.test(labels.at(-1) ?? '')) fail('its last label is a number');
  return host;
}
