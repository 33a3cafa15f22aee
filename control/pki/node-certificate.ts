/**
 * Certificates of nodes: CN = node id, O = cluster id, OU = `shoal-manager` or `shoal-worker`, and the node id and
 * its address as alternative names. The key never leaves the node; it sends a request (PKCS #10, RFC 2986).
 */
import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { shoalError } from '../errors.ts';
import type { Role } from '../store/objects.ts';
import {
  algorithm,
  clockSlack_ms,
  exportKey,
  generateKeys,
  importKey,
  nodeLifetime_ms,
  type Root,
  randomSerial,
} from './root.ts';

/** Who a certificate is for. */
export type Subject = { nodeId: string; clusterId: string; role: Role };

/** Longest request that is looked at. */
export const requestLimit_bytes = 8_192;

/** A new key and a request for a certificate over it, both PEM. The leader decides on the subject. */
export async function createRequest(): Promise<{ key: string; request: string }> {
  const keys = await generateKeys();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=shoal node',
    keys,
    signingAlgorithm: algorithm,
  });
  return { key: await exportKey(keys.privateKey), request: request.toString('pem') };
}

/** Signs a request. Throws BAD_REQUEST if it is malformed, not signed by its own key, or not over P-256. */
export async function issueCertificate(
  root: Root,
  requestPem: string,
  subject: Subject & { address: string },
  now_ms: number,
): Promise<string> {
  const publicKey = await checkedPublicKey(requestPem);
  const issuer = new x509.X509Certificate(root.certificate);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: new x509.Name([
      { CN: [subject.nodeId] },
      { O: [subject.clusterId] },
      { OU: [`shoal-${subject.role}`] },
    ]).toString(),
    issuer: issuer.subject,
    notBefore: new Date(now_ms - clockSlack_ms),
    notAfter: new Date(now_ms + nodeLifetime_ms),
    signingAlgorithm: algorithm,
    publicKey,
    signingKey: await importKey(root.key),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: subject.nodeId },
        { type: 'ip', value: subject.address },
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return certificate.toString('pem');
}

async function checkedPublicKey(requestPem: string): Promise<x509.PublicKey> {
  try {
    if (requestPem.length > requestLimit_bytes) throw new Error(`longer than ${requestLimit_bytes} bytes`);
    const request = new x509.Pkcs10CertificateRequest(requestPem);
    const { name, namedCurve } = request.publicKey.algorithm as { name: string; namedCurve?: string };
    if (name !== algorithm.name || namedCurve !== algorithm.namedCurve)
      throw new Error('the key is not ECDSA P-256');
    if (!(await request.verify())) throw new Error('it is not signed by its own key');
    return request.publicKey;
  } catch (cause) {
    const reason = `the certificate request: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw shoalError('BAD_REQUEST', { reason }, cause);
  }
}

/** The subject of a certificate that our root has signed; null if it is not one of a node. */
export function subjectOf(certificate: X509Certificate): Subject | null {
  const fields = new Map<string, string>();
  for (const line of certificate.subject.split('\n')) {
    const equals = line.indexOf('=');
    fields.set(line.slice(0, equals), line.slice(equals + 1));
  }
  const nodeId = fields.get('CN');
  const clusterId = fields.get('O');
  const role =
    fields.get('OU') === 'shoal-manager' ? 'manager' : fields.get('OU') === 'shoal-worker' ? 'worker' : null;
  return nodeId && clusterId && role ? { nodeId, clusterId, role } : null;
}

/** True if `root` (PEM) has signed the certificate and it is valid at `now_ms`. */
export function isSignedBy(certificate: X509Certificate, root: string, now_ms: number): boolean {
  const issuer = new X509Certificate(root);
  return (
    certificate.checkIssued(issuer) &&
    certificate.verify(issuer.publicKey) &&
    certificate.validFromDate.getTime() <= now_ms &&
    now_ms <= certificate.validToDate.getTime()
  );
}
