/**
 * DNS messages as bytes (RFC 1035 section 4, RFC 6891): the guarded way in and out around dns-packet.
 *
 * What arrives is checked before dns-packet sees it, because its cost grows with the counts in the header, and
 * the question is kept as the bytes that came: a name may hold any octet, and resolvers that mix upper and lower
 * case as a defence against spoofing ("0x20") compare what comes back. Answers use name compression, which
 * dns-packet does not write, so that a thousand addresses fit one TCP message.
 */
import dnsPacket, {
  type Answer,
  type DecodedPacket,
  type OptAnswer,
  type Packet,
  type Question,
} from 'dns-packet';
import type { CounterName } from './counters.ts';

/** Longest query accepted, and the UDP payload size announced by EDNS; loopback does not fragment at this size. */
export const maxQuery_bytes = 4_096;
/** Longest DNS message there can be: TCP's length prefix has 16 bits. */
export const maxMessage_bytes = 65_535;
/** UDP size that every DNS client takes without EDNS (RFC 1035 section 4.2.1). */
export const plainUdp_bytes = 512;
const header_bytes = 12;
const maxName_bytes = 255;
/** OPT, TSIG or SIG(0), and one to spare. */
const maxAdditionals = 3;

/** Response codes, RFC 1035 section 4.1.1; 16 needs the upper bits that OPT carries (RFC 6891 section 6.1.3). */
export const rcode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;

const flagResponse = 0x8000;
const opcodeMask = 0x7800;
/** Flags of a query that its reply repeats: opcode, RD and CD (RFC 1035, RFC 4035 section 3.2.2). */
const repeatedFlags = opcodeMask | 0x0100 | 0x0010;

/** A query that can be answered or forwarded. */
export type Query = {
  kind: 'query';
  /** The message as it arrived. */
  bytes: Buffer;
  /** Decoded; the question's name is in presentation format with unusual octets escaped. */
  packet: Packet;
  /** The question as it arrived: name, type, class. */
  question: Buffer;
  /** Largest UDP reply that the client takes. */
  udpLimit_bytes: number;
};

/** What to do with bytes that arrived as a query. */
export type ReadResult =
  | Query
  | { kind: 'reply'; bytes: Buffer; reason: CounterName }
  | { kind: 'drop'; reason: CounterName };

/**
 * Length of an uncompressed name at `offset`, the root label included; undefined if it is malformed, compressed
 * or longer than 255 octets.
 */
function nameLength(bytes: Buffer, offset: number): number | undefined {
  let at = offset;
  while (at - offset < maxName_bytes) {
    const label = bytes[at];
    if (label === undefined || label > 63) return undefined;
    at += 1 + label;
    if (label === 0) return at - offset <= maxName_bytes ? at - offset : undefined;
  }
  return undefined;
}

/** The first question's bytes, or undefined if they are malformed. */
function readQuestion(bytes: Buffer): Buffer | undefined {
  const length = nameLength(bytes, header_bytes);
  if (length === undefined || header_bytes + length + 4 > bytes.length) return undefined;
  return bytes.subarray(header_bytes, header_bytes + length + 4);
}

/** Presentation format (RFC 1035 section 5.1): dots within labels and octets that do not print are escaped. */
function presentName(question: Buffer): string {
  const labels: string[] = [];
  for (let at = 0; question[at] !== 0; at += 1 + (question[at] ?? 0)) {
    let label = '';
    for (const octet of question.subarray(at + 1, at + 1 + (question[at] ?? 0))) {
      if (octet === 0x2e || octet === 0x5c) label += `\\${String.fromCharCode(octet)}`;
      else if (octet > 0x20 && octet < 0x7f) label += String.fromCharCode(octet);
      else label += `\\${String(octet).padStart(3, '0')}`;
    }
    labels.push(label);
  }
  return labels.length === 0 ? '.' : labels.join('.');
}

/** A reply without records: the query's id and flags, a code, and the question if one is given. */
export function bareReply(query: Buffer, code: number, question?: Buffer): Buffer {
  const reply = Buffer.alloc(header_bytes);
  reply.writeUInt16BE(query.readUInt16BE(0), 0);
  const flags = query.length >= 4 ? query.readUInt16BE(2) & repeatedFlags : 0;
  reply.writeUInt16BE(flagResponse | flags | dnsPacket.RECURSION_AVAILABLE | (code & 0xf), 2);
  if (question === undefined) return reply;
  reply.writeUInt16BE(1, 4);
  return Buffer.concat([reply, question]);
}

