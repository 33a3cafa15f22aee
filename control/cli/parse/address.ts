/** IPv4 addresses, HOST:PORT and address ranges, from text. Pure. */
import { UsageError } from '../usage-error.ts';
import { portFrom } from './number.ts';

/** TCP port of an agent's API and Raft transport where none is named. */
export const defaultControlPort = 2377;

const octet = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const dotted = new RegExp(`^${octet}\\.${octet}\\.${octet}\\.${octet}$`);

/** True for an IPv4 address of four decimal parts without leading zeros (RFC 6943 section 3.1.1, strict form). */
export function isAddress(text: string): boolean {
  return dotted.test(text);
}

/** True for text that begins as an IPv6 address does, in brackets or with a second colon near by. */
function looksLikeIpv6(text: string): boolean {
  return (
    /^(\[[0-9a-f:.]+\]|[0-9a-f]{0,4}:[0-9a-f]{0,4}:[0-9a-f:.]*[0-9a-f:])/i.test(text) &&
    /::|\[|[a-f]/i.test(text)
  );
}

/** Why text is no address that a host can have, when there is more to say than that it is malformed. */
export function addressProblem(text: string): string | undefined {
  if (looksLikeIpv6(text)) return 'IPv6 is not supported yet';
  if (!isAddress(text)) return undefined;
  const first = Number(text.split('.')[0]);
  // RFC 1122 section 3.2.1.3 (this host), RFC 1112 section 4 (multicast, reserved).
  return first === 0 || first >= 224 ? `no host can have the address ${text}` : undefined;
}

/** An IPv4 address that a host can have: not 0.0.0.0, multicast, reserved or broadcast. Throws {@link UsageError}. */
export function parseAddress(flag: string, value: string): string {
  const problem = addressProblem(value);
  if (problem !== undefined || !isAddress(value)) {
    throw new UsageError(flag, value, 'an IPv4 address such as 192.0.2.10', problem);
  }
  return value;
}

/** A host and a port, as in `edge-1.example.com:2377`. */
export type HostPort = { host: string; port: number };

/**
 * `HOST[:PORT]` where HOST is an IPv4 address or a host name, and the port is 2377 unless named.
 * Throws {@link UsageError}.
 */
export function parseHostPort(flag: string, value: string): HostPort {
  const expected = `HOST:PORT, as in 192.0.2.10:${defaultControlPort}`;
  const problem = addressProblem(value);
  if (problem !== undefined) throw new UsageError(flag, value, expected, problem);
  const [host = '', portText, ...rest] = value.split(':');
  if (rest.length > 0) throw new UsageError(flag, value, expected);
  const named =
    /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;
  const looksNumeric = /^[\d.]+$/.test(host);
  if (looksNumeric ? !isAddress(host) : host.length > 253 || !named.test(host)) {
    throw new UsageError(flag, value, expected, `"${host}" is neither an address nor a host name`);
  }
  if (portText === undefined) return { host, port: defaultControlPort };
  const port = portFrom(portText);
  if (port === undefined) throw new UsageError(flag, value, expected, `"${portText}" is not a port`);
  return { host, port };
}

/** The address as an unsigned 32-bit number. */
function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

/**
 * `ADDRESS/LENGTH` with no bit set behind the prefix, and, where `length` is given, of exactly that length.
 * Throws {@link UsageError}.
 */
export function parseCidr(flag: string, value: string, length?: number): string {
  const expected = `an IPv4 range such as 10.248.0.0/${length ?? 13}`;
  const [address = '', lengthText = '', ...rest] = value.split('/');
  if (rest.length > 0 || !isAddress(address) || !/^([12]?\d|3[0-2])$/.test(lengthText)) {
    throw new UsageError(flag, value, expected, addressProblem(address));
  }
  const bits = Number(lengthText);
  if (length !== undefined && bits !== length) {
    throw new UsageError(flag, value, expected, `the range must be a /${length}`);
  }
  const behind = 2 ** (32 - bits);
  const number = toNumber(address);
  if (number % behind !== 0) {
    const start = number - (number % behind);
    const parts = [24, 16, 8, 0].map((shift) => Math.floor(start / 2 ** shift) % 256);
    throw new UsageError(
      flag,
      value,
      expected,
      `the range that holds it begins at ${parts.join('.')}/${bits}`,
    );
  }
  return value;
}
