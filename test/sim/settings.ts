/** How a simulated cluster is set up, drawn from the seed. */

import type { Config } from '../../control/raft/core/types.ts';
import type { NetworkQuality } from './network.ts';
import type { Random } from './random.ts';

/** Nodes that run, whether they are members or not. */
const ALL_IDS: readonly number[] = [1, 2, 3, 4, 5, 6];

/** A cluster and how hard its life is. Probabilities are per event, but for `powerLoss`. */
export interface Settings {
  readonly ids: readonly number[];
  /** The first members. */
  readonly voters: readonly number[];
  readonly config: Omit<Config, 'id' | 'storage'>;
  readonly network: NetworkQuality;
  /** Per write boundary. */
  readonly powerLoss: number;
  readonly maxDownTime: number;
  readonly maxStorageDelay: number;
  /** Chance that a disk, given a piece of work, does nothing for a while; and how long at most. */
  readonly stalls: number;
  readonly maxStall: number;
  readonly writes: number;
  readonly reads: number;
  readonly crashes: number;
  readonly partitions: number;
  readonly heals: number;
  readonly confChanges: number;
  readonly compactions: number;
  readonly transfers: number;
  readonly oddities: number;
}

/** Settings for one run. `hostility` decides on echoes and slow disks; null: there are none. */
export function randomSettings(random: Random, hostility: Random | null): Settings {
  const settings = basicSettings(random);
  if (hostility === null) return settings;
  const maxStorageDelay = hostility.chance(0.1) ? hostility.pick([100, 300]) : settings.maxStorageDelay;
  const stalls = hostility.chance(0.5) ? hostility.pick([0.003, 0.03]) : 0;
  const maxStall = hostility.pick([100, 500, 2000]);
  const echoes = hostility.chance(0.5) ? hostility.pick([0.01, 0.1]) : 0;
  const maxEchoDelay = hostility.pick([50, 500, 3000]);
  return {
    ...settings,
    maxStorageDelay,
    stalls,
    maxStall,
    network: { ...settings.network, echoes, maxEchoDelay },
  };
}

function basicSettings(random: Random): Settings {
  const isHard = random.chance(0.5);
  const checkQuorum = random.chance(0.5);
  const some = (low: number, high: number) => low + random.next() * (high - low);
  const maxMessageBytes = random.pick([0, 50, 200, Number.POSITIVE_INFINITY]);
  return {
    ids: ALL_IDS,
    voters: ALL_IDS.slice(0, random.pick([1, 2, 3, 3, 5])),
    config: {
      electionTicks: random.pick([4, 10]),
      heartbeatTicks: random.pick([1, 3]),
      asyncStorageWrites: random.chance(0.5),
      maxMessageBytes,
      maxApplyingBytes: random.pick([1, 100, Number.POSITIVE_INFINITY]),
      maxUncommittedBytes: random.pick([0, 200]),
      // Small, since reordering within a window makes the leader send it again and again.
      maxInflightMessages: random.pick([1, 3, 12]),
      maxInflightBytes: random.chance(0.5) ? 0 : Math.max(100, maxMessageBytes),
      checkQuorum,
      preVote: random.chance(0.5),
      stepDownOnRemoval: random.chance(0.5),
      disableProposalForwarding: random.chance(0.2),
      random: random.next,
    },
    network: {
      loss: isHard ? some(0, 0.2) : some(0, 0.02),
      duplication: some(0, 0.1),
      minDelay: 1,
      maxDelay: random.pick([1, 2, 10, 40]),
      echoes: 0,
      maxEchoDelay: 0,
    },
    powerLoss: isHard ? some(0, 0.003) : 0.0003,
    maxDownTime: random.pick([50, 500]),
    maxStorageDelay: random.pick([1, 5, 30]),
    stalls: 0,
    maxStall: 0,
    writes: some(0.02, 0.3),
    reads: some(0, 0.05),
    crashes: isHard ? some(0, 0.004) : 0.0005,
    partitions: some(0, 0.01),
    heals: some(0.002, 0.02),
    confChanges: random.chance(0.7) ? some(0.001, 0.02) : 0,
    compactions: some(0, 0.03),
    transfers: some(0, 0.004),
    oddities: some(0, 0.004),
  };
}
