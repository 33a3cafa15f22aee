/** Network interfaces: RTM_*LINK of rtnetlink(7). Every function makes a request; a NetlinkSocket runs it. */
import { type Attributes, AttributeWriter } from './codec/attributes.ts';
import {
  decodeInterfaceHeader,
  encodeInterfaceHeader,
  INTERFACE_HEADER_SIZE_BYTES,
} from './codec/headers.ts';
import { formatAddress, formatMac, parseAddress, parseMac } from './codec/ip.ts';
import { type NetlinkMessage, NLM_F } from './codec/message.ts';
import { AF } from './ffi.ts';
import {
  type BridgePort,
  type BridgePortChanges,
  type Link,
  type LinkChanges,
  type LinkCommon,
  type LinkSpec,
  type LinkStatistics,
  type NetnsTarget,
  OPERATIONAL_STATES,
  type VxlanInfo,
  type VxlanSpec,
} from './link-types.ts';
import type { InterfaceRef, InterfaceResolver, NetlinkRequest } from './request.ts';
import * as rt from './rtnetlink.ts';

const { IFLA, RTM, optional } = rt;

const FAMILY: rt.MessageFamily = {
  headerSize_bytes: INTERFACE_HEADER_SIZE_BYTES,
  attributeNames: rt.attributeNames('IFLA', IFLA),
};

/** Flags of an interface, as in <linux/if.h>. */
const IFF = { UP: 0x1, LOOPBACK: 0x8, RUNNING: 0x40, NOARP: 0x80, PROMISC: 0x100 } as const;
const INFO = { KIND: 1, DATA: 2, SLAVE_KIND: 4, SLAVE_DATA: 5 } as const;
const VETH_INFO_PEER = 1;
const VLAN_ID = 1;
const BRIDGE = { AGEING_TIME: 4, STP_STATE: 5, VLAN_FILTERING: 7 } as const;
const BRIDGE_PORT = { MODE: 4, LEARNING: 8, UNICAST_FLOOD: 9, NEIGH_SUPPRESS: 32, ISOLATED: 33 } as const;
const VXLAN = {
  ID: 1,
  GROUP: 2,
  LINK: 3,
  LOCAL: 4,
  TTL: 5,
  LEARNING: 7,
  AGEING: 8,
  PORT: 15,
  GROUP6: 16,
  LOCAL6: 17,
  UDP_CSUM: 18,
  UDP_ZERO_CSUM6_TX: 19,
  UDP_ZERO_CSUM6_RX: 20,
  COLLECT_METADATA: 25,
} as const;
/** The kernel counts a bridge's ageing time in hundredths of a second (USER_HZ). */
const USER_HZ = 100;
const MAX_NAME_BYTES = 15;
function checkName(name: string): string {
  const size = Buffer.byteLength(name);
  if (size === 0 || size > MAX_NAME_BYTES || /[/\s\0]/.test(name)) {
    throw new RangeError(
      `${JSON.stringify(name)} is no interface name (1 to ${MAX_NAME_BYTES} bytes, no slash or space)`,
    );
  }
  return name;
}

function flagChanges(changes: LinkChanges): { flags: number; change: number } {
  let flags = 0;
  let change = 0;
  const apply = (value: boolean | undefined, bit: number): void => {
    if (value === undefined) return;
    change |= bit;
    if (value) flags |= bit;
  };
  apply(changes.up, IFF.UP);
  apply(changes.noArp, IFF.NOARP);
  apply(changes.promiscuous, IFF.PROMISC);
  return { flags, change };
}

function writeNetns(writer: AttributeWriter, target: NetnsTarget): void {
  if ('fd' in target) writer.u32(IFLA.NET_NS_FD, target.fd);
  else writer.u32(IFLA.NET_NS_PID, target.pid);
}

