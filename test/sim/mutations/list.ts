/** All mutations. */
import { electionMutations } from './list-elections.ts';
import { membershipMutations } from './list-membership.ts';
import { replicationMutations } from './list-replication.ts';
import type { Mutation, OpenMutation } from './mutation.ts';

/** Deliberate bugs, each of which the simulation must catch. */
export const mutations: readonly Mutation[] = [
  ...electionMutations,
  ...replicationMutations,
  ...membershipMutations,
];

/** Bugs that it cannot catch. Not counted. */
export const open: readonly OpenMutation[] = [
  {
    name: 'lease-read-after-lease',
    why: 'A leader answers reads by a lease that it does not renew, since its quorum check is off (6.4.1).',
    file: 'control/raft/core/config.ts',
    find: "readOnly !== 'lease-based' || checkQuorum,",
    replace: 'true,',
    reason:
      "Only reads in mode 'safe', which is the default and the one in use, are simulated. Lease-based ones are not " +
      'linearizable even without the bug: a leader may go two election timeouts without a quorum before it steps ' +
      'down, and voters elect another one after a single timeout.',
  },
];
