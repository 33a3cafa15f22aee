/** A reproducible stream of bytes: what a seed gives is known at both ends without being sent. */
import { createCipheriv, createHash } from 'node:crypto';

/** Size of the pieces that `streamOf` yields; the last may be shorter. */
export const chunk_bytes = 64 * 1024;

/** The first `size_bytes` of the stream of a seed: the key stream of AES-128-CTR (NIST SP 800-38A, 6.5). */
export function* streamOf(seed: number, size_bytes: number): Generator<Buffer> {
  const key = createHash('sha256').update(`lab stream ${seed}`).digest().subarray(0, 16);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(chunk_bytes);
  for (let sent = 0; sent < size_bytes; sent += chunk_bytes) {
    yield cipher.update(zeros.subarray(0, Math.min(chunk_bytes, size_bytes - sent)));
  }
}

/** SHA-256 of that stream, in hexadecimal. */
export function digestOf(seed: number, size_bytes: number): string {
  const hash = createHash('sha256');
  for (const chunk of streamOf(seed, size_bytes)) hash.update(chunk);
  return hash.digest('hex');
}