/** Writes what a new link and a change have in common. */
function writeSettings(writer: AttributeWriter, settings: LinkChanges, resolve: InterfaceResolver): void {
  if (settings.name !== undefined) writer.string(IFLA.IFNAME, checkName(settings.name));
  if (settings.mtu_bytes !== undefined) writer.u32(IFLA.MTU, settings.mtu_bytes);
  if (settings.mac !== undefined) writer.bytes(IFLA.ADDRESS, parseMac(settings.mac));
  if (settings.alias !== undefined) writer.string(IFLA.IFALIAS, settings.alias);
  if (settings.txQueueLength !== undefined) writer.u32(IFLA.TXQLEN, settings.txQueueLength);
  if (settings.netns !== undefined) writeNetns(writer, settings.netns);
  if (settings.master !== undefined)
    writer.u32(IFLA.MASTER, settings.master === null ? 0 : resolve(settings.master));
}

/** Writes struct ifinfomsg and the attributes of a new link, without its kind. */
function writeNewLink(writer: AttributeWriter, link: LinkCommon, resolve: InterfaceResolver): void {
  writer.header(encodeInterfaceHeader(flagChanges(link)));
  writeSettings(writer, link, resolve);
  if (link.txQueues !== undefined) writer.u32(IFLA.NUM_TX_QUEUES, link.txQueues);
  if (link.rxQueues !== undefined) writer.u32(IFLA.NUM_RX_QUEUES, link.rxQueues);
}

function writeKindData(writer: AttributeWriter, spec: LinkSpec, resolve: InterfaceResolver): void {
  switch (spec.kind) {
    case 'veth':
      writer.nest(VETH_INFO_PEER, (peer) => writeNewLink(peer, spec.peer, resolve));
      break;
    case 'bridge':
      if (spec.ageing_s !== undefined) writer.u32(BRIDGE.AGEING_TIME, Math.round(spec.ageing_s * USER_HZ));
      if (spec.stp !== undefined) writer.u32(BRIDGE.STP_STATE, spec.stp ? 1 : 0);
      if (spec.vlanFiltering !== undefined) writer.u8(BRIDGE.VLAN_FILTERING, spec.vlanFiltering ? 1 : 0);
      break;
    case 'vxlan':
      writeVxlan(writer, spec, resolve);
      break;
    case 'vlan':
      writer.u16(VLAN_ID, spec.id);
      break;
    case 'dummy':
      break;
  }
}

function writeVxlan(writer: AttributeWriter, spec: VxlanSpec, resolve: InterfaceResolver): void {
  const bool = (type: number, value: boolean | undefined): void => {
    if (value !== undefined) writer.u8(type, value ? 1 : 0);
  };
  const address = (text: string | undefined, type4: number, type6: number): void => {
    if (text === undefined) return;
    const { family, bytes } = parseAddress(text);
    writer.bytes(family === 'inet' ? type4 : type6, bytes);
  };
  if (spec.id !== undefined) writer.u32(VXLAN.ID, spec.id);
  address(spec.local, VXLAN.LOCAL, VXLAN.LOCAL6);
  address(spec.remote, VXLAN.GROUP, VXLAN.GROUP6);
  writer.u16be(VXLAN.PORT, spec.port ?? 4789);
  if (spec.link !== undefined) writer.u32(VXLAN.LINK, resolve(spec.link));
  bool(VXLAN.LEARNING, spec.learning ?? false);
  bool(VXLAN.COLLECT_METADATA, spec.external === true ? true : undefined);
  bool(VXLAN.UDP_CSUM, spec.udpChecksum);
  bool(VXLAN.UDP_ZERO_CSUM6_TX, spec.udp6ZeroChecksumTx);
  bool(VXLAN.UDP_ZERO_CSUM6_RX, spec.udp6ZeroChecksumRx);
  if (spec.ttl !== undefined) writer.u8(VXLAN.TTL, spec.ttl);
  if (spec.ageing_s !== undefined) writer.u32(VXLAN.AGEING, spec.ageing_s);
}