/** Finds the EDNS record of a message; there may be only one (RFC 6891 section 6.1.1). */
export function findOpt(packet: Packet): OptAnswer | undefined {
  return packet.additionals?.find((record): record is OptAnswer => record.type === 'OPT');
}

function decodeGuarded(bytes: Buffer): DecodedPacket | undefined {
  try {
    const packet = dnsPacket.decode(bytes);
    return dnsPacket.decode.bytes === bytes.length ? packet : undefined;
  } catch {
    return undefined;
  }
}

/** Types of nearly all queries, RFC 1035, RFC 2782 and RFC 3596. */
const commonTypes: ReadonlyMap<number, Question['type']> = new Map([
  [1, 'A'],
  [12, 'PTR'],
  [28, 'AAAA'],
  [33, 'SRV'],
]);
const classIn = 1;

/** A query of nothing but a question of a common type, which takes no decoder; its name is to be set. */
function decodeCommon(bytes: Buffer, question: Buffer): Packet | undefined {
  if (bytes.length !== header_bytes + question.length || bytes.readUInt16BE(10) !== 0) return undefined;
  const type = commonTypes.get(question.readUInt16BE(question.length - 4));
  if (type === undefined || question.readUInt16BE(question.length - 2) !== classIn) return undefined;
  return {
    id: bytes.readUInt16BE(0),
    type: 'query',
    flags: bytes.readUInt16BE(2),
    questions: [{ name: '', type, class: 'IN' }],
  };
}

/**
 * Reads bytes that a client sent. Never throws. Too short for an id, or a response: dropped. An opcode other than
 * QUERY: NOTIMP. Anything but one well-formed question and at most three additional records, or bytes left
 * over: FORMERR.
 */
export function readQuery(bytes: Buffer): ReadResult {
  if (bytes.length < 4) return { kind: 'drop', reason: 'droppedShort' };
  const flags = bytes.readUInt16BE(2);
  if ((flags & flagResponse) !== 0) return { kind: 'drop', reason: 'droppedResponse' };
  if ((flags & opcodeMask) !== 0) {
    return { kind: 'reply', bytes: bareReply(bytes, rcode.notImplemented), reason: 'notImplemented' };
  }
  const malformed = (): ReadResult => ({
    kind: 'reply',
    bytes: bareReply(bytes, rcode.formatError),
    reason: 'malformed',
  });
  if (bytes.length < header_bytes || bytes.length > maxQuery_bytes) return malformed();
  const plain = bytes.readUInt16BE(4) === 1 && bytes.readUInt32BE(6) === 0;
  if (!plain || bytes.readUInt16BE(10) > maxAdditionals) return malformed();
  const question = readQuestion(bytes);
  if (question === undefined) return malformed();
  const packet = decodeCommon(bytes, question) ?? decodeGuarded(bytes);
  const decoded = packet?.questions?.[0];
  if (packet === undefined || decoded === undefined) return malformed();
  const opts = (packet.additionals ?? []).filter((record) => record.type === 'OPT');
  if (opts.length > 1) return malformed();
  decoded.name = presentName(question);
  const opt = findOpt(packet);
  const udpLimit_bytes = Math.min(Math.max(opt?.udpPayloadSize ?? 0, plainUdp_bytes), maxQuery_bytes);
  return { kind: 'query', bytes, packet, question, udpLimit_bytes };
}

/** Encodes one record, its owner name replaced by a pointer to the question where they are the same. */
function encodeRecord(record: Answer, questionName: Buffer): Buffer {
  const bytes = dnsPacket.encode({ answers: [record] }).subarray(header_bytes);
  if (questionName.length <= 2 || !bytes.subarray(0, questionName.length).equals(questionName)) return bytes;
  // RFC 1035 section 4.1.4: the question's name always stands right behind the header.
  return Buffer.concat([Buffer.from([0xc0, header_bytes]), bytes.subarray(questionName.length)]);
}

/** Takes records as long as they fit; `complete` tells whether all did. */
function fill(records: Answer[], questionName: Buffer, room_bytes: number) {
  const parts: Buffer[] = [];
  let size_bytes = 0;
  for (const record of records) {
    const part = encodeRecord(record, questionName);
    if (size_bytes + part.length > room_bytes) return { parts, size_bytes, complete: false };
    parts.push(part);
    size_bytes += part.length;
  }
  return { parts, size_bytes, complete: true };
}

