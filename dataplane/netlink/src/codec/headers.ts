/** The fixed headers that follow struct nlmsghdr in rtnetlink messages, one encoder and decoder each. */
import { Cursor } from './cursor.ts';

/** struct ifinfomsg, <linux/rtnetlink.h>. */
export interface InterfaceHeader {
  family: number;
  type: number;
  index: number;
  flags: number;
  change: number;
}
/** Size of struct ifinfomsg. */
export const INTERFACE_HEADER_SIZE_BYTES = 16;

/** Encodes struct ifinfomsg; fields left out are zero. */
export function encodeInterfaceHeader(header: Partial<InterfaceHeader>): Buffer {
  const bytes = Buffer.alloc(INTERFACE_HEADER_SIZE_BYTES);
  bytes.writeUInt8(header.family ?? 0, 0);
  bytes.writeUInt16LE(header.type ?? 0, 2);
  bytes.writeInt32LE(header.index ?? 0, 4);
  bytes.writeUInt32LE(header.flags ?? 0, 8);
  bytes.writeUInt32LE(header.change ?? 0, 12);
  return bytes;
}

/** Decodes struct ifinfomsg. */
export function decodeInterfaceHeader(payload: Buffer): InterfaceHeader {
  const cursor = new Cursor(payload);
  const family = cursor.u8('ifi_family');
  cursor.u8('padding');
  return {
    family,
    type: cursor.u16('ifi_type'),
    index: cursor.s32('ifi_index'),
    flags: cursor.u32('ifi_flags'),
    change: cursor.u32('ifi_change'),
  };
}

/** struct ifaddrmsg, <linux/if_addr.h>. */
export interface AddressHeader {
  family: number;
  prefixLength: number;
  flags: number;
  scope: number;
  index: number;
}
/** Size of struct ifaddrmsg. */
export const ADDRESS_HEADER_SIZE_BYTES = 8;

/** Encodes struct ifaddrmsg; fields left out are zero. */
export function encodeAddressHeader(header: Partial<AddressHeader>): Buffer {
  const bytes = Buffer.alloc(ADDRESS_HEADER_SIZE_BYTES);
  bytes.writeUInt8(header.family ?? 0, 0);
  bytes.writeUInt8(header.prefixLength ?? 0, 1);
  bytes.writeUInt8(header.flags ?? 0, 2);
  bytes.writeUInt8(header.scope ?? 0, 3);
  bytes.writeUInt32LE(header.index ?? 0, 4);
  return bytes;
}

/** Decodes struct ifaddrmsg. */
export function decodeAddressHeader(payload: Buffer): AddressHeader {
  const cursor = new Cursor(payload);
  return {
    family: cursor.u8('ifa_family'),
    prefixLength: cursor.u8('ifa_prefixlen'),
    flags: cursor.u8('ifa_flags'),
    scope: cursor.u8('ifa_scope'),
    index: cursor.u32('ifa_index'),
  };
}

/** struct ndmsg, <linux/neighbour.h>. */
export interface NeighbourHeader {
  family: number;
  index: number;
  state: number;
  flags: number;
  type: number;
}
/** Size of struct ndmsg. */
export const NEIGHBOUR_HEADER_SIZE_BYTES = 12;

/** Encodes struct ndmsg; fields left out are zero. */
export function encodeNeighbourHeader(header: Partial<NeighbourHeader>): Buffer {
  const bytes = Buffer.alloc(NEIGHBOUR_HEADER_SIZE_BYTES);
  bytes.writeUInt8(header.family ?? 0, 0);
  bytes.writeInt32LE(header.index ?? 0, 4);
  bytes.writeUInt16LE(header.state ?? 0, 8);
  bytes.writeUInt8(header.flags ?? 0, 10);
  bytes.writeUInt8(header.type ?? 0, 11);
  return bytes;
}

