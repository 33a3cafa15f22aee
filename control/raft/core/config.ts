/** Checking a node's configuration and filling in defaults. */

import { assertSafeInteger, RaftError } from './errors.ts';
import { isLocalTarget } from './messages.ts';
import { type Config, NO_NODE } from './types.ts';

/** Reads that may wait for confirmation on one node, unless configured otherwise. */
export const DEFAULT_MAX_PENDING_READS = 65_536;

/** A configuration with nothing left open, but for the logger. */
export type ResolvedConfig = {
  readonly [Key in Exclude<keyof Config, 'logger'>]-?: Exclude<Config[Key], undefined>;
} & Pick<Config, 'logger'>;

/** The configuration with defaults filled in. Throws `INVALID_CONFIG`, naming the setting and the fix. */
export function resolveConfig(config: Config): ResolvedConfig {
  assertSafeInteger(config.id, 'id');
  requireThat(config.id !== NO_NODE, `id is 0, which means "no node"; number nodes from 1`);
  requireThat(!isLocalTarget(config.id), `id ${config.id} is reserved for a local storage thread`);
  requireThat(
    Number.isSafeInteger(config.heartbeatTicks) && config.heartbeatTicks > 0,
    `heartbeatTicks is ${config.heartbeatTicks}; it must be at least 1`,
  );
  requireThat(
    Number.isSafeInteger(config.electionTicks) && config.electionTicks > config.heartbeatTicks,
    `electionTicks is ${config.electionTicks}; it must be above heartbeatTicks (${config.heartbeatTicks})`,
  );
  requireThat(
    config.maxMessageBytes >= 0,
    `maxMessageBytes is ${config.maxMessageBytes}; it must be at least 0`,
  );
  requireThat(
    Number.isSafeInteger(config.maxInflightMessages) && config.maxInflightMessages > 0,
    `maxInflightMessages is ${config.maxInflightMessages}; it must be at least 1`,
  );
  const maxInflightBytes = orUnlimited(config.maxInflightBytes);
  requireThat(
    maxInflightBytes >= config.maxMessageBytes || maxInflightBytes === Number.POSITIVE_INFINITY,
    `maxInflightBytes is ${maxInflightBytes}; it must be at least maxMessageBytes (${config.maxMessageBytes})`,
  );
  const checkQuorum = config.checkQuorum ?? false;
  const readOnly = config.readOnly ?? 'safe';
  requireThat(
    readOnly !== 'lease-based' || checkQuorum,
    'readOnly is lease-based without checkQuorum; a lease only holds if the leader checks its quorum',
  );
  const applied = config.applied ?? 0;
  assertSafeInteger(applied, 'applied');
  return {
    id: config.id,
    electionTicks: config.electionTicks,
    heartbeatTicks: config.heartbeatTicks,
    storage: config.storage,
    applied,
    asyncStorageWrites: config.asyncStorageWrites ?? false,
    maxMessageBytes: config.maxMessageBytes,
    maxApplyingBytes: config.maxApplyingBytes || config.maxMessageBytes,
    maxUncommittedBytes: orUnlimited(config.maxUncommittedBytes),
    maxInflightMessages: config.maxInflightMessages,
    maxInflightBytes,
    maxPendingReads: config.maxPendingReads ?? DEFAULT_MAX_PENDING_READS,
    checkQuorum,
    preVote: config.preVote ?? false,
    readOnly,
    disableProposalForwarding: config.disableProposalForwarding ?? false,
    disableConfChangeValidation: config.disableConfChangeValidation ?? false,
    stepDownOnRemoval: config.stepDownOnRemoval ?? false,
    random: config.random,
    logger: config.logger,
  };
}

function orUnlimited(limit: number | undefined): number {
  return limit === undefined || limit === 0 ? Number.POSITIVE_INFINITY : limit;
}

function requireThat(condition: boolean, otherwise: string): void {
  if (!condition) throw new RaftError('INVALID_CONFIG', `raft configuration: ${otherwise}`);
}
