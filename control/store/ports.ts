/**
 * Which published ports exclude each other.
 *
 * A service claims (address or any, transport, port) for each port it publishes, and the same port of its VIP. A
 * claim belongs to one service, unless all that share it route by host name: http with http, or tls with tls, and
 * with no host in common. An exact address and "any" are different claims: the exact one is matched first.
 */
import { type ErrorDetails, shoalError } from '../errors.ts';
import type { Protocol, Publish, Service } from './objects.ts';
import type { Tables } from './tables.ts';

/** The transport a protocol runs on. */
export function transportOf(protocol: Protocol): 'tcp' | 'udp' {
  return protocol === 'udp' ? 'udp' : 'tcp';
}

/** True if the L7 front end serves it, by host name. */
export function isRouted(protocol: Protocol): boolean {
  return protocol === 'http' || protocol === 'tls';
}

/** Claim of one published port on `address`, or on any address of the nodes. */
function claim(address: string | null, publish: Pick<Publish, 'published' | 'protocol'>): string {
  return `${address ?? '*'}|${transportOf(publish.protocol)}|${publish.published}`;
}

/** All claims of a service, each once. Where several publishes meet on the VIP, the first of them has it. */
export function claimsOf(service: Service): string[] {
  const claims = new Set<string>();
  for (const publish of service.publishes) {
    claims.add(claim(publish.address, publish));
    if (service.vip !== null) claims.add(claim(service.vip, publish));
  }
  return [...claims];
}

/** Protocol by which a service holds a claim. */
function protocolOfClaim(service: Service, wanted: string): Protocol | undefined {
  return service.publishes.find(
    (publish) =>
      claim(publish.address, publish) === wanted ||
      (service.vip !== null && claim(service.vip, publish) === wanted),
  )?.protocol;
}

function portInUse(wanted: string, holder: Service): ErrorDetails {
  const [address, protocol, port] = wanted.split('|');
  return { port: Number(port), protocol, service: holder.name, ...(address === '*' ? {} : { address }) };
}

/**
 * Checks a service, as it would be, against itself and all others. Throws PORT_IN_USE, HOST_IN_USE, or BAD_REQUEST
 * when it publishes http or tls and has no host.
 */
export function checkPorts(tables: Tables, service: Service): void {
  const own = new Set<string>();
  for (const publish of service.publishes) {
    const key = claim(publish.address, publish);
    if (own.has(key)) throw shoalError('PORT_IN_USE', portInUse(key, service));
    own.add(key);
  }
  if (service.hosts.length === 0 && service.publishes.some((publish) => isRouted(publish.protocol))) {
    throw shoalError('BAD_REQUEST', {
      reason: `service "${service.name}" publishes http or tls, so it needs at least one host`,
    });
  }
  for (const key of claimsOf(service)) {
    for (const id of tables.claimants(key)) {
      const other = id === service.id ? undefined : tables.get('service', id);
      if (other !== undefined) checkSharing(key, service, other);
    }
  }
}

/** Refuses a node whose control port a service has taken on its addresses: nobody could reach its agent. */
export function checkControlPort(
  tables: Tables,
  node: { controlPort: number; addresses: readonly string[] },
): void {
  for (const address of [null, ...node.addresses]) {
    const key = claim(address, { published: node.controlPort, protocol: 'tcp' });
    for (const id of tables.claimants(key)) {
      const service = tables.get('service', id);
      if (service !== undefined) throw shoalError('PORT_IN_USE', portInUse(key, service));
    }
  }
}

function checkSharing(key: string, service: Service, other: Service): void {
  const mine = protocolOfClaim(service, key);
  const theirs = protocolOfClaim(other, key);
  if (mine === undefined || mine !== theirs || !isRouted(mine)) {
    throw shoalError('PORT_IN_USE', portInUse(key, other));
  }
  const hosts = new Set(service.hosts);
  const host = other.hosts.find((candidate) => hosts.has(candidate));
  if (host !== undefined) {
    throw shoalError('HOST_IN_USE', { host, port: portInUse(key, other).port, service: other.name });
  }
}
