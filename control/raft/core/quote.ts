/** Bytes as quoted text, the way Go's %q writes them. */

const SHORT_ESCAPES = new Map<number, string>([
  [0x07, '\\a'],
  [0x08, '\\b'],
  [0x0c, '\\f'],
  [0x0a, '\\n'],
  [0x0d, '\\r'],
  [0x09, '\\t'],
  [0x0b, '\\v'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
]);

/** Letters, marks, numbers, punctuation and symbols; of the spaces only the plain one. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;
const REPLACEMENT = 0xfffd;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The bytes as UTF-8 in double quotes, with escapes for what is not printable or not UTF-8. */
export function quoteBytes(bytes: Uint8Array): string {
  let text = '"';
  for (let at = 0; at < bytes.length; ) {
    const { point, length } = codePointAt(bytes, at);
    text += length === 1 && point === REPLACEMENT ? `\\x${hex(bytes[at] ?? 0, 2)}` : quotePoint(point);
    at += length;
  }
  return `${text}"`;
}

function quotePoint(point: number): string {
  const short = SHORT_ESCAPES.get(point);
  if (short !== undefined) return short;
  const character = String.fromCodePoint(point);
  if (PRINTABLE.test(character)) return character;
  if (point < 0x80) return `\\x${hex(point, 2)}`;
  return point < 0x10000 ? `\\u${hex(point, 4)}` : `\\U${hex(point, 8)}`;
}

/** The code point at `at`; the replacement character with length 1 if the bytes there are not UTF-8. */
function codePointAt(bytes: Uint8Array, at: number): { point: number; length: number } {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return { point: first, length: 1 };
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  try {
    const point = decoder.decode(bytes.subarray(at, at + length)).codePointAt(0);
    if (point !== undefined) return { point, length };
  } catch {
    // Not UTF-8: shown as a single byte.
  }
  return { point: REPLACEMENT, length: 1 };
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}
