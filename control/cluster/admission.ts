/** How the leader lets a node in: the secret decides on its role, the store on its name and address. */
import { createHash } from 'node:crypto';
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { ShoalError, shoalError } from '../errors.ts';
import { issueCertificate } from '../pki/node-certificate.ts';
import { sameSecret } from '../pki/token.ts';
import type { Outcome } from '../raft/pending.ts';
import { type Command, NewNode } from '../store/commands.ts';
import type { Role } from '../store/objects.ts';
import type { State } from '../store/state.ts';
import type { ManagerAddress } from './membership-file.ts';

/** Nodes that are being let in at one time. */
export const admissionsLimit = 16;

const { id, name, raftId, advertiseAddress, controlPort, addresses } = NewNode.properties;

/** What one who joins tells, after it has verified the root. */
export const JoinRequest = Type.Object(
  {
    secret: Type.String({ maxLength: 64 }),
    /** PKCS #10, PEM. */
    request: Type.String({ maxLength: 8_192 }),
    nodeId: id,
    /** For the case that the secret is the managers'. */
    raftId,
    name,
    advertiseAddress,
    controlPort,
    addresses,
  },
  { additionalProperties: false },
);
export type JoinRequest = Static<typeof JoinRequest>;
const joinRequest = Compile(JoinRequest);

/** What it is told. */
export type JoinAnswer = {
  clusterId: string;
  role: Role;
  raftId: number;
  certificate: string;
  rootCertificate: string;
  managers: ManagerAddress[];
};

export type AdmissionOptions = {
  state: State;
  managers: () => ManagerAddress[];
  propose: (requestId: string, command: Command) => Promise<Outcome>;
};

/** Lets nodes in, a few at a time. */
export class Admission {
  readonly #options: AdmissionOptions;
  #inProgress = 0;
  readonly counters = { admitted: 0, refused: 0 };

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Throws INVALID_TOKEN, BAD_REQUEST, OVERLOADED, or what the store refuses with. */
  async admit(params: unknown): Promise<JoinAnswer> {
    if (this.#inProgress >= admissionsLimit) {
      throw shoalError('OVERLOADED', { what: 'nodes that join', limit: admissionsLimit });
    }
    this.#inProgress += 1;
    try {
      const answer = await this.#admit(params);
      this.counters.admitted += 1;
      return answer;
    } catch (error) {
      this.counters.refused += 1;
      throw error;
    } finally {
      this.#inProgress -= 1;
    }
  }

  async #admit(params: unknown): Promise<JoinAnswer> {
    if (!joinRequest.Check(params)) {
      const [first] = joinRequest.Errors(params);
      throw shoalError('BAD_REQUEST', {
        reason: `join: ${first?.instancePath ?? ''} ${first?.message ?? ''}`,
      });
    }
    const { state, managers, propose } = this.#options;
    const cluster = state.cluster();
    if (cluster === undefined) throw shoalError('NOT_INITIALISED');
    const role = roleOf(cluster.joinSecrets, params.secret);
    const { request, nodeId, advertiseAddress } = params;
    const root = { certificate: cluster.caCertificate, key: cluster.caKey };
    const subject = { nodeId, clusterId: cluster.id, role, address: advertiseAddress };
    const certificate = await issueCertificate(root, request, subject, Date.now());
    const raftId = role === 'manager' ? params.raftId : 0;
    // The same key may ask again, when an answer was lost; another key with the same node id may not.
    const requestId = `join-${createHash('sha256').update(`${nodeId} ${request}`).digest('hex').slice(0, 40)}`;
    const node = {
      id: nodeId,
      name: params.name,
      role,
      raftId,
      advertiseAddress,
      controlPort: params.controlPort,
      addresses: params.addresses,
      createdAt_ms: Date.now(),
    };
    const { result } = await propose(requestId, { type: 'node.join', node });
    if (!result.ok) throw new ShoalError(result.error.code, result.error.details);
    const { id: clusterId, caCertificate: rootCertificate } = cluster;
    return { clusterId, role, raftId, certificate, rootCertificate, managers: managers() };
  }
}

function roleOf(secrets: { manager: string; worker: string }, secret: string): Role {
  const manager = sameSecret(secrets.manager, secret);
  const worker = sameSecret(secrets.worker, secret);
  if (manager) return 'manager';
  if (worker) return 'worker';
  throw shoalError('INVALID_TOKEN', { reason: 'its secret is not, or no longer, one of this cluster' });
}
