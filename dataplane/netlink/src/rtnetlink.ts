/** What the rtnetlink modules share: message types, attribute numbers with their names, request builders. */
import { Attributes, type AttributeWriter } from './codec/attributes.ts';
import { formatAddress, type IpFamily } from './codec/ip.ts';
import { type NetlinkMessage, NLM_F } from './codec/message.ts';
import { MalformedMessageError } from './errors.ts';
import { AF } from './ffi.ts';
import type { InterfaceResolver, NetlinkRequest } from './request.ts';

/** Message types, as in <linux/rtnetlink.h>. */
export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  SETLINK: 19,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
  NEWRULE: 32,
  DELRULE: 33,
  GETRULE: 34,
} as const;

/** IFLA_* of <linux/if_link.h>. */
export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  PROTINFO: 12,
  TXQLEN: 13,
  OPERSTATE: 16,
  LINKINFO: 18,
  NET_NS_PID: 19,
  IFALIAS: 20,
  STATS64: 23,
  AF_SPEC: 26,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
  CARRIER: 33,
  LINK_NETNSID: 37,
} as const;

/** IFA_* of <linux/if_addr.h>. */
export const IFA = { ADDRESS: 1, LOCAL: 2, LABEL: 3, BROADCAST: 4, CACHEINFO: 6, FLAGS: 8 } as const;

/** NDA_* of <linux/neighbour.h>. */
export const NDA = {
  DST: 1,
  LLADDR: 2,
  PROBES: 4,
  VLAN: 5,
  PORT: 6,
  VNI: 7,
  IFINDEX: 8,
  MASTER: 9,
  FLAGS_EXT: 15,
} as const;

/** RTA_* of <linux/rtnetlink.h>. */
export const RTA = {
  DST: 1,
  SRC: 2,
  IIF: 3,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  MARK: 16,
  VIA: 18,
  IP_PROTO: 27,
  SPORT: 28,
  DPORT: 29,
} as const;

/** FRA_* of <linux/fib_rules.h>. */
export const FRA = {
  DST: 1,
  SRC: 2,
  IIFNAME: 3,
  GOTO: 4,
  PRIORITY: 6,
  FWMARK: 10,
  SUPPRESS_PREFIXLEN: 14,
  TABLE: 15,
  FWMASK: 16,
  OIFNAME: 17,
  PROTOCOL: 21,
  IP_PROTO: 22,
  SPORT_RANGE: 23,
  DPORT_RANGE: 24,
} as const;

/** Names such as `IFLA_MTU` by attribute number. */
export function attributeNames(
  prefix: string,
  numbers: Readonly<Record<string, number>>,
): ReadonlyMap<number, string> {
  return new Map(Object.entries(numbers).map(([name, number]) => [number, `${prefix}_${name}`]));
}

/** What distinguishes one rtnetlink family of messages from another. */
export interface MessageFamily {
  readonly headerSize_bytes: number;
  readonly attributeNames: ReadonlyMap<number, string>;
}

/** A request whose answer is an acknowledgement only. */
export function commandRequest(
  family: MessageFamily,
  type: number,
  flags: number,
  what: string,
  write: (resolve: InterfaceResolver) => AttributeWriter,
): NetlinkRequest<void> {
  return {
    ...family,
    type,
    flags,
    what,
    body: (resolve) => write(resolve).finish(),
    decode: () => undefined,
  };
}

/** A request whose answer is a list. */
export function dumpRequest<T>(
  family: MessageFamily,
  type: number,
  what: string,
  write: (resolve: InterfaceResolver) => AttributeWriter,
  decode: (replies: readonly NetlinkMessage[]) => T[],
): NetlinkRequest<T[]> {
  return { ...family, type, flags: 0, dump: true, what, body: (resolve) => write(resolve).finish(), decode };
}

/** A request for one thing. */
export function lookupRequest<T>(
  family: MessageFamily,
  type: number,
  what: string,
  write: (resolve: InterfaceResolver) => AttributeWriter,
  decode: (reply: NetlinkMessage) => T,
): NetlinkRequest<T> {
  return {
    ...family,
    type,
    flags: 0,
    what,
    body: (resolve) => write(resolve).finish(),
    decode: (replies) => {
      const [reply] = replies;
      if (reply === undefined)
        throw new MalformedMessageError(`${what}: an acknowledgement without an answer`);
      return decode(reply);
    },
  };
}

/** How an entry is made: `add` fails if it exists, `replace` does not, `append` puts it beside others. */
export type WriteMode = 'add' | 'replace' | 'append';

/** The nlmsghdr flags of a write mode. */
export function writeFlags(mode: WriteMode): number {
  switch (mode) {
    case 'add':
      return NLM_F.CREATE | NLM_F.EXCL;
    case 'replace':
      return NLM_F.CREATE | NLM_F.REPLACE;
    case 'append':
      return NLM_F.CREATE | NLM_F.APPEND;
  }
}

/** The kernel's number of an IP family. */
export function familyNumber(family: IpFamily | undefined): number {
  if (family === undefined) return AF.UNSPEC;
  return family === 'inet' ? AF.INET : AF.INET6;
}

/** The IP family of a number, if it is one. */
export function familyOf(number: number): IpFamily | undefined {
  if (number === AF.INET) return 'inet';
  return number === AF.INET6 ? 'inet6' : undefined;
}

/** The attributes behind a message's fixed header. */
export function attributesOf(message: NetlinkMessage, headerSize_bytes: number): Attributes {
  return Attributes.parse(message.payload, headerSize_bytes);
}

/** An optional field for an object literal: nothing at all when the value is undefined. */
export function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
}

/** An optional address attribute as text. */
export function addressText(attributes: Attributes, type: number): string | undefined {
  const bytes = attributes.get(type);
  return bytes === undefined ? undefined : formatAddress(bytes);
}

/** Looks a word up in a table of kernel numbers. @throws TypeError naming the words there are */
export function numberOf(table: Readonly<Record<string, number>>, word: string, subject: string): number {
  const number = Object.hasOwn(table, word) ? table[word] : undefined;
  if (number === undefined) {
    throw new TypeError(
      `${subject} ${JSON.stringify(word)}: expected one of ${Object.keys(table).join(', ')}`,
    );
  }
  return number;
}

/** The word for a kernel number. */
export function wordOf<W extends string>(table: Readonly<Record<W, number>>, number: number): W | undefined {
  return (Object.keys(table) as W[]).find((word) => table[word] === number);
}
