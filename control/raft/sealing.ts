/**
 * Values at rest are sealed with AES-256-GCM (NIST SP 800-38D) under a key that never leaves the data folder.
 *
 * A sealed value is a random nonce of 96 bits, the ciphertext and the tag of 128 bits. The name under which it is
 * stored is authenticated too, so that values cannot be swapped. Random nonces are safe for 2^32 values per key.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { shoalError } from '../errors.ts';
import { writeFileDurably } from '../store/files.ts';

const nonce_bytes = 12;
const tag_bytes = 16;
const key_bytes = 32;

/** Seals and opens values under one key. */
export class Sealer {
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    if (key.length !== key_bytes)
      throw shoalError('STORAGE_FAILED', { reason: `a data key has ${key_bytes} bytes, not ${key.length}` });
    this.#key = key;
  }

  /** Reads the key from `path`, or makes it there (0600) when `create` is set. Throws STORAGE_FAILED. */
  static open(path: string, create: boolean): Sealer {
    if (existsSync(path)) return new Sealer(readFileSync(path));
    if (!create) {
      throw shoalError('STORAGE_FAILED', {
        path,
        reason: 'the data key is missing, without which the store cannot be read',
      });
    }
    const key = randomBytes(key_bytes);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileDurably(path, key);
    return new Sealer(key);
  }

  /** The sealed form of `plain`, bound to `name`. */
  seal(name: string, plain: Uint8Array): Buffer {
    const nonce = randomBytes(nonce_bytes);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(Buffer.from(name));
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** The plain form. Throws STORAGE_FAILED if it was changed, sealed under another key or stored under another name. */
  unseal(name: string, sealed: Uint8Array): Buffer {
    try {
      const end = sealed.length - tag_bytes;
      const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, nonce_bytes));
      decipher.setAAD(Buffer.from(name));
      decipher.setAuthTag(sealed.subarray(end));
      return Buffer.concat([decipher.update(sealed.subarray(nonce_bytes, end)), decipher.final()]);
    } catch (cause) {
      throw shoalError(
        'STORAGE_FAILED',
        { reason: `"${name}" is damaged, or was sealed under another data key` },
        cause,
      );
    }
  }
}
