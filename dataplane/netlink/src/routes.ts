/** Routes: RTM_*ROUTE of rtnetlink(7). */
import { Attributes, AttributeWriter, align } from './codec/attributes.ts';
import { Cursor } from './codec/cursor.ts';
import { decodeRouteHeader, encodeRouteHeader, ROUTE_HEADER_SIZE_BYTES } from './codec/headers.ts';
import {
  addressBits,
  formatAddress,
  type IpAddress,
  type IpFamily,
  type IpPrefix,
  parseAddress,
  parsePrefix,
} from './codec/ip.ts';
import type { NetlinkMessage } from './codec/message.ts';
import { MalformedMessageError } from './errors.ts';
import type { InterfaceRef, InterfaceResolver, NetlinkRequest } from './request.ts';
import * as rt from './rtnetlink.ts';
import { decodeScope, encodeScope, type Scope } from './scope.ts';

const { RTA, RTM, optional } = rt;

const FAMILY: rt.MessageFamily = {
  headerSize_bytes: ROUTE_HEADER_SIZE_BYTES,
  attributeNames: rt.attributeNames('RTA', RTA),
};

const TYPES = {
  unspecified: 0,
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;
/** What becomes of packets that a route matches. */
export type RouteType = Exclude<keyof typeof TYPES, 'unspecified'>;

/** Numbers of the kernel's own tables. */
export const ROUTE_TABLE = { default: 253, main: 254, local: 255 } as const;
/** RTPROT_STATIC: a route that an administrator, or a program in that role, has set. */
export const PROTOCOL_STATIC = 4;
const RTNH_F_ONLINK = 4;
const RTM_F_LOOKUP_TABLE = 0x1000;
const RTAX_MTU = 2;
const NEXT_HOP_SIZE_BYTES = 8;
const MAX_HEADER_TABLE = 255;
const ENOENT = 2;

/** One of several next hops. */
export interface NextHopSpec {
  readonly gateway?: string;
  readonly link?: InterfaceRef;
  /** Its share among the next hops, 1 to 256; 1 if left out. */
  readonly weight?: number;
  readonly onlink?: boolean;
}

/** A route to add, replace or remove. */
export interface RouteSpec {
  /** A prefix, or `default`. */
  readonly destination: string;
  /** Needed only for `default` without a gateway or preferred source. */
  readonly family?: IpFamily;
  readonly gateway?: string;
  readonly link?: InterfaceRef;
  /** The source address for what is sent from this host. */
  readonly preferredSource?: string;
  /** IPv6: only packets from this prefix. */
  readonly source?: string;
  readonly metric?: number;
  /** 254 (main) if left out. */
  readonly table?: number;
  /** If left out: host for local routes, link without a gateway, global otherwise. */
  readonly scope?: Scope;
  /** unicast if left out. */
  readonly type?: RouteType;
  /** RTPROT_* number: who set the route. 4 (static) if left out. */
  readonly protocol?: number;
  /** The gateway is on the link, whatever the addresses say. */
  readonly onlink?: boolean;
  readonly mtu_bytes?: number;
  /** Several next hops, in the place of `gateway` and `link`. */
  readonly nextHops?: readonly NextHopSpec[];
}

/** A next hop as the kernel reports it. */
export interface NextHop {
  readonly gateway?: string;
  readonly linkIndex?: number;
  readonly weight: number;
  readonly onlink: boolean;
}

/** A route as the kernel reports it. */
export interface Route {
  readonly family: IpFamily;
  /** With the prefix length, also for the default route. */
  readonly destination: string;
  readonly source?: string;
  readonly gateway?: string;
  readonly linkIndex?: number;
  readonly inputLinkIndex?: number;
  readonly preferredSource?: string;
  readonly metric?: number;
  readonly table: number;
  readonly scope: Scope;
  readonly type: RouteType | number;
  readonly protocol: number;
  readonly onlink: boolean;
  readonly mtu_bytes?: number;
  readonly nextHops?: readonly NextHop[];
  /** All RTM_F_* and RTNH_F_* flags. */
  readonly flags: number;
}

function destinationOf(spec: RouteSpec): IpPrefix {
  if (spec.destination !== 'default') return parsePrefix(spec.destination);
  const hint = spec.gateway ?? spec.preferredSource ?? spec.nextHops?.[0]?.gateway;
  const family = spec.family ?? (hint === undefined ? undefined : parseAddress(hint).family);
  if (family === undefined) throw new TypeError('a default route without a gateway needs `family`');
  return { family, length: 0, bytes: Buffer.alloc(addressBits(family) / 8) };
}

function defaultScope(spec: RouteSpec): Scope {
  if (spec.type === 'local') return 'host';
  const isUnicast = spec.type === undefined || spec.type === 'unicast';
  return isUnicast && spec.gateway === undefined && spec.nextHops === undefined ? 'link' : 'global';
}

function writeGateway(writer: AttributeWriter, gateway: string, family: IpFamily): void {
  const address = parseAddress(gateway);
  if (address.family === family) {
    writer.bytes(RTA.GATEWAY, address.bytes);
    return;
  }
  // A gateway of the other family goes into struct rtvia.
  const number = Buffer.alloc(2);
  number.writeUInt16LE(rt.familyNumber(address.family), 0);
  writer.bytes(RTA.VIA, Buffer.concat([number, address.bytes]));
}

function encodeNextHops(hops: readonly NextHopSpec[], family: IpFamily, resolve: InterfaceResolver): Buffer {
  return Buffer.concat(
    hops.map((hop) => {
      const writer = new AttributeWriter();
      if (hop.gateway !== undefined) writeGateway(writer, hop.gateway, family);
      const attributes = writer.finish();
      const weight = hop.weight ?? 1;
      if (!Number.isInteger(weight) || weight < 1 || weight > 256) {
        throw new RangeError(
          `next hop ${hop.gateway ?? hop.link}: the weight ${weight} is not within 1 to 256`,
        );
      }
      const header = Buffer.alloc(NEXT_HOP_SIZE_BYTES);
      header.writeUInt16LE(NEXT_HOP_SIZE_BYTES + attributes.length, 0);
      header.writeUInt8(hop.onlink ? RTNH_F_ONLINK : 0, 2);
      header.writeUInt8(weight - 1, 3);
      header.writeInt32LE(hop.link === undefined ? 0 : resolve(hop.link), 4);
      return Buffer.concat([header, attributes]);
    }),
  );
}

function writeRoute(spec: RouteSpec, resolve: InterfaceResolver, isRemoval: boolean): AttributeWriter {
  const destination = destinationOf(spec);
  const source = spec.source === undefined ? undefined : parsePrefix(spec.source);
  const table = spec.table ?? ROUTE_TABLE.main;
  const type = spec.type ?? (isRemoval ? 'unspecified' : 'unicast');
  const header = encodeRouteHeader({
    family: rt.familyNumber(destination.family),
    destinationLength: destination.length,
    sourceLength: source?.length ?? 0,
    table: table <= MAX_HEADER_TABLE ? table : 0,
    protocol: spec.protocol ?? (isRemoval ? 0 : PROTOCOL_STATIC),
    // For a removal, "nowhere" matches a route of any scope.
    scope: encodeScope(spec.scope ?? (isRemoval ? 'nowhere' : defaultScope(spec))),
    type: rt.numberOf(TYPES, type, 'route type'),
    flags: spec.onlink ? RTNH_F_ONLINK : 0,
  });
  const writer = new AttributeWriter().header(header);
  if (destination.length > 0) writer.bytes(RTA.DST, destination.bytes);
  if (source !== undefined) writer.bytes(RTA.SRC, source.bytes);
  if (spec.gateway !== undefined) writeGateway(writer, spec.gateway, destination.family);
  if (spec.link !== undefined) writer.u32(RTA.OIF, resolve(spec.link));
  if (spec.preferredSource !== undefined) writer.bytes(RTA.PREFSRC, parseAddress(spec.preferredSource).bytes);
  if (spec.metric !== undefined) writer.u32(RTA.PRIORITY, spec.metric);
  if (table > MAX_HEADER_TABLE) writer.u32(RTA.TABLE, table);
  const { mtu_bytes, nextHops } = spec;
  if (mtu_bytes !== undefined) writer.nest(RTA.METRICS, (metrics) => metrics.u32(RTAX_MTU, mtu_bytes));
  if (nextHops !== undefined)
    writer.bytes(RTA.MULTIPATH, encodeNextHops(nextHops, destination.family, resolve));
  return writer;
}

function describe(spec: RouteSpec): string {
  const via = spec.gateway === undefined ? '' : ` via ${spec.gateway}`;
  const on = spec.link === undefined ? '' : ` on ${spec.link}`;
  const table = spec.table === undefined ? '' : ` in table ${spec.table}`;
  return `route ${spec.destination}${via}${on}${table}`;
}

function write(mode: rt.WriteMode, spec: RouteSpec): NetlinkRequest<void> {
  return rt.commandRequest(
    FAMILY,
    RTM.NEWROUTE,
    rt.writeFlags(mode),
    `${mode} ${describe(spec)}`,
    (resolve) => writeRoute(spec, resolve, false),
  );
}

/** Adds a route. Refused with EEXIST when there is one of the same destination, table and metric. */
export function add(spec: RouteSpec): NetlinkRequest<void> {
  return write('add', spec);
}

/** Adds a route, or changes the one of the same destination, table and metric. */
export function replace(spec: RouteSpec): NetlinkRequest<void> {
  return write('replace', spec);
}

/** Removes the first route that matches all that is given. Refused with ESRCH when there is none. */
export function remove(spec: RouteSpec): NetlinkRequest<void> {
  return rt.commandRequest(FAMILY, RTM.DELROUTE, 0, `remove ${describe(spec)}`, (resolve) =>
    writeRoute(spec, resolve, true),
  );
}

/** Which routes to list. */
export interface RouteFilter {
  readonly family?: IpFamily;
  /** All tables if left out. */
  readonly table?: number;
  readonly link?: InterfaceRef;
}

/** Lists routes, those that the kernel makes by itself included. */
export function list(filter: RouteFilter = {}): NetlinkRequest<Route[]> {
  const request = rt.dumpRequest(
    FAMILY,
    RTM.GETROUTE,
    'list routes',
    (resolve) => {
      const writer = new AttributeWriter().header(
        encodeRouteHeader({ family: rt.familyNumber(filter.family) }),
      );
      if (filter.table !== undefined) writer.u32(RTA.TABLE, filter.table);
      if (filter.link !== undefined) writer.u32(RTA.OIF, resolve(filter.link));
      return writer;
    },
    (replies) => replies.filter(isIp).map(decode),
  );
  // The kernel says ENOENT of a table that no route was ever put into.
  return { ...request, emptyErrno: ENOENT };
}

/** What else decides about a route, beside the destination. */
export interface RouteLookup {
  readonly source?: string;
  /** The interface that the packet leaves by. */
  readonly link?: InterfaceRef;
  readonly mark?: number;
  readonly ipProtocol?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

/** The route that a packet from this host would take, as `ip route get`. Refused with ENETUNREACH when there is none. */
export function get(destination: string, lookup: RouteLookup = {}): NetlinkRequest<Route> {
  return rt.lookupRequest(
    FAMILY,
    RTM.GETROUTE,
    `get route to ${destination}`,
    (resolve) => {
      const to = parseAddress(destination);
      const from: IpAddress | undefined =
        lookup.source === undefined ? undefined : parseAddress(lookup.source);
      const bits = addressBits(to.family);
      const header = encodeRouteHeader({
        family: rt.familyNumber(to.family),
        destinationLength: bits,
        sourceLength: from === undefined ? 0 : bits,
        // IPv6 names the table anyway, and refuses the flag.
        flags: to.family === 'inet' ? RTM_F_LOOKUP_TABLE : 0,
      });
      const writer = new AttributeWriter().header(header).bytes(RTA.DST, to.bytes);
      if (from !== undefined) writer.bytes(RTA.SRC, from.bytes);
      if (lookup.link !== undefined) writer.u32(RTA.OIF, resolve(lookup.link));
      if (lookup.mark !== undefined) writer.u32(RTA.MARK, lookup.mark);
      if (lookup.ipProtocol !== undefined) writer.u8(RTA.IP_PROTO, lookup.ipProtocol);
      if (lookup.sourcePort !== undefined) writer.u16be(RTA.SPORT, lookup.sourcePort);
      if (lookup.destinationPort !== undefined) writer.u16be(RTA.DPORT, lookup.destinationPort);
      return writer;
    },
    decode,
  );
}

/** Whether a message is about an IP route: other families may be in a dump of all. */
export function isIp(message: NetlinkMessage): boolean {
  return rt.familyOf(decodeRouteHeader(message.payload).family) !== undefined;
}

function gatewayText(attributes: Attributes): string | undefined {
  const via = attributes.get(RTA.VIA);
  if (via !== undefined && via.length > 2) return formatAddress(via.subarray(2));
  return rt.addressText(attributes, RTA.GATEWAY);
}

function decodeNextHops(data: Buffer): NextHop[] {
  const hops: NextHop[] = [];
  const cursor = new Cursor(data);
  while (cursor.remaining >= NEXT_HOP_SIZE_BYTES) {
    const length = cursor.u16('length of a next hop');
    const flags = cursor.u8('flags of a next hop');
    const weight = cursor.u8('weight of a next hop') + 1;
    const linkIndex = cursor.s32('interface of a next hop');
    if (length < NEXT_HOP_SIZE_BYTES)
      throw new MalformedMessageError(`a next hop claims a length of ${length}`);
    const attributes = Attributes.parse(
      cursor.bytes(length - NEXT_HOP_SIZE_BYTES, 'attributes of a next hop'),
    );
    cursor.skipPadding(align(length) - length);
    hops.push({
      ...optional('gateway', gatewayText(attributes)),
      ...optional('linkIndex', linkIndex === 0 ? undefined : linkIndex),
      weight,
      onlink: (flags & RTNH_F_ONLINK) !== 0,
    });
  }
  return hops;
}

/** Decodes an RTM_NEWROUTE or RTM_DELROUTE message. @throws MalformedMessageError */
export function decode(message: NetlinkMessage): Route {
  const header = decodeRouteHeader(message.payload);
  const attributes = rt.attributesOf(message, ROUTE_HEADER_SIZE_BYTES);
  const family = rt.familyOf(header.family);
  if (family === undefined) throw new MalformedMessageError(`a route of family ${header.family}`);
  const zero = family === 'inet' ? '0.0.0.0' : '::';
  const source = rt.addressText(attributes, RTA.SRC);
  const nextHops = attributes.get(RTA.MULTIPATH);
  return {
    family,
    destination: `${rt.addressText(attributes, RTA.DST) ?? zero}/${header.destinationLength}`,
    ...optional('source', source === undefined ? undefined : `${source}/${header.sourceLength}`),
    ...optional('gateway', gatewayText(attributes)),
    ...optional('linkIndex', attributes.u32(RTA.OIF)),
    ...optional('inputLinkIndex', attributes.u32(RTA.IIF)),
    ...optional('preferredSource', rt.addressText(attributes, RTA.PREFSRC)),
    ...optional('metric', attributes.u32(RTA.PRIORITY)),
    table: attributes.u32(RTA.TABLE) ?? header.table,
    scope: decodeScope(header.scope),
    type: (rt.wordOf(TYPES, header.type) as RouteType | undefined) ?? header.type,
    protocol: header.protocol,
    onlink: (header.flags & RTNH_F_ONLINK) !== 0,
    ...optional('mtu_bytes', attributes.nested(RTA.METRICS)?.u32(RTAX_MTU)),
    ...optional('nextHops', nextHops === undefined ? undefined : decodeNextHops(nextHops)),
    flags: header.flags,
  };
}
