/** Bugs in membership changes and joint consensus. */
import type { Mutation } from './mutation.ts';

/** Each must be caught. */
export const membershipMutations: readonly Mutation[] = [
  {
    name: 'learner-counts-as-voter',
    why: 'What learners have counts towards commitment, though they vote for nobody (4.2.1).',
    file: 'control/raft/core/tracker.ts',
    find: 'return this.#membership.voters.committedIndex(this.#matchOf);',
    replace: `const { voters, learners } = this.#membership;
    const all = new MajorityConfig([...voters.incoming.ids, ...learners]);
    return new JointConfig(all, voters.outgoing).committedIndex(this.#matchOf);`,
  },
  {
    name: 'joint-commit-by-one-half',
    why: 'While joint, entries are committed by the new voters alone (4.3).',
    file: 'control/raft/core/quorum.ts',
    find: 'return Math.min(incoming, this.outgoing.committedIndex(acked));',
    replace: 'return incoming;',
  },
  {
    name: 'joint-election-by-one-half',
    why: 'While joint, the new voters alone elect a leader (4.3).',
    file: 'control/raft/core/quorum.ts',
    find: '    if (incoming === outgoing) return incoming;',
    replace: "    if (incoming === outgoing || incoming === 'VoteWon') return incoming;",
  },
  {
    name: 'two-changes-in-flight',
    why: 'A membership change is proposed before the one before it is applied (4.1).',
    file: 'control/raft/core/step-leader.ts',
    find: 'if (raft.pendingConfIndex > raft.log.applied) {',
    replace: 'if (raft.pendingConfIndex > raft.log.applied + 1_000_000) {',
  },
  {
    name: 'several-voters-changed-directly',
    why: 'A change of several voters does not go through a joint configuration (4.3).',
    file: 'control/raft/core/membership.ts',
    find: "  return enterJoint(base, change.transition !== 'ConfChangeTransitionJointExplicit', change.changes);",
    replace:
      "  return leaveJoint({ ...base, ...enterJoint(base, change.transition !== 'ConfChangeTransitionJointExplicit', change.changes) });",
  },
  {
    name: 'campaign-before-applying-change',
    why: 'A node campaigns under a membership that a committed change has replaced already.',
    file: 'control/raft/core/election.ts',
    find: '  if (hasUnappliedConfChange(raft)) {',
    replace: '  if (raft.term < 0 && hasUnappliedConfChange(raft)) {',
  },
  {
    name: 'change-in-force-at-append',
    why: 'A membership change takes effect when it is appended, though it may never be committed.',
    file: 'test/sim/node.ts',
    find: '    this.#world.oracle.appended(this.id, raft, ready.entries);\n',
    replace: `    this.#world.oracle.appended(this.id, raft, ready.entries);
    for (const entry of ready.entries) {
      if (entry.type === 'EntryNormal') continue;
      try {
        raft.applyConfChange(decodeConfChange(entry));
      } catch {}
    }
`,
  },
  {
    name: 'joint-left-too-early',
    why: 'A joint configuration is in force only for the moment of its application.',
    file: 'control/raft/core/confchange.ts',
    find: '  draft.autoLeave = autoLeave;\n  return draft.result();',
    replace: '  draft.outgoing.clear();\n  draft.learnersNext.clear();\n  return draft.result();',
  },
];
