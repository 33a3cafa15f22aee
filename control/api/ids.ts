/** Ids of new objects. */
import { randomBytes } from 'node:crypto';

const alphabet = '0123456789abcdefghijklmnopqrstuvwxyz';
/** Characters of an id: 25 of base 36 hold 129 bits. */
const idLength = 25;

/** A new id: 25 random letters and digits, so that two nodes never choose the same and a beginning names it. */
export function newId(): string {
  let id = '';
  while (id.length < idLength) {
    // 252 is the largest multiple of 36 in a byte: what is above would make the first characters likelier.
    for (const byte of randomBytes(idLength * 2)) {
      if (byte < 252 && id.length < idLength) id += alphabet[byte % alphabet.length];
    }
  }
  return id;
}
