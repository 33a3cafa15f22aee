import type { ExtendedAck } from '../errors.ts';
import { MalformedMessageError } from '../errors.ts';
import { Attributes, align } from './attributes.ts';
import { Cursor } from './cursor.ts';

/** Size of struct nlmsghdr. */
export const MESSAGE_HEADER_SIZE_BYTES = 16;

/** Message types that all netlink families share, as in <linux/netlink.h>. */
export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

/** Flags of struct nlmsghdr. */
export const NLM_F = {
  REQUEST: 0x01,
  MULTI: 0x02,
  ACK: 0x04,
  DUMP_INTR: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  /** In an error: the request's payload is not repeated. */
  CAPPED: 0x100,
  /** In an error: attributes follow. */
  ACK_TLVS: 0x200,
} as const;

const NLMSGERR_ATTR = { MSG: 1, OFFS: 2, MISS_TYPE: 5, MISS_NEST: 6 } as const;

/** One netlink message as received. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  /** What follows struct nlmsghdr. */
  readonly payload: Buffer;
}

/**
 * Writes a whole message.
 * @param target where to; @param offset first byte of the header
 * @returns the offset behind the message, aligned
 */
export function writeMessage(
  target: Buffer,
  offset: number,
  message: { type: number; flags: number; sequence: number; payload: Buffer },
): number {
  const length = MESSAGE_HEADER_SIZE_BYTES + message.payload.length;
  target.writeUInt32LE(length, offset);
  target.writeUInt16LE(message.type, offset + 4);
  target.writeUInt16LE(message.flags, offset + 6);
  target.writeUInt32LE(message.sequence, offset + 8);
  target.writeUInt32LE(0, offset + 12);
  message.payload.copy(target, offset + MESSAGE_HEADER_SIZE_BYTES);
  const end = offset + align(length);
  target.fill(0, offset + length, end);
  return end;
}

/**
 * Splits a datagram into its messages.
 * @throws MalformedMessageError when a header's length contradicts the datagram's
 */
export function parseMessages(datagram: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const cursor = new Cursor(datagram);
  while (cursor.remaining > 0) {
    const offset = cursor.offset;
    const length = cursor.u32('message length');
    const type = cursor.u16('message type');
    const flags = cursor.u16('message flags');
    const sequence = cursor.u32('message sequence');
    const portId = cursor.u32('message port');
    if (length < MESSAGE_HEADER_SIZE_BYTES) {
      throw new MalformedMessageError(`message at offset ${offset} claims a length of ${length}`);
    }
    const payload = cursor.bytes(length - MESSAGE_HEADER_SIZE_BYTES, `payload of message type ${type}`);
    cursor.skipPadding(align(length) - length);
    messages.push({ type, flags, sequence, portId, payload });
  }
  return messages;
}

/** The verdict in an NLMSG_ERROR or NLMSG_DONE message. */
export interface Verdict {
  /** A positive errno value, or 0 for success. */
  readonly errno: number;
  readonly message?: string;
  /** Offset of the refused attribute, from the request's nlmsghdr. */
  readonly attributeOffset?: number;
  readonly missingType?: number;
}

/** Reads an NLMSG_ERROR (struct nlmsgerr) or the errno that closes a dump. */
export function parseVerdict(message: NetlinkMessage): Verdict {
  const cursor = new Cursor(message.payload);
  if (message.type === NLMSG.DONE && cursor.remaining < 4) return { errno: 0 };
  const error = cursor.s32('error number');
  if (message.type === NLMSG.ERROR) {
    const requestLength = cursor.u32('length of the refused request');
    cursor.bytes(MESSAGE_HEADER_SIZE_BYTES - 4, 'header of the refused request');
    if ((message.flags & NLM_F.CAPPED) === 0) {
      cursor.skipPadding(Math.max(0, align(requestLength) - MESSAGE_HEADER_SIZE_BYTES));
    }
  }
  if (error > 0) throw new MalformedMessageError(`a positive error number ${error}`);
  if ((message.flags & NLM_F.ACK_TLVS) === 0) return { errno: -error };
  const attributes = Attributes.parse(message.payload, cursor.offset);
  const text = attributes.string(NLMSGERR_ATTR.MSG);
  const attributeOffset = attributes.u32(NLMSGERR_ATTR.OFFS);
  const missingType = attributes.u32(NLMSGERR_ATTR.MISS_TYPE);
  return {
    errno: -error,
    ...(text !== undefined && { message: text }),
    ...(attributeOffset !== undefined && { attributeOffset }),
    ...(missingType !== undefined && { missingType }),
  };
}

/**
 * Turns a verdict into words: finds which attribute of the request lies at the offset that the kernel named.
 * @param body the request's payload; @param headerSize_bytes size of the family's header in it
 * @param names attribute names by type; without one the number is shown
 */
export function explainVerdict(
  verdict: Verdict,
  body: Buffer,
  headerSize_bytes: number,
  names: ReadonlyMap<number, string>,
): ExtendedAck {
  const nameOf = (type: number): string => names.get(type) ?? `#${type}`;
  const attribute =
    verdict.attributeOffset === undefined
      ? undefined
      : attributeAt(
          body,
          align(headerSize_bytes),
          body.length,
          verdict.attributeOffset - MESSAGE_HEADER_SIZE_BYTES,
          nameOf,
        );
  return {
    ...(verdict.message !== undefined && { message: verdict.message }),
    ...(attribute !== undefined && { attribute }),
    ...(verdict.missingType !== undefined && { missingAttribute: nameOf(verdict.missingType) }),
  };
}

function attributeAt(
  data: Buffer,
  start: number,
  end: number,
  target: number,
  nameOf: (type: number) => string,
): string | undefined {
  if (start > end) return undefined;
  for (const attribute of Attributes.parse(data, start, end)) {
    const name = nameOf(attribute.type);
    if (attribute.offset === target) return name;
    const inner = attribute.offset + 4;
    const innerEnd = inner + attribute.data.length;
    if (target >= inner && target < innerEnd) {
      // Only the outermost level has names: the same numbers mean other things further in.
      const below = attributeAt(data, inner, innerEnd, target, (type) => `#${type}`);
      return below === undefined ? name : `${name}/${below}`;
    }
  }
  return undefined;
}
