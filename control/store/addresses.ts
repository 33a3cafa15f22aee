/** IPv4 arithmetic, and addresses of the mesh pool's ranges (told in objects.ts, cut in dataplane/addresses.ts). */
import { meshRanges } from '../../dataplane/addresses.ts';
import { shoalError } from '../errors.ts';

/** Prefix length of the mesh pool: 8 blocks of /16. */
export const meshPoolPrefix = 13;
/** What `shoal init` takes unless told otherwise. */
export const defaultMeshPool = '10.248.0.0/13';
/** Prefix length of one overlay network. */
export const networkPrefix = 22;
/** Addresses at the start of each range that are not given out: the network's own, and the gateway's. */
export const reservedAddresses = 2;

const block = 0x10000;
/** Where each range begins within a pool: its base in the pool that begins at 0. */
const ranges = meshRanges(`0.0.0.0/${meshPoolPrefix}`);
const starts = {
  vips: ranges.vips.base,
  networks: ranges.networks.base,
  nodes: ranges.nodes.base,
  endpoints: ranges.endpoints.base,
} as const;
const poolSize = 2 ** (32 - meshPoolPrefix);
/** Addresses in one overlay network. */
export const networkSize = 2 ** (32 - networkPrefix);
/** Addresses in the range of the VIPs. */
export const vipRangeSize = block;

/** `10.0.0.1` as an unsigned 32-bit number. Throws BAD_REQUEST for anything else. */
export function ipv4ToNumber(address: string): number {
  const parts = address.split('.');
  let number = 0;
  for (const part of parts) {
    const octet = /^(0|[1-9][0-9]{0,2})$/.test(part) ? Number(part) : 256;
    if (octet > 255) throw shoalError('BAD_REQUEST', { reason: `"${address}" is not an IPv4 address` });
    number = number * 256 + octet;
  }
  if (parts.length !== 4) throw shoalError('BAD_REQUEST', { reason: `"${address}" is not an IPv4 address` });
  return number;
}

/** An unsigned 32-bit number in dotted form. */
export function numberToIpv4(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join('.');
}

/** First address of a mesh pool in CIDR form. Throws BAD_REQUEST unless it is an aligned /13. */
export function meshPoolBase(meshPool: string): number {
  const [address = '', prefix = ''] = meshPool.split('/');
  const base = ipv4ToNumber(address);
  if (prefix !== String(meshPoolPrefix) || base % poolSize !== 0) {
    throw shoalError('BAD_REQUEST', {
      reason: `mesh pool "${meshPool}" is not an aligned /${meshPoolPrefix}, such as ${defaultMeshPool}`,
    });
  }
  return base;
}

/** Mesh address of the node in `slot`. */
export function nodeMeshAddress(meshPool: string, slot: number): string {
  return numberToIpv4(meshPoolBase(meshPool) + starts.nodes + slot);
}

/** Address at which the L7 front end reaches the endpoint in `slot` through the mesh. */
export function endpointMeshAddress(meshPool: string, slot: number): string {
  return numberToIpv4(meshPoolBase(meshPool) + starts.endpoints + slot);
}

/** VIP number `offset` of the pool. */
export function vipAddress(meshPool: string, offset: number): string {
  return numberToIpv4(meshPoolBase(meshPool) + starts.vips + offset);
}

/** Where in the pool's VIP range an address lies; -1 if outside. */
export function vipOffset(meshPool: string, address: string): number {
  const offset = ipv4ToNumber(address) - meshPoolBase(meshPool) - starts.vips;
  return offset >= 0 && offset < vipRangeSize ? offset : -1;
}

/** True for an address in any range of the pool. */
export function inMeshPool(meshPool: string, address: string): boolean {
  const offset = ipv4ToNumber(address) - meshPoolBase(meshPool);
  return offset >= 0 && offset < poolSize;
}

/** Subnet of overlay network number `position` (from 0), in CIDR form. */
export function networkSubnet(meshPool: string, position: number): string {
  const base = meshPoolBase(meshPool) + starts.networks + position * networkSize;
  return `${numberToIpv4(base)}/${networkPrefix}`;
}

/** The position that {@link networkSubnet} was given. */
export function networkPosition(meshPool: string, subnet: string): number {
  return (subnetBase(subnet) - meshPoolBase(meshPool) - starts.networks) / networkSize;
}

/** First address of a subnet in CIDR form, as a number. */
export function subnetBase(subnet: string): number {
  return ipv4ToNumber(subnet.split('/')[0] ?? '');
}