/** Creates a link. Refused with EEXIST when the name is taken. */
export function create(spec: LinkSpec): NetlinkRequest<void> {
  return rt.commandRequest(
    FAMILY,
    RTM.NEWLINK,
    NLM_F.CREATE | NLM_F.EXCL,
    `create link ${spec.name}`,
    (resolve) => {
      const writer = new AttributeWriter();
      writeNewLink(writer, spec, resolve);
      if (spec.kind === 'vlan') writer.u32(IFLA.LINK, resolve(spec.link));
      return writer.nest(IFLA.LINKINFO, (info) => {
        info.string(INFO.KIND, spec.kind);
        info.nest(INFO.DATA, (data) => writeKindData(data, spec, resolve));
      });
    },
  );
}

/** Changes a link. */
export function set(link: InterfaceRef, changes: LinkChanges): NetlinkRequest<void> {
  return rt.commandRequest(FAMILY, RTM.NEWLINK, 0, `change link ${link}`, (resolve) => {
    const writer = new AttributeWriter();
    writer.header(encodeInterfaceHeader({ index: resolve(link), ...flagChanges(changes) }));
    writeSettings(writer, changes, resolve);
    return writer;
  });
}

/** Changes the settings that a link has as a port of a bridge. */
export function setBridgePort(link: InterfaceRef, changes: BridgePortChanges): NetlinkRequest<void> {
  return rt.commandRequest(FAMILY, RTM.SETLINK, 0, `change bridge port ${link}`, (resolve) => {
    const header = encodeInterfaceHeader({ family: AF.BRIDGE, index: resolve(link) });
    return new AttributeWriter().header(header).nest(IFLA.PROTINFO, (port) => {
      const bool = (type: number, value: boolean | undefined): void => {
        if (value !== undefined) port.u8(type, value ? 1 : 0);
      };
      bool(BRIDGE_PORT.MODE, changes.hairpin);
      bool(BRIDGE_PORT.LEARNING, changes.learning);
      bool(BRIDGE_PORT.UNICAST_FLOOD, changes.unicastFlood);
      bool(BRIDGE_PORT.NEIGH_SUPPRESS, changes.neighbourSuppress);
      bool(BRIDGE_PORT.ISOLATED, changes.isolated);
    });
  });
}

/** Deletes a link; of a veth pair both ends go. */
export function remove(link: InterfaceRef): NetlinkRequest<void> {
  return rt.commandRequest(FAMILY, RTM.DELLINK, 0, `delete link ${link}`, (resolve) =>
    new AttributeWriter().header(encodeInterfaceHeader({ index: resolve(link) })),
  );
}

/** Which links to list. */
export interface LinkFilter {
  readonly kind?: string;
  readonly master?: InterfaceRef;
}

/** Lists the links of the namespace, by index. */
export function list(filter: LinkFilter = {}): NetlinkRequest<Link[]> {
  return rt.dumpRequest(
    FAMILY,
    RTM.GETLINK,
    'list links',
    (resolve) => {
      const writer = new AttributeWriter().header(encodeInterfaceHeader({}));
      if (filter.master !== undefined) writer.u32(IFLA.MASTER, resolve(filter.master));
      const { kind } = filter;
      if (kind !== undefined) writer.nest(IFLA.LINKINFO, (info) => info.string(INFO.KIND, kind));
      return writer;
    },
    (replies) => replies.map(decode),
  );
}

/** One link. Refused with ENODEV when there is none. */
export function get(link: InterfaceRef): NetlinkRequest<Link> {
  return rt.lookupRequest(
    FAMILY,
    RTM.GETLINK,
    `get link ${link}`,
    (resolve) => new AttributeWriter().header(encodeInterfaceHeader({ index: resolve(link) })),
    decode,
  );
}

function decodeStatistics(data: Buffer | undefined): LinkStatistics | undefined {
  const COUNTERS = 8;
  if (data === undefined || data.length < COUNTERS * 8) return undefined;
  const at = (index: number): bigint => data.readBigUInt64LE(index * 8);
  return {
    rxPackets: at(0),
    txPackets: at(1),
    rx_bytes: at(2),
    tx_bytes: at(3),
    rxErrors: at(4),
    txErrors: at(5),
    rxDropped: at(6),
    txDropped: at(7),
  };
}