/** Decodes struct ndmsg. */
export function decodeNeighbourHeader(payload: Buffer): NeighbourHeader {
  const cursor = new Cursor(payload);
  const family = cursor.u8('ndm_family');
  cursor.bytes(3, 'padding');
  return {
    family,
    index: cursor.s32('ndm_ifindex'),
    state: cursor.u16('ndm_state'),
    flags: cursor.u8('ndm_flags'),
    type: cursor.u8('ndm_type'),
  };
}

/** struct rtmsg, <linux/rtnetlink.h>. */
export interface RouteHeader {
  family: number;
  destinationLength: number;
  sourceLength: number;
  tos: number;
  table: number;
  protocol: number;
  scope: number;
  type: number;
  flags: number;
}
/** Size of struct rtmsg. */
export const ROUTE_HEADER_SIZE_BYTES = 12;

/** Encodes struct rtmsg; fields left out are zero. */
export function encodeRouteHeader(header: Partial<RouteHeader>): Buffer {
  const bytes = Buffer.alloc(ROUTE_HEADER_SIZE_BYTES);
  bytes.writeUInt8(header.family ?? 0, 0);
  bytes.writeUInt8(header.destinationLength ?? 0, 1);
  bytes.writeUInt8(header.sourceLength ?? 0, 2);
  bytes.writeUInt8(header.tos ?? 0, 3);
  bytes.writeUInt8(header.table ?? 0, 4);
  bytes.writeUInt8(header.protocol ?? 0, 5);
  bytes.writeUInt8(header.scope ?? 0, 6);
  bytes.writeUInt8(header.type ?? 0, 7);
  bytes.writeUInt32LE(header.flags ?? 0, 8);
  return bytes;
}

/** Decodes struct rtmsg. */
export function decodeRouteHeader(payload: Buffer): RouteHeader {
  const cursor = new Cursor(payload);
  return {
    family: cursor.u8('rtm_family'),
    destinationLength: cursor.u8('rtm_dst_len'),
    sourceLength: cursor.u8('rtm_src_len'),
    tos: cursor.u8('rtm_tos'),
    table: cursor.u8('rtm_table'),
    protocol: cursor.u8('rtm_protocol'),
    scope: cursor.u8('rtm_scope'),
    type: cursor.u8('rtm_type'),
    flags: cursor.u32('rtm_flags'),
  };
}

/** struct fib_rule_hdr, <linux/fib_rules.h>. */
export interface RuleHeader {
  family: number;
  destinationLength: number;
  sourceLength: number;
  tos: number;
  table: number;
  action: number;
  flags: number;
}
/** Size of struct fib_rule_hdr. */
export const RULE_HEADER_SIZE_BYTES = 12;

/** Encodes struct fib_rule_hdr; fields left out are zero. */
export function encodeRuleHeader(header: Partial<RuleHeader>): Buffer {
  const bytes = Buffer.alloc(RULE_HEADER_SIZE_BYTES);
  bytes.writeUInt8(header.family ?? 0, 0);
  bytes.writeUInt8(header.destinationLength ?? 0, 1);
  bytes.writeUInt8(header.sourceLength ?? 0, 2);
  bytes.writeUInt8(header.tos ?? 0, 3);
  bytes.writeUInt8(header.table ?? 0, 4);
  bytes.writeUInt8(header.action ?? 0, 7);
  bytes.writeUInt32LE(header.flags ?? 0, 8);
  return bytes;
}

/** Decodes struct fib_rule_hdr. */
export function decodeRuleHeader(payload: Buffer): RuleHeader {
  const cursor = new Cursor(payload);
  const family = cursor.u8('family');
  const destinationLength = cursor.u8('dst_len');
  const sourceLength = cursor.u8('src_len');
  const tos = cursor.u8('tos');
  const table = cursor.u8('table');
  cursor.bytes(2, 'reserved');
  return {
    family,
    destinationLength,
    sourceLength,
    tos,
    table,
    action: cursor.u8('action'),
    flags: cursor.u32('flags'),
  };
}
