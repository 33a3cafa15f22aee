/** How long a reply may be kept, read out of its bytes without decoding the records (RFC 1035, RFC 2308). */

const header_bytes = 12;
/** Type, class, TTL and length of data, behind a record's name. */
const recordHead_bytes = 10;
const typeOpt = 41;
const typeSoa = 6;

/** `ttlOffsets` are where the records' TTLs stand, for whoever wants to count them down. */
export type Lifetime = { ttl_s: number; negative: boolean; ttlOffsets: readonly number[] };

/** Offset behind a name, which may end in a compression pointer; undefined if it runs out of the message. */
function skipName(bytes: Buffer, offset: number): number | undefined {
  let at = offset;
  while (at < bytes.length) {
    const label = bytes[at] ?? 0;
    if (label === 0) return at + 1;
    if (label >= 0xc0) return at + 2;
    if (label > 63) return undefined;
    at += 1 + label;
  }
  return undefined;
}

/** A TTL with its top bit set counts as zero (RFC 2181 section 8). */
function readTtl(bytes: Buffer, offset: number): number {
  const ttl_s = bytes.readUInt32BE(offset);
  return ttl_s > 0x7fff_ffff ? 0 : ttl_s;
}

/**
 * The lifetime of a reply with `question_bytes` of question: the smallest TTL of its records, and for a negative
 * one no more than the SOA's minimum. Undefined if it is malformed, has more than `maxRecords`, or is negative
 * without an SOA and so says nothing of how long it holds.
 */
export function replyLifetime(
  bytes: Buffer,
  question_bytes: number,
  maxRecords: number,
): Lifetime | undefined {
  if (bytes.length < header_bytes + question_bytes || bytes.readUInt16BE(4) !== 1) return undefined;
  const answers = bytes.readUInt16BE(6);
  const records = answers + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  if (records > maxRecords) return undefined;
  const ttlOffsets: number[] = [];
  let ttl_s = Number.POSITIVE_INFINITY;
  let hasSoa = false;
  let at: number | undefined = header_bytes + question_bytes;
  for (let index = 0; index < records; index += 1) {
    at = skipName(bytes, at);
    if (at === undefined || at + recordHead_bytes > bytes.length) return undefined;
    const type = bytes.readUInt16BE(at);
    const end: number = at + recordHead_bytes + bytes.readUInt16BE(at + 8);
    if (end > bytes.length) return undefined;
    if (type !== typeOpt) {
      ttlOffsets.push(at + 4);
      ttl_s = Math.min(ttl_s, readTtl(bytes, at + 4));
    }
    // The minimum is the last field of an SOA.
    if (type === typeSoa && end - 4 >= at + recordHead_bytes) {
      hasSoa = true;
      ttl_s = Math.min(ttl_s, readTtl(bytes, end - 4));
    }
    at = end;
  }
  if (at !== bytes.length) return undefined;
  const nameError = (bytes.readUInt16BE(2) & 0xf) !== 0;
  const negative = nameError || answers === 0;
  return (negative && !hasSoa) || ttlOffsets.length === 0 ? undefined : { ttl_s, negative, ttlOffsets };
}
