/** Addresses of interfaces: RTM_*ADDR of rtnetlink(7). */
import { AttributeWriter } from './codec/attributes.ts';
import { ADDRESS_HEADER_SIZE_BYTES, decodeAddressHeader, encodeAddressHeader } from './codec/headers.ts';
import { formatAddress, type IpFamily, parseAddress, parsePrefix } from './codec/ip.ts';
import type { NetlinkMessage } from './codec/message.ts';
import { MalformedMessageError } from './errors.ts';
import type { InterfaceRef, NetlinkRequest } from './request.ts';
import * as rt from './rtnetlink.ts';
import { decodeScope, encodeScope, type Scope } from './scope.ts';

const { IFA, RTM, optional } = rt;

const FAMILY: rt.MessageFamily = {
  headerSize_bytes: ADDRESS_HEADER_SIZE_BYTES,
  attributeNames: rt.attributeNames('IFA', IFA),
};

const IFA_F = {
  NODAD: 0x02,
  DADFAILED: 0x08,
  DEPRECATED: 0x20,
  TENTATIVE: 0x40,
  PERMANENT: 0x80,
  NOPREFIXROUTE: 0x200,
} as const;
/** The lifetime that means "for ever". */
const INFINITE_S = 0xffffffff;

/** An address to add or replace. */
export interface AddressSpec {
  readonly link: InterfaceRef;
  /** With the length of its subnet: `10.0.0.1/24`. Without, it is a host address. */
  readonly address: string;
  /** The other end of a point-to-point link. */
  readonly peer?: string;
  readonly broadcast?: string;
  readonly scope?: Scope;
  readonly label?: string;
  /** IPv6: usable at once, without duplicate address detection (RFC 4862). */
  readonly noDad?: boolean;
  /** Without a route to the subnet. */
  readonly noPrefixRoute?: boolean;
  readonly preferredLifetime_s?: number;
  readonly validLifetime_s?: number;
}

/** An address as the kernel reports it. */
export interface Address {
  readonly linkIndex: number;
  readonly family: IpFamily;
  /** Without the prefix length. */
  readonly address: string;
  readonly prefixLength: number;
  readonly peer?: string;
  readonly broadcast?: string;
  readonly label?: string;
  readonly scope: Scope;
  readonly permanent: boolean;
  /** IPv6: duplicate address detection has not ended. */
  readonly tentative: boolean;
  readonly dadFailed: boolean;
  readonly deprecated: boolean;
  /** All IFA_F_* flags. */
  readonly flags: number;
  /** Left out when it is for ever. */
  readonly preferredLifetime_s?: number;
  readonly validLifetime_s?: number;
}

function write(mode: rt.WriteMode, spec: AddressSpec): NetlinkRequest<void> {
  const what = `${mode} address ${spec.address} on ${spec.link}`;
  return rt.commandRequest(FAMILY, RTM.NEWADDR, rt.writeFlags(mode), what, (resolve) => {
    const prefix = parsePrefix(spec.address);
    const header = encodeAddressHeader({
      family: rt.familyNumber(prefix.family),
      prefixLength: prefix.length,
      scope: encodeScope(spec.scope ?? 'global'),
      index: resolve(spec.link),
    });
    const writer = new AttributeWriter().header(header).bytes(IFA.LOCAL, prefix.bytes);
    writer.bytes(IFA.ADDRESS, spec.peer === undefined ? prefix.bytes : parseAddress(spec.peer).bytes);
    if (spec.broadcast !== undefined) writer.bytes(IFA.BROADCAST, parseAddress(spec.broadcast).bytes);
    if (spec.label !== undefined) writer.string(IFA.LABEL, spec.label);
    const flags = (spec.noDad ? IFA_F.NODAD : 0) | (spec.noPrefixRoute ? IFA_F.NOPREFIXROUTE : 0);
    if (flags !== 0) writer.u32(IFA.FLAGS, flags);
    if (spec.preferredLifetime_s !== undefined || spec.validLifetime_s !== undefined) {
      const cacheInfo = Buffer.alloc(16);
      cacheInfo.writeUInt32LE(spec.preferredLifetime_s ?? spec.validLifetime_s ?? INFINITE_S, 0);
      cacheInfo.writeUInt32LE(spec.validLifetime_s ?? INFINITE_S, 4);
      writer.bytes(IFA.CACHEINFO, cacheInfo);
    }
    return writer;
  });
}

