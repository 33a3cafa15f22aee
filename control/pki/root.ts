/** The root of a cluster's trust: one self-signed ECDSA P-256 certificate (RFC 5280), made by `shoal init`. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto as unknown as Crypto);

/** Key and signature algorithm of all certificates. */
export const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** Lifetimes. There is no renewal yet, so both outlive the hardware. */
export const rootLifetime_ms = 20 * 365 * 86_400_000;
export const nodeLifetime_ms = 10 * 365 * 86_400_000;
/** Certificates are valid from this long before they were made, for nodes whose clocks run late. */
export const clockSlack_ms = 86_400_000;

/** Root certificate and private key (PKCS#8), both PEM. */
export type Root = { certificate: string; key: string };

/** A private key as PKCS#8 PEM. */
export async function exportKey(key: CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

/** A private key from PKCS#8 PEM, for signing. */
export function importKey(pem: string): Promise<CryptoKey> {
  const [der] = x509.PemConverter.decode(pem);
  return webcrypto.subtle.importKey('pkcs8', der ?? new ArrayBuffer(0), algorithm, false, ['sign']);
}

/** A new key pair. */
export function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

/** Makes the root of cluster `clusterId`. */
export async function createRoot(clusterId: string, now_ms: number): Promise<Root> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: [{ CN: ['shoal root'] }, { O: [clusterId] }],
    notBefore: new Date(now_ms - clockSlack_ms),
    notAfter: new Date(now_ms + rootLifetime_ms),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: certificate.toString('pem'), key: await exportKey(keys.privateKey) };
}

/** A serial number of 127 random bits (RFC 5280, 4.1.2.2: positive, at most 20 octets). */
export function randomSerial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01;
  return Buffer.from(bytes).toString('hex');
}
