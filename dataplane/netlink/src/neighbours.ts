/** Neighbours (ARP and neighbour discovery): RTM_*NEIGH of rtnetlink(7) for IPv4 and IPv6. */
import { AttributeWriter } from './codec/attributes.ts';
import {
  decodeNeighbourHeader,
  encodeNeighbourHeader,
  NEIGHBOUR_HEADER_SIZE_BYTES,
} from './codec/headers.ts';
import { formatAddress, formatMac, type IpFamily, parseAddress, parseMac } from './codec/ip.ts';
import type { NetlinkMessage } from './codec/message.ts';
import { MalformedMessageError } from './errors.ts';
import type { InterfaceRef, NetlinkRequest } from './request.ts';
import * as rt from './rtnetlink.ts';

const { NDA, RTM, optional } = rt;

const FAMILY: rt.MessageFamily = {
  headerSize_bytes: NEIGHBOUR_HEADER_SIZE_BYTES,
  attributeNames: rt.attributeNames('NDA', NDA),
};

const NTF = { USE: 0x01, PROXY: 0x08, EXT_LEARNED: 0x10, ROUTER: 0x80 } as const;
const NTF_EXT_MANAGED = 0x01;
const STATES = {
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const;

/** Where a neighbour stands in unreachability detection (RFC 4861 section 7.3.2, and the kernel's own). */
export type NeighbourState = keyof typeof STATES;

/** A neighbour to add or replace. */
export interface NeighbourSpec {
  readonly link: InterfaceRef;
  readonly address: string;
  /** Left out, the kernel is to find it. */
  readonly mac?: string;
  /** If left out: permanent with a MAC address (reachable if managed or externally learned), none without. */
  readonly state?: NeighbourState;
  /** The kernel resolves the address now and keeps it resolved (Linux 5.16). */
  readonly managed?: boolean;
  /** Set by a control plane, and so not collected when the table is full. */
  readonly externallyLearned?: boolean;
  readonly router?: boolean;
  /** Answer for the address in the place of its owner. */
  readonly proxy?: boolean;
  /** Begin to resolve it now. */
  readonly use?: boolean;
}

/** A neighbour as the kernel reports it. */
export interface Neighbour {
  readonly linkIndex: number;
  readonly family: IpFamily;
  readonly address: string;
  readonly mac?: string;
  readonly state: NeighbourState;
  readonly managed: boolean;
  readonly externallyLearned: boolean;
  readonly router: boolean;
  readonly proxy: boolean;
  readonly probes?: number;
}

function defaultState(spec: NeighbourSpec): NeighbourState {
  if (spec.mac === undefined) return 'none';
  return spec.managed || spec.externallyLearned ? 'reachable' : 'permanent';
}

function write(mode: rt.WriteMode, spec: NeighbourSpec): NetlinkRequest<void> {
  const what = `${mode} neighbour ${spec.address} on ${spec.link}`;
  return rt.commandRequest(FAMILY, RTM.NEWNEIGH, rt.writeFlags(mode), what, (resolve) => {
    const address = parseAddress(spec.address);
    const header = encodeNeighbourHeader({
      family: rt.familyNumber(address.family),
      index: resolve(spec.link),
      state: rt.numberOf(STATES, spec.state ?? defaultState(spec), 'neighbour state'),
      flags:
        (spec.use ? NTF.USE : 0) |
        (spec.proxy ? NTF.PROXY : 0) |
        (spec.externallyLearned ? NTF.EXT_LEARNED : 0) |
        (spec.router ? NTF.ROUTER : 0),
    });
    const writer = new AttributeWriter().header(header).bytes(NDA.DST, address.bytes);
    if (spec.mac !== undefined) writer.bytes(NDA.LLADDR, parseMac(spec.mac));
    if (spec.managed) writer.u32(NDA.FLAGS_EXT, NTF_EXT_MANAGED);
    return writer;
  });
}

/** Adds a neighbour. Refused with EEXIST when there is one. */
export function add(spec: NeighbourSpec): NetlinkRequest<void> {
  return write('add', spec);
}

/** Adds a neighbour or changes the one that is there. */
export function replace(spec: NeighbourSpec): NetlinkRequest<void> {
  return write('replace', spec);
}

/** Which neighbour is meant. */
export type NeighbourKey = Pick<NeighbourSpec, 'link' | 'address' | 'proxy'>;

function writeKey(key: NeighbourKey, index: number): AttributeWriter {
  const address = parseAddress(key.address);
  const flags = key.proxy ? NTF.PROXY : 0;
  const header = encodeNeighbourHeader({ family: rt.familyNumber(address.family), index, flags });
  return new AttributeWriter().header(header).bytes(NDA.DST, address.bytes);
}

/** Removes a neighbour. Refused with ENOENT when there is none. */
export function remove(key: NeighbourKey): NetlinkRequest<void> {
  return rt.commandRequest(
    FAMILY,
    RTM.DELNEIGH,
    0,
    `remove neighbour ${key.address} from ${key.link}`,
    (resolve) => writeKey(key, resolve(key.link)),
  );
}

/** One neighbour. Refused with ENOENT when there is none. */
export function get(key: NeighbourKey): NetlinkRequest<Neighbour> {
  return rt.lookupRequest(
    FAMILY,
    RTM.GETNEIGH,
    `get neighbour ${key.address} on ${key.link}`,
    (resolve) => writeKey(key, resolve(key.link)),
    decode,
  );
}

/** Which neighbours to list. */
export interface NeighbourFilter {
  readonly link?: InterfaceRef;
  readonly family?: IpFamily;
}

/** Lists neighbours, proxied ones left out. */
export function list(filter: NeighbourFilter = {}): NetlinkRequest<Neighbour[]> {
  return rt.dumpRequest(
    FAMILY,
    RTM.GETNEIGH,
    'list neighbours',
    (resolve) => {
      const writer = new AttributeWriter().header(
        encodeNeighbourHeader({ family: rt.familyNumber(filter.family) }),
      );
      if (filter.link !== undefined) writer.u32(NDA.IFINDEX, resolve(filter.link));
      return writer;
    },
    (replies) => replies.filter(isIp).map(decode),
  );
}

/** Whether a message is about an IP neighbour: forwarding entries of bridges come in the same messages. */
export function isIp(message: NetlinkMessage): boolean {
  return rt.familyOf(decodeNeighbourHeader(message.payload).family) !== undefined;
}

/** Decodes an RTM_NEWNEIGH or RTM_DELNEIGH message. @throws MalformedMessageError */
export function decode(message: NetlinkMessage): Neighbour {
  const header = decodeNeighbourHeader(message.payload);
  const attributes = rt.attributesOf(message, NEIGHBOUR_HEADER_SIZE_BYTES);
  const family = rt.familyOf(header.family);
  const address = attributes.get(NDA.DST);
  if (family === undefined || address === undefined) {
    throw new MalformedMessageError(`a neighbour of family ${header.family} without an address`);
  }
  const mac = attributes.get(NDA.LLADDR);
  const extended = attributes.u32(NDA.FLAGS_EXT) ?? 0;
  return {
    linkIndex: header.index,
    family,
    address: formatAddress(address),
    ...optional('mac', mac === undefined ? undefined : formatMac(mac)),
    state: rt.wordOf(STATES, header.state) ?? 'none',
    managed: (extended & NTF_EXT_MANAGED) !== 0,
    externallyLearned: (header.flags & NTF.EXT_LEARNED) !== 0,
    router: (header.flags & NTF.ROUTER) !== 0,
    proxy: (header.flags & NTF.PROXY) !== 0,
    ...optional('probes', attributes.u32(NDA.PROBES)),
  };
}
