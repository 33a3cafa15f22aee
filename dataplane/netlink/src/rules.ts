/** Policy routing rules: RTM_*RULE of rtnetlink(7), <linux/fib_rules.h>. */
import { type Attributes, AttributeWriter } from './codec/attributes.ts';
import { decodeRuleHeader, encodeRuleHeader, RULE_HEADER_SIZE_BYTES } from './codec/headers.ts';
import { type IpFamily, parsePrefix } from './codec/ip.ts';
import { type NetlinkMessage, NLM_F } from './codec/message.ts';
import { MalformedMessageError } from './errors.ts';
import type { NetlinkRequest } from './request.ts';
import * as rt from './rtnetlink.ts';

const { FRA, RTM, optional } = rt;

const FAMILY: rt.MessageFamily = {
  headerSize_bytes: RULE_HEADER_SIZE_BYTES,
  attributeNames: rt.attributeNames('FRA', FRA),
};

const ACTIONS = { table: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 } as const;
const FIB_RULE_INVERT = 2;
const MAX_HEADER_TABLE = 255;
const NO_SUPPRESSION = 0xffffffff;

/** What a rule does with packets that it matches. */
export type RuleAction = keyof typeof ACTIONS;

/** A range of ports, both ends included. */
export type PortRange = readonly [first: number, last: number];

/** A rule to add or remove. */
export interface RuleSpec {
  /** If left out: that of the source or destination, else inet. */
  readonly family?: IpFamily;
  /** Lower ones are looked at first; the kernel chooses one if left out. */
  readonly priority?: number;
  readonly source?: string;
  readonly destination?: string;
  readonly table?: number;
  /** `table` if left out. */
  readonly action?: RuleAction;
  /** The priority of the rule to go on with. */
  readonly goto?: number;
  /** The packet's mark. */
  readonly mark?: number;
  readonly markMask?: number;
  /** Name of the interface that the packet came in by. */
  readonly inputLink?: string;
  /** Name of the interface that the socket is bound to. */
  readonly outputLink?: string;
  readonly ipProtocol?: number;
  readonly sourcePorts?: PortRange;
  readonly destinationPorts?: PortRange;
  /** Pass over a route of the table whose prefix is this long or shorter. */
  readonly suppressPrefixLength?: number;
  /** Match what does not match. */
  readonly invert?: boolean;
  /** RTPROT_* number: who set the rule. */
  readonly protocol?: number;
}

/** A rule as the kernel reports it. */
export interface Rule {
  readonly family: IpFamily;
  readonly priority: number;
  readonly source?: string;
  readonly destination?: string;
  readonly table: number;
  readonly action: RuleAction | number;
  readonly goto?: number;
  readonly mark?: number;
  readonly markMask?: number;
  readonly inputLink?: string;
  readonly outputLink?: string;
  readonly ipProtocol?: number;
  readonly sourcePorts?: PortRange;
  readonly destinationPorts?: PortRange;
  readonly suppressPrefixLength?: number;
  readonly invert: boolean;
  readonly protocol?: number;
}

function writePorts(writer: AttributeWriter, type: number, range: PortRange | undefined): void {
  if (range === undefined) return;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(range[0], 0);
  bytes.writeUInt16LE(range[1], 2);
  writer.bytes(type, bytes);
}

function writeRule(spec: RuleSpec, action: RuleAction | undefined): AttributeWriter {
  const source = spec.source === undefined ? undefined : parsePrefix(spec.source);
  const destination = spec.destination === undefined ? undefined : parsePrefix(spec.destination);
  const table = spec.table ?? 0;
  const header = encodeRuleHeader({
    family: rt.familyNumber(spec.family ?? source?.family ?? destination?.family ?? 'inet'),
    sourceLength: source?.length ?? 0,
    destinationLength: destination?.length ?? 0,
    table: table <= MAX_HEADER_TABLE ? table : 0,
    action: action === undefined ? 0 : rt.numberOf(ACTIONS, action, 'rule action'),
    flags: spec.invert ? FIB_RULE_INVERT : 0,
  });
  const writer = new AttributeWriter().header(header);
  const u32 = (type: number, value: number | undefined): void => {
    if (value !== undefined) writer.u32(type, value);
  };
  if (source !== undefined) writer.bytes(FRA.SRC, source.bytes);
  if (destination !== undefined) writer.bytes(FRA.DST, destination.bytes);
  u32(FRA.TABLE, spec.table);
  u32(FRA.PRIORITY, spec.priority);
  u32(FRA.GOTO, spec.goto);
  u32(FRA.FWMARK, spec.mark);
  u32(FRA.FWMASK, spec.markMask);
  u32(FRA.SUPPRESS_PREFIXLEN, spec.suppressPrefixLength);
  if (spec.inputLink !== undefined) writer.string(FRA.IIFNAME, spec.inputLink);
  if (spec.outputLink !== undefined) writer.string(FRA.OIFNAME, spec.outputLink);
  if (spec.ipProtocol !== undefined) writer.u8(FRA.IP_PROTO, spec.ipProtocol);
  if (spec.protocol !== undefined) writer.u8(FRA.PROTOCOL, spec.protocol);
  writePorts(writer, FRA.SPORT_RANGE, spec.sourcePorts);
  writePorts(writer, FRA.DPORT_RANGE, spec.destinationPorts);
  return writer;
}