/** Adds an address. Refused with EEXIST when the interface has it. */
export function add(spec: AddressSpec): NetlinkRequest<void> {
  return write('add', spec);
}

/** Adds an address or changes the one that is there. */
export function replace(spec: AddressSpec): NetlinkRequest<void> {
  return write('replace', spec);
}

/** Removes an address. Refused with EADDRNOTAVAIL when it is not there. */
export function remove(spec: Pick<AddressSpec, 'link' | 'address'>): NetlinkRequest<void> {
  return rt.commandRequest(
    FAMILY,
    RTM.DELADDR,
    0,
    `remove address ${spec.address} from ${spec.link}`,
    (resolve) => {
      const prefix = parsePrefix(spec.address);
      const header = encodeAddressHeader({
        family: rt.familyNumber(prefix.family),
        prefixLength: prefix.length,
        index: resolve(spec.link),
      });
      return new AttributeWriter().header(header).bytes(IFA.LOCAL, prefix.bytes);
    },
  );
}

/** Which addresses to list. */
export interface AddressFilter {
  readonly link?: InterfaceRef;
  readonly family?: IpFamily;
}

/** Lists addresses. */
export function list(filter: AddressFilter = {}): NetlinkRequest<Address[]> {
  return rt.dumpRequest(
    FAMILY,
    RTM.GETADDR,
    'list addresses',
    (resolve) => {
      const index = filter.link === undefined ? 0 : resolve(filter.link);
      return new AttributeWriter().header(
        encodeAddressHeader({ family: rt.familyNumber(filter.family), index }),
      );
    },
    (replies) => replies.filter(isIp).map(decode),
  );
}

/** Whether a message is about an IP address: other families may be in a dump of all. */
export function isIp(message: NetlinkMessage): boolean {
  return rt.familyOf(decodeAddressHeader(message.payload).family) !== undefined;
}

/** Decodes an RTM_NEWADDR or RTM_DELADDR message. @throws MalformedMessageError */
export function decode(message: NetlinkMessage): Address {
  const header = decodeAddressHeader(message.payload);
  const attributes = rt.attributesOf(message, ADDRESS_HEADER_SIZE_BYTES);
  const family = rt.familyOf(header.family);
  const remote = attributes.get(IFA.ADDRESS);
  const local = attributes.get(IFA.LOCAL) ?? remote;
  if (family === undefined || local === undefined) {
    throw new MalformedMessageError(`an address message of family ${header.family} without an address`);
  }
  const peer = remote === undefined || remote.equals(local) ? undefined : formatAddress(remote);
  const flags = attributes.u32(IFA.FLAGS) ?? header.flags;
  const cacheInfo = attributes.get(IFA.CACHEINFO);
  const lifetime = (offset: number): number | undefined => {
    if (cacheInfo === undefined || cacheInfo.length < offset + 4) return undefined;
    const seconds = cacheInfo.readUInt32LE(offset);
    return seconds === INFINITE_S ? undefined : seconds;
  };
  return {
    linkIndex: header.index,
    family,
    address: formatAddress(local),
    prefixLength: header.prefixLength,
    ...optional('peer', peer),
    ...optional('broadcast', rt.addressText(attributes, IFA.BROADCAST)),
    ...optional('label', attributes.string(IFA.LABEL)),
    scope: decodeScope(header.scope),
    permanent: (flags & IFA_F.PERMANENT) !== 0,
    tentative: (flags & IFA_F.TENTATIVE) !== 0,
    dadFailed: (flags & IFA_F.DADFAILED) !== 0,
    deprecated: (flags & IFA_F.DEPRECATED) !== 0,
    flags,
    ...optional('preferredLifetime_s', lifetime(0)),
    ...optional('validLifetime_s', lifetime(4)),
  };
}
