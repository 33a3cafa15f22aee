/** TLS 1.3 (RFC 8446) with certificates of both sides: the only way in which nodes talk to each other. */
import { X509Certificate } from 'node:crypto';
import { type ConnectionOptions, connect, type TLSSocket, type TlsOptions } from 'node:tls';
import { shoalError } from '../errors.ts';
import type { Identity } from './identity.ts';
import { isSignedBy, type Subject, subjectOf } from './node-certificate.ts';
import { rootDigest, sameSecret } from './token.ts';

/** Protocols on the one control port (ALPN, RFC 7301). */
export const protocols = { raft: 'shoal-raft/1', control: 'shoal-control/1', http: 'http/1.1' } as const;
export type WireProtocol = (typeof protocols)[keyof typeof protocols];

/** Time in which a connection must be made, and its handshake done. */
export const handshakeTimeout_ms = 3_000;

/** Options of the listening side. The root is part of the chain, so that one who joins can compare its digest. */
export function serverOptions(identity: Identity): TlsOptions {
  return {
    cert: `${identity.certificate}\n${identity.rootCertificate}`,
    key: identity.key,
    ca: identity.rootCertificate,
    requestCert: true,
    // Those who join have no certificate yet; what they may do is decided per request.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ALPNProtocols: Object.values(protocols),
    handshakeTimeout: handshakeTimeout_ms,
  };
}

/** Who is at the other end, as our root vouches; null if it does not. */
export function subjectOfSocket(socket: TLSSocket, rootCertificate: string): Subject | null {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined || !isSignedBy(certificate, rootCertificate, Date.now())) return null;
  return subjectOf(certificate);
}

/** Where to connect to, and from. */
export type Destination = { address: string; port: number; localAddress: string };

function secured(
  destination: Destination,
  options: ConnectionOptions,
  protocol: WireProtocol,
): Promise<TLSSocket> {
  const name = `${destination.address}:${destination.port}`;
  return new Promise((resolve, reject) => {
    const all: ConnectionOptions & { localAddress: string } = {
      host: destination.address,
      port: destination.port,
      localAddress: destination.localAddress,
      minVersion: 'TLSv1.3',
      ALPNProtocols: [protocol],
      checkServerIdentity: () => undefined,
      ...options,
    };
    const socket = connect(all);
    const fail = (reason: string, cause?: unknown) => {
      socket.destroy();
      reject(shoalError('UNREACHABLE', { address: name, reason }, cause));
    };
    socket.setTimeout(handshakeTimeout_ms, () => fail(`no answer within ${handshakeTimeout_ms} ms`));
    socket.once('error', (error) => fail(error.message, error));
    socket.once('close', () => fail('the connection was closed'));
    socket.once('secureConnect', () => {
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      socket.removeAllListeners('error');
      socket.removeAllListeners('close');
      socket.on('error', () => undefined);
      socket.setNoDelay(true);
      if (socket.alpnProtocol === protocol) resolve(socket);
      else fail(`it does not speak ${protocol}`);
    });
  });
}

/** Connects as a member of the cluster. Throws UNREACHABLE, also when the other side is not node `nodeId`. */
export async function connectAsMember(
  destination: Destination,
  identity: Identity,
  protocol: WireProtocol,
  nodeId: string | null,
): Promise<TLSSocket> {
  const { certificate: cert, key, rootCertificate: ca } = identity;
  const socket = await secured(destination, { cert, key, ca, rejectUnauthorized: true }, protocol);
  const subject = subjectOfSocket(socket, ca);
  if (subject !== null && (nodeId === null || subject.nodeId === nodeId)) return socket;
  socket.destroy();
  const reason = `it is ${subject === null ? 'not a node' : `node ${subject.nodeId}`}, not node ${nodeId}`;
  throw shoalError('UNREACHABLE', { address: `${destination.address}:${destination.port}`, reason });
}

/**
 * Connects as one who wants to join, and verifies that the other side's certificate is signed by the root that
 * `digest` names. Only then may the secret be sent. Throws INVALID_TOKEN if the root is another one.
 */
export async function connectAsStranger(destination: Destination, digest: string): Promise<TLSSocket> {
  const socket = await secured(destination, { rejectUnauthorized: false }, protocols.control);
  const leaf = socket.getPeerX509Certificate();
  const root = leaf?.issuerCertificate;
  if (leaf !== undefined && root !== undefined) {
    const signed = isSignedBy(leaf, new X509Certificate(root.raw).toString(), Date.now());
    if (signed && sameSecret(rootDigest(root.raw), digest)) return socket;
  }
  socket.destroy();
  throw shoalError('INVALID_TOKEN', {
    reason: `the cluster at ${destination.address}:${destination.port} has another root certificate than the token says`,
  });
}