function describe(spec: RuleSpec): string {
  const priority = spec.priority === undefined ? '' : ` ${spec.priority}`;
  const to = spec.table === undefined ? '' : ` to table ${spec.table}`;
  return `rule${priority}${to}`;
}

/** Adds a rule. Refused with EEXIST when there is the same. */
export function add(spec: RuleSpec): NetlinkRequest<void> {
  return rt.commandRequest(FAMILY, RTM.NEWRULE, NLM_F.CREATE | NLM_F.EXCL, `add ${describe(spec)}`, () =>
    writeRule(spec, spec.action ?? 'table'),
  );
}

/** Removes the first rule that matches all that is given. Refused with ENOENT when there is none. */
export function remove(spec: RuleSpec): NetlinkRequest<void> {
  return rt.commandRequest(FAMILY, RTM.DELRULE, 0, `remove ${describe(spec)}`, () =>
    writeRule(spec, spec.action),
  );
}

/** Lists rules by family, then priority. */
export function list(family?: IpFamily): NetlinkRequest<Rule[]> {
  return rt.dumpRequest(
    FAMILY,
    RTM.GETRULE,
    'list rules',
    () => new AttributeWriter().header(encodeRuleHeader({ family: rt.familyNumber(family) })),
    (replies) => replies.filter(isIp).map(decode),
  );
}

/** Whether a message is about a rule for IP: multicast routing has rules too. */
export function isIp(message: NetlinkMessage): boolean {
  return rt.familyOf(decodeRuleHeader(message.payload).family) !== undefined;
}

function decodePorts(attributes: Attributes, type: number): PortRange | undefined {
  const bytes = attributes.get(type);
  if (bytes === undefined) return undefined;
  if (bytes.length < 4) throw new MalformedMessageError(`a port range of ${bytes.length} bytes`);
  return [bytes.readUInt16LE(0), bytes.readUInt16LE(2)];
}

/** Decodes an RTM_NEWRULE or RTM_DELRULE message. @throws MalformedMessageError */
export function decode(message: NetlinkMessage): Rule {
  const header = decodeRuleHeader(message.payload);
  const attributes = rt.attributesOf(message, RULE_HEADER_SIZE_BYTES);
  const family = rt.familyOf(header.family);
  if (family === undefined) throw new MalformedMessageError(`a rule of family ${header.family}`);
  const prefix = (type: number, length: number): string | undefined => {
    const address = rt.addressText(attributes, type);
    return address === undefined ? undefined : `${address}/${length}`;
  };
  const suppress = attributes.u32(FRA.SUPPRESS_PREFIXLEN);
  return {
    family,
    priority: attributes.u32(FRA.PRIORITY) ?? 0,
    ...optional('source', prefix(FRA.SRC, header.sourceLength)),
    ...optional('destination', prefix(FRA.DST, header.destinationLength)),
    table: attributes.u32(FRA.TABLE) ?? header.table,
    action: (rt.wordOf(ACTIONS, header.action) as RuleAction | undefined) ?? header.action,
    ...optional('goto', attributes.u32(FRA.GOTO)),
    ...optional('mark', attributes.u32(FRA.FWMARK)),
    ...optional('markMask', attributes.u32(FRA.FWMASK)),
    ...optional('inputLink', attributes.string(FRA.IIFNAME)),
    ...optional('outputLink', attributes.string(FRA.OIFNAME)),
    ...optional('ipProtocol', attributes.u8(FRA.IP_PROTO)),
    ...optional('sourcePorts', decodePorts(attributes, FRA.SPORT_RANGE)),
    ...optional('destinationPorts', decodePorts(attributes, FRA.DPORT_RANGE)),
    ...optional('suppressPrefixLength', suppress === NO_SUPPRESSION ? undefined : suppress),
    invert: (header.flags & FIB_RULE_INVERT) !== 0,
    ...optional('protocol', attributes.u8(FRA.PROTOCOL)),
  };
}