function decodeBridgePort(data: Attributes): BridgePort {
  const bool = (type: number): boolean => data.u8(type) === 1;
  return {
    learning: bool(BRIDGE_PORT.LEARNING),
    unicastFlood: bool(BRIDGE_PORT.UNICAST_FLOOD),
    hairpin: bool(BRIDGE_PORT.MODE),
    isolated: bool(BRIDGE_PORT.ISOLATED),
    neighbourSuppress: bool(BRIDGE_PORT.NEIGH_SUPPRESS),
  };
}

function decodeVxlan(data: Attributes): VxlanInfo {
  const address = (...types: number[]): string | undefined => {
    const bytes = types.map((type) => data.get(type)).find((value) => value?.some((byte) => byte !== 0));
    return bytes === undefined ? undefined : formatAddress(bytes);
  };
  const linkIndex = data.u32(VXLAN.LINK);
  return {
    ...optional('id', data.u32(VXLAN.ID)),
    ...optional('local', address(VXLAN.LOCAL, VXLAN.LOCAL6)),
    ...optional('remote', address(VXLAN.GROUP, VXLAN.GROUP6)),
    port: data.u16be(VXLAN.PORT) ?? 0,
    ...optional('linkIndex', linkIndex === 0 ? undefined : linkIndex),
    learning: data.u8(VXLAN.LEARNING) === 1,
    external: data.u8(VXLAN.COLLECT_METADATA) === 1,
  };
}

/** Whether a message is about a link itself: a bridge tells about its ports in the same messages, with its own family. */
export function isLink(message: NetlinkMessage): boolean {
  return decodeInterfaceHeader(message.payload).family === AF.UNSPEC;
}

/** Decodes an RTM_NEWLINK or RTM_DELLINK message. @throws MalformedMessageError */
export function decode(message: NetlinkMessage): Link {
  const header = decodeInterfaceHeader(message.payload);
  const attributes = rt.attributesOf(message, INTERFACE_HEADER_SIZE_BYTES);
  const info = attributes.nested(IFLA.LINKINFO);
  const kind = info?.string(INFO.KIND);
  const vxlanData = kind === 'vxlan' ? info?.nested(INFO.DATA) : undefined;
  const portData = info?.string(INFO.SLAVE_KIND) === 'bridge' ? info.nested(INFO.SLAVE_DATA) : undefined;
  const mac = attributes.get(IFLA.ADDRESS);
  const has = (bit: number): boolean => (header.flags & bit) !== 0;
  return {
    index: header.index,
    name: attributes.string(IFLA.IFNAME) ?? '',
    ...optional('kind', kind),
    up: has(IFF.UP),
    running: has(IFF.RUNNING),
    loopback: has(IFF.LOOPBACK),
    noArp: has(IFF.NOARP),
    promiscuous: has(IFF.PROMISC),
    flags: header.flags,
    hardwareType: header.type,
    mtu_bytes: attributes.u32(IFLA.MTU) ?? 0,
    ...optional('mac', mac === undefined || mac.length === 0 ? undefined : formatMac(mac)),
    ...optional('masterIndex', attributes.u32(IFLA.MASTER)),
    ...optional('parentIndex', attributes.u32(IFLA.LINK)),
    ...optional('parentNetnsId', attributes.s32(IFLA.LINK_NETNSID)),
    ...optional('alias', attributes.string(IFLA.IFALIAS)),
    operationalState: OPERATIONAL_STATES[attributes.u8(IFLA.OPERSTATE) ?? 0] ?? 'unknown',
    carrier: attributes.u8(IFLA.CARRIER) === 1,
    txQueueLength: attributes.u32(IFLA.TXQLEN) ?? 0,
    txQueues: attributes.u32(IFLA.NUM_TX_QUEUES) ?? 0,
    rxQueues: attributes.u32(IFLA.NUM_RX_QUEUES) ?? 0,
    ...optional('statistics', decodeStatistics(attributes.get(IFLA.STATS64))),
    ...optional('vxlan', vxlanData === undefined ? undefined : decodeVxlan(vxlanData)),
    ...optional('bridgePort', portData === undefined ? undefined : decodeBridgePort(portData)),
  };
}
