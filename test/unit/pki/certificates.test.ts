import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadIdentity, saveIdentity, wipeIdentity } from '../../../control/pki/identity.ts';
import {
  createRequest,
  isSignedBy,
  issueCertificate,
  subjectOf,
} from '../../../control/pki/node-certificate.ts';
import { createRoot } from '../../../control/pki/root.ts';

const subject = { nodeId: 'node-0001', clusterId: 'cluster-0001', role: 'worker' as const };

t.test('a node certificate says who the node is, and who vouches for it', async (t) => {
  const now_ms = Date.now();
  const root = await createRoot('cluster-0001', now_ms);
  const stranger = await createRoot('cluster-0001', now_ms);
  const { request } = await createRequest();
  const pem = await issueCertificate(root, request, { ...subject, address: '192.0.2.7' }, now_ms);
  const certificate = new X509Certificate(pem);
  t.strictSame(subjectOf(certificate), subject);
  t.equal(certificate.checkIP('192.0.2.7'), '192.0.2.7');
  t.equal(certificate.checkHost('node-0001'), 'node-0001');
  t.equal(isSignedBy(certificate, root.certificate, now_ms), true);
  t.equal(isSignedBy(certificate, stranger.certificate, now_ms), false, 'same name, other key');
  t.equal(isSignedBy(certificate, root.certificate, now_ms + 11 * 365 * 86_400_000), false, 'too old');
  t.equal(subjectOf(new X509Certificate(root.certificate)), null, 'the root is not a node');
});

t.test('bad requests are refused', async (t) => {
  const root = await createRoot('cluster-0001', Date.now());
  const { request } = await createRequest();
  const issue = (text: string) =>
    issueCertificate(root, text, { ...subject, address: '192.0.2.7' }, Date.now());
  const der = Buffer.from(request.replaceAll(/-----.*-----/g, ''), 'base64');
  der[der.length - 1] = (der[der.length - 1] ?? 0) ^ 1;
  const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
  for (const bad of ['', 'nonsense', forged, request + ' '.repeat(10_000)]) {
    await t.rejects(issue(bad), { code: 'BAD_REQUEST' });
  }
});

t.test('an identity is kept in files of its owner alone', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'shoal-identity-'));
  t.teardown(() => rmSync(dataDir, { recursive: true }));
  t.throws(() => loadIdentity(dataDir), { code: 'STORAGE_FAILED' });
  const identity = { certificate: 'c', key: 'k', rootCertificate: 'r' };
  saveIdentity(dataDir, identity);
  t.strictSame(loadIdentity(dataDir), identity);
  for (const name of readdirSync(dataDir)) t.equal(statSync(join(dataDir, name)).mode & 0o777, 0o600, name);
  wipeIdentity(dataDir);
  t.strictSame(readdirSync(dataDir), []);
});
