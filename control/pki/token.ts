/**
 * Join tokens, in the form that Swarm made known: `SHTKN-1-<root digest>-<secret>`.
 *
 * The digest (SHA-256 of the root certificate's DER form, 50 digits of base 36) lets the one who joins verify the
 * cluster before it tells the secret; the secret (25 digits of base 36, 128 bits) tells the cluster which role was
 * granted. Both are needed, so a token must be kept secret.
 */
import { createHash, randomBytes, timingSafeEqual, X509Certificate } from 'node:crypto';
import { shoalError } from '../errors.ts';

const prefix = 'SHTKN-1';
const digestDigits = 50;
const secretDigits = 25;

/** What a token says. */
export type Token = { rootDigest: string; secret: string };

/** Bytes, as one big-endian number, in base 36, padded with zeros. */
function base36(bytes: Uint8Array, digits: number): string {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
    .toString(36)
    .padStart(digits, '0');
}

/** Digest of a root certificate, given as PEM or DER. */
export function rootDigest(certificate: string | Uint8Array): string {
  const { raw } = new X509Certificate(certificate);
  return base36(createHash('sha256').update(raw).digest(), digestDigits);
}

/** A new join secret. */
export function createSecret(): string {
  return base36(randomBytes(16), secretDigits);
}

/** The token for a root and a secret. */
export function formatToken(rootCertificate: string, secret: string): string {
  return `${prefix}-${rootDigest(rootCertificate)}-${secret}`;
}

/** The parts of a token. Throws INVALID_TOKEN if it does not have the form of one. */
export function parseToken(token: string): Token {
  const match = /^SHTKN-1-([0-9a-z]{50})-([0-9a-z]{25})$/.exec(token.trim());
  if (match?.[1] === undefined || match[2] === undefined) {
    const reason = `it must have the form ${prefix}-<${digestDigits} characters>-<${secretDigits} characters>`;
    throw shoalError('INVALID_TOKEN', { reason });
  }
  return { rootDigest: match[1], secret: match[2] };
}

/** Compares secrets or digests in a time that does not depend on where they differ. */
export function sameSecret(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