/**
 * Encodes a reply to `query` in at most `limit_bytes`. When not all answers fit, as many as do are sent and TC is
 * set (RFC 2181 section 9): since addresses come shuffled, a client that cannot ask by TCP still gets a fair
 * share of them. Authority and additional records that do not fit are left out without TC; only OPT always has its
 * place.
 */
export function encodeReply(
  packet: Packet,
  query: Query,
  limit_bytes: number,
): { bytes: Buffer; truncated: boolean } {
  const { question } = query;
  const questionName = question.subarray(0, question.length - 4);
  let room_bytes = limit_bytes - header_bytes - question.length;
  const isOpt = (record: Answer): boolean => record.type === 'OPT';
  const opts = fill((packet.additionals ?? []).filter(isOpt), questionName, room_bytes);
  room_bytes -= opts.size_bytes;
  const answers = fill(packet.answers ?? [], questionName, room_bytes);
  room_bytes -= answers.size_bytes;
  if (!answers.complete) room_bytes = 0;
  const authorities = fill(packet.authorities ?? [], questionName, room_bytes);
  room_bytes -= authorities.size_bytes;
  const others = (packet.additionals ?? []).filter((record) => !isOpt(record));
  const additionals = fill(others, questionName, room_bytes);
  const header = Buffer.alloc(header_bytes);
  header.writeUInt16BE(query.bytes.readUInt16BE(0), 0);
  const truncation = answers.complete ? 0 : dnsPacket.TRUNCATED_RESPONSE;
  const repeated = query.bytes.readUInt16BE(2) & repeatedFlags;
  header.writeUInt16BE(flagResponse | repeated | (packet.flags ?? 0) | truncation, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.parts.length, 6);
  header.writeUInt16BE(authorities.parts.length, 8);
  header.writeUInt16BE(opts.parts.length + additionals.parts.length, 10);
  const bytes = Buffer.concat([
    header,
    question,
    ...answers.parts,
    ...authorities.parts,
    ...opts.parts,
    ...additionals.parts,
  ]);
  return { bytes, truncated: !answers.complete };
}

/** A copy of a message under another id. */
export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** Whether a message has its TC flag set. */
export function isTruncated(message: Buffer): boolean {
  return (message.readUInt16BE(2) & dnsPacket.TRUNCATED_RESPONSE) !== 0;
}

/** Response code of a message, without the upper bits that EDNS may add. */
export function responseCode(message: Buffer): number {
  return message.readUInt16BE(2) & 0xf;
}

/**
 * Whether `message` is the response to a query sent with `id` and `question`. Letters are compared without case,
 * since servers exist that do not keep it.
 */
export function isReplyTo(message: Buffer, id: number, question: Buffer): boolean {
  if (message.length < header_bytes || message.readUInt16BE(0) !== id) return false;
  const flags = message.readUInt16BE(2);
  if ((flags & flagResponse) === 0 || (flags & opcodeMask) !== 0) return false;
  // Servers may leave the question out of an error (seen with FORMERR and REFUSED); nothing else may be in it.
  if (message.readUInt16BE(4) === 0) return responseCode(message) !== 0 && message.length === header_bytes;
  if (message.readUInt16BE(4) !== 1) return false;
  const end = header_bytes + question.length;
  if (message.length < end) return false;
  const echoed = message.subarray(header_bytes, end);
  // Nearly all servers keep the case, so the cheap comparison is enough most of the time.
  return echoed.equals(question) || lowerCase(echoed).equals(lowerCase(question));
}

/** A question with the ASCII letters of its name in lower case; type and class stay as they are. */
export function lowerCase(question: Buffer): Buffer {
  const result = Buffer.from(question);
  for (let at = 0; at < result.length - 4; at += 1) {
    const octet = result[at] ?? 0;
    if (octet >= 0x41 && octet <= 0x5a) result[at] = octet | 0x20;
  }
  return result;
}

/** Cuts an upstream's reply that is larger than the client takes down to header and question, with TC set. */
export function cutReply(message: Buffer, question: Buffer): Buffer {
  const header = Buffer.from(message.subarray(0, header_bytes));
  header.writeUInt16BE(header.readUInt16BE(2) | dnsPacket.TRUNCATED_RESPONSE, 2);
  header.writeUInt16BE(1, 4);
  header.fill(0, 6);
  return Buffer.concat([header, question]);
}
