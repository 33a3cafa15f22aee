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
export const open: readonly OpenMutation[] = [];
