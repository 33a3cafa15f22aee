/** Upstream servers that lead back to this name server, told apart by address: a pure decision. */
import { isIPv4 } from 'node:net';
import type { Upstream } from './resolv-conf.ts';

/** Address on which shoal answers DNS in every namespace; no upstream can be there. */
export const serverAddress = '127.0.0.11';

/** Where this name server listens. */
export type ListenAddress = { address: string; port: number };

const wildcards: readonly string[] = ['0.0.0.0', '::'];

/**
 * Whether asking `upstream` would reach one of our own `listeners`. `localAddresses` are the machine's addresses,
 * all of which a wildcard listener answers on.
 */
export function leadsBack(
  upstream: Upstream,
  listeners: Iterable<ListenAddress>,
  localAddresses: readonly string[],
): boolean {
  // An IPv4-mapped address is the same server by another name, RFC 4291 section 2.5.5.2.
  const address = upstream.address.toLowerCase().replace(/^::ffff:(?=\d+\.)/, '');
  if (address === serverAddress) return true;
  const loopback = address === '::1' || (isIPv4(address) && address.startsWith('127.'));
  const ownMachine = loopback || wildcards.includes(address) || localAddresses.includes(address);
  for (const listener of listeners) {
    if (listener.port !== upstream.port) continue;
    if (listener.address.toLowerCase() === address) return true;
    // Linux takes the wildcard as a destination for the machine itself.
    if (ownMachine && (wildcards.includes(listener.address) || wildcards.includes(address))) return true;
  }
  return false;
}
