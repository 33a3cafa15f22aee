/** How a node becomes a member: what `init` and `join` do before anything runs. All of it or nothing is left. */
import { randomBytes, randomInt } from 'node:crypto';
import { ShoalError, shoalError, toShoalError } from '../errors.ts';
import { saveIdentity } from '../pki/identity.ts';
import { createRequest, issueCertificate } from '../pki/node-certificate.ts';
import { createRoot } from '../pki/root.ts';
import { connectAsStranger } from '../pki/tls.ts';
import { createSecret, parseToken, rootDigest } from '../pki/token.ts';
import { defaultMeshPool } from '../store/addresses.ts';
import { parseCommand } from '../store/commands.ts';
import { State } from '../store/state.ts';
import type { JoinAnswer, JoinRequest } from './admission.ts';
import { type MembershipRecord, openStorage, prepareDataDir, saveRecord } from './membership-file.ts';
import { RpcClient } from './rpc/client.ts';
import type { ClusterOptions, InitOptions, JoinOptions } from './types.ts';

/** UDP port of VXLAN (RFC 7348) and the VNI of the tunnel, unless told otherwise. */
const tunnel = { port: 4_789, vni: 256 } as const;
/** Index and term of the entry that the first snapshot stands for. */
const beginning = { index: 1, term: 1 } as const;
const joinTime_ms = 30_000;

/** A new id: 125 random bits, lower-case. */
function createId(): string {
  return BigInt(`0x${randomBytes(16).toString('hex')}`)
    .toString(36)
    .padStart(25, '0');
}

/** A Raft id. They are never used twice, so they are random. */
function createRaftId(): number {
  return randomInt(1, 2 ** 47);
}

/** Makes a cluster of this node alone. The first snapshot holds the cluster already, so there is no state in between. */
export async function createCluster(options: ClusterOptions, init: InitOptions): Promise<MembershipRecord> {
  const { dataDir, nodeName, advertiseAddress, controlPort } = options;
  const [clusterId, nodeId, raftId, now_ms] = [createId(), createId(), createRaftId(), Date.now()];
  const root = await createRoot(clusterId, now_ms);
  const state = new State();
  const command = parseCommand({
    type: 'cluster.init',
    cluster: {
      id: clusterId,
      createdAt_ms: now_ms,
      meshPool: init.meshPool ?? defaultMeshPool,
      tunnelPort: init.tunnelPort ?? tunnel.port,
      tunnelVni: init.tunnelVni ?? tunnel.vni,
      caCertificate: root.certificate,
      caKey: root.key,
      joinSecrets: { manager: createSecret(), worker: createSecret() },
    },
    node: {
      id: nodeId,
      name: nodeName,
      role: 'manager',
      raftId,
      advertiseAddress,
      controlPort,
      addresses: init.addresses,
      createdAt_ms: now_ms,
    },
  });
  const result = state.apply(beginning.index, command);
  if (!result.ok) throw new ShoalError(result.error.code, result.error.details);

  const { key, request } = await createRequest();
  const subject = { nodeId, clusterId, role: 'manager' as const, address: advertiseAddress };
  const certificate = await issueCertificate(root, request, subject, now_ms);
  prepareDataDir(dataDir);
  saveIdentity(dataDir, { certificate, key, rootCertificate: root.certificate });
  const confState = {
    voters: [raftId],
    learners: [],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  };
  const storage = await openStorage(dataDir, true);
  try {
    const hardState = { term: beginning.term, vote: 0, commit: beginning.index };
    await storage.save([
      { snapshot: { data: state.snapshot(), metadata: { ...beginning, confState } }, hardState },
    ]);
  } finally {
    await storage.close();
  }
  const managers = [{ nodeId, raftId, address: advertiseAddress, controlPort }];
  const record: MembershipRecord = { format: 1, nodeId, clusterId, role: 'manager', raftId, managers };
  saveRecord(dataDir, record);
  return record;
}

/** Is let into a cluster by its leader, and keeps what it was given. */
export async function enterCluster(options: ClusterOptions, join: JoinOptions): Promise<MembershipRecord> {
  const { dataDir, nodeName: name, advertiseAddress, controlPort } = options;
  const token = parseToken(join.token);
  const { key, request } = await createRequest();
  const [nodeId, raftId] = [createId(), createRaftId()];
  const answer = await askToJoin(options, join.address, token.rootDigest, {
    secret: token.secret,
    request,
    nodeId,
    raftId,
    name,
    advertiseAddress,
    controlPort,
    addresses: join.addresses,
  });
  if (rootDigest(answer.rootCertificate) !== token.rootDigest) {
    throw shoalError('INVALID_TOKEN', { reason: 'the root certificate received is not the one it names' });
  }
  prepareDataDir(dataDir);
  saveIdentity(dataDir, { certificate: answer.certificate, key, rootCertificate: answer.rootCertificate });
  if (answer.role === 'manager') await (await openStorage(dataDir, true)).close();
  const { clusterId, role, managers } = answer;
  const record: MembershipRecord = { format: 1, nodeId, clusterId, role, raftId: answer.raftId, managers };
  saveRecord(dataDir, record);
  return record;
}

/** Asks until there is an answer: the same request may be made again, since it is known by its key. */
async function askToJoin(
  options: ClusterOptions,
  target: string,
  digest: string,
  request: JoinRequest,
): Promise<JoinAnswer> {
  const destination = { ...parseTarget(target), localAddress: options.advertiseAddress };
  const deadline_ms = performance.now() + joinTime_ms;
  for (;;) {
    const client = new RpcClient(target, () => connectAsStranger(destination, digest));
    try {
      return (await client.call('join', request, 10_000)) as JoinAnswer;
    } catch (thrown) {
      const error = toShoalError(thrown);
      const again = ['TIMEOUT', 'NO_LEADER', 'NOT_LEADER', 'OVERLOADED'].includes(error.code);
      if (!again || performance.now() > deadline_ms) throw error;
      options.log.info({ code: error.code }, 'asking again to join');
      await new Promise((resolve) => setTimeout(resolve, 200 + Math.random() * 200));
    } finally {
      client.close();
    }
  }
}

/** `HOST:PORT`. Throws BAD_REQUEST. */
function parseTarget(target: string): { address: string; port: number } {
  const match = /^\[?([^[\]]+)\]?:([0-9]{1,5})$/.exec(target);
  const port = Number(match?.[2]);
  if (match?.[1] === undefined || port < 1 || port > 65_535) {
    throw shoalError('BAD_REQUEST', { reason: `"${target}" is not HOST:PORT` });
  }
  return { address: match[1], port };
}
