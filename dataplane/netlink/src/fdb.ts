/** Forwarding entries of bridges and VXLAN devices: RTM_*NEIGH of rtnetlink(7) with the family AF_BRIDGE. */
import { AttributeWriter } from './codec/attributes.ts';
import {
  decodeNeighbourHeader,
  encodeNeighbourHeader,
  NEIGHBOUR_HEADER_SIZE_BYTES,
} from './codec/headers.ts';
import { formatMac, parseAddress, parseMac } from './codec/ip.ts';
import type { NetlinkMessage } from './codec/message.ts';
import { MalformedMessageError } from './errors.ts';
import { AF } from './ffi.ts';
import type { InterfaceRef, NetlinkRequest } from './request.ts';
import * as rt from './rtnetlink.ts';

const { NDA, RTM, optional } = rt;

const FAMILY: rt.MessageFamily = {
  headerSize_bytes: NEIGHBOUR_HEADER_SIZE_BYTES,
  attributeNames: rt.attributeNames('NDA', NDA),
};
const NTF = { SELF: 0x02, MASTER: 0x04, EXT_LEARNED: 0x10 } as const;
const STATES = { dynamic: 0x02, static: 0x40, permanent: 0x80 } as const;

/** How long an entry lasts: until it ages, until it is removed, or removed and local. */
export type FdbState = keyof typeof STATES;

/** A forwarding entry to add, replace, append or remove. */
export interface FdbSpec {
  /** The bridge port or VXLAN device. */
  readonly link: InterfaceRef;
  /** `00:00:00:00:00:00` on a VXLAN device is for all unknown ones. */
  readonly mac: string;
  /** VXLAN: the tunnel endpoint behind which the MAC address is. */
  readonly destination?: string;
  readonly vni?: number;
  readonly port?: number;
  /** VXLAN: the interface to send by. */
  readonly viaLink?: InterfaceRef;
  readonly vlan?: number;
  /** Whose table: the device's own (`self`, the default) or its bridge's (`master`). */
  readonly target?: 'self' | 'master';
  /** permanent if left out. */
  readonly state?: FdbState;
  readonly externallyLearned?: boolean;
}

/** A forwarding entry as the kernel reports it. */
export interface FdbEntry {
  readonly linkIndex: number;
  readonly mac: string;
  readonly destination?: string;
  readonly vni?: number;
  readonly port?: number;
  readonly viaLinkIndex?: number;
  readonly vlan?: number;
  readonly masterIndex?: number;
  readonly self: boolean;
  readonly master: boolean;
  readonly permanent: boolean;
  readonly externallyLearned: boolean;
}

function writeEntry(spec: FdbSpec, resolve: (ref: InterfaceRef) => number): AttributeWriter {
  const header = encodeNeighbourHeader({
    family: AF.BRIDGE,
    index: resolve(spec.link),
    state: rt.numberOf(STATES, spec.state ?? 'permanent', 'fdb state'),
    flags:
      (spec.target === 'master' ? NTF.MASTER : NTF.SELF) | (spec.externallyLearned ? NTF.EXT_LEARNED : 0),
  });
  const writer = new AttributeWriter().header(header).bytes(NDA.LLADDR, parseMac(spec.mac));
  if (spec.destination !== undefined) writer.bytes(NDA.DST, parseAddress(spec.destination).bytes);
  if (spec.vlan !== undefined) writer.u16(NDA.VLAN, spec.vlan);
  if (spec.port !== undefined) writer.u16be(NDA.PORT, spec.port);
  if (spec.vni !== undefined) writer.u32(NDA.VNI, spec.vni);
  if (spec.viaLink !== undefined) writer.u32(NDA.IFINDEX, resolve(spec.viaLink));
  return writer;
}

function write(mode: rt.WriteMode, spec: FdbSpec): NetlinkRequest<void> {
  const what = `${mode} fdb entry ${spec.mac} on ${spec.link}`;
  return rt.commandRequest(FAMILY, RTM.NEWNEIGH, rt.writeFlags(mode), what, (resolve) =>
    writeEntry(spec, resolve),
  );
}

/** Adds an entry. Refused with EEXIST when there is one for the MAC address. */
export function add(spec: FdbSpec): NetlinkRequest<void> {
  return write('add', spec);
}

/** Adds an entry or changes the one that is there. */
export function replace(spec: FdbSpec): NetlinkRequest<void> {
  return write('replace', spec);
}

/** Adds one more destination for a MAC address. */
export function append(spec: FdbSpec): NetlinkRequest<void> {
  return write('append', spec);
}

/** Removes an entry. Refused with ENOENT when there is none. */
export function remove(spec: FdbSpec): NetlinkRequest<void> {
  return rt.commandRequest(
    FAMILY,
    RTM.DELNEIGH,
    0,
    `remove fdb entry ${spec.mac} from ${spec.link}`,
    (resolve) => writeEntry(spec, resolve),
  );
}

/** Which entries to list. */
export interface FdbFilter {
  readonly link?: InterfaceRef;
  readonly bridge?: InterfaceRef;
}

/** Lists forwarding entries. */
export function list(filter: FdbFilter = {}): NetlinkRequest<FdbEntry[]> {
  return rt.dumpRequest(
    FAMILY,
    RTM.GETNEIGH,
    'list fdb entries',
    (resolve) => {
      const writer = new AttributeWriter().header(encodeNeighbourHeader({ family: AF.BRIDGE }));
      if (filter.link !== undefined) writer.u32(NDA.IFINDEX, resolve(filter.link));
      if (filter.bridge !== undefined) writer.u32(NDA.MASTER, resolve(filter.bridge));
      return writer;
    },
    (replies) => replies.map(decode),
  );
}

/** Whether a neighbour message is about a forwarding entry. */
export function isFdb(message: NetlinkMessage): boolean {
  return decodeNeighbourHeader(message.payload).family === AF.BRIDGE;
}

/** Decodes an RTM_NEWNEIGH or RTM_DELNEIGH message of the family AF_BRIDGE. @throws MalformedMessageError */
export function decode(message: NetlinkMessage): FdbEntry {
  const header = decodeNeighbourHeader(message.payload);
  const attributes = rt.attributesOf(message, NEIGHBOUR_HEADER_SIZE_BYTES);
  const mac = attributes.get(NDA.LLADDR);
  if (mac === undefined) throw new MalformedMessageError('a forwarding entry without a MAC address');
  return {
    linkIndex: header.index,
    mac: formatMac(mac),
    ...optional('destination', rt.addressText(attributes, NDA.DST)),
    ...optional('vni', attributes.u32(NDA.VNI)),
    ...optional('port', attributes.u16be(NDA.PORT)),
    ...optional('viaLinkIndex', attributes.u32(NDA.IFINDEX)),
    ...optional('vlan', attributes.u16(NDA.VLAN)),
    ...optional('masterIndex', attributes.u32(NDA.MASTER)),
    self: (header.flags & NTF.SELF) !== 0,
    master: (header.flags & NTF.MASTER) !== 0 || attributes.has(NDA.MASTER),
    permanent: (header.state & STATES.permanent) !== 0,
    externallyLearned: (header.flags & NTF.EXT_LEARNED) !== 0,
  };
}
