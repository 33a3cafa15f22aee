import t from 'tap';
import {
  type ChangeBase,
  ConfChangeError,
  changeSimply,
  enterJoint,
  leaveJoint,
  restoreConfState,
} from '../../../control/raft/core/confchange.ts';
import { Inflights } from '../../../control/raft/core/inflights.ts';
import { confStateOf, EMPTY_MEMBERSHIP } from '../../../control/raft/core/tracker.ts';
import type { ConfChangeSingle, ConfChangeType } from '../../../control/raft/core/types.ts';
import { Random } from '../../sim/random.ts';

const EMPTY: ChangeBase = {
  membership: EMPTY_MEMBERSHIP,
  progress: new Map(),
  lastIndex: 10,
  newInflights: () => new Inflights(10, Number.POSITIVE_INFINITY),
};
const TYPES: readonly ConfChangeType[] = [
  'ConfChangeAddNode',
  'ConfChangeAddLearnerNode',
  'ConfChangeRemoveNode',
  'ConfChangeUpdateNode',
];

function randomChanges(random: Random, max: number): ConfChangeSingle[] {
  return Array.from({ length: random.between(0, max) }, () => ({
    type: random.pick(TYPES),
    nodeId: random.between(0, 6),
  }));
}

/** A reachable membership with voters 1 and some more. */
function randomBase(random: Random): ChangeBase {
  let base: ChangeBase = { ...EMPTY, ...changeSimply(EMPTY, [{ type: 'ConfChangeAddNode', nodeId: 1 }]) };
  for (const change of randomChanges(random, 8)) base = tryTo(base, () => changeSimply(base, [change]));
  return base;
}

function tryTo(base: ChangeBase, change: () => Pick<ChangeBase, 'membership' | 'progress'>): ChangeBase {
  try {
    return { ...base, ...change() };
  } catch (error) {
    if (error instanceof ConfChangeError) return base;
    throw error;
  }
}

function show(base: ChangeBase): string {
  const members = [...base.progress].sort(([a], [b]) => a - b).map(([id, { isLearner }]) => [id, isLearner]);
  return JSON.stringify([confStateOf(base.membership), members]);
}

t.test('one by one, all at once, and from storage: the same membership', async (t) => {
  for (let seed = 1; seed <= 3_000; seed += 1) {
    const random = new Random(seed);
    const base = randomBase(random);
    const changes = randomChanges(random, 5);
    const before = show(base);

    const joint = tryTo(base, () => enterJoint(base, random.chance(0.5), changes));
    if (show(base) !== before) t.fail(`seed ${seed}: the base was changed`);
    const stored = { ...EMPTY, ...restoreConfState(EMPTY, confStateOf(joint.membership)) };
    if (show(stored) !== show(joint)) t.equal(show(stored), show(joint), `seed ${seed}: restored`);
    if (!joint.membership.voters.isJoint) continue;

    const after = { ...joint, ...leaveJoint(joint) };
    const voters = new Set(base.membership.voters.incoming.ids);
    const learners = new Set(base.membership.learners);
    for (const { type, nodeId } of changes) {
      if (nodeId === 0 || type === 'ConfChangeUpdateNode') continue;
      if (
        type === 'ConfChangeAddLearnerNode'
          ? learners.has(nodeId)
          : type === 'ConfChangeAddNode' && voters.has(nodeId)
      )
        continue;
      voters.delete(nodeId);
      learners.delete(nodeId);
      if (type === 'ConfChangeAddNode') voters.add(nodeId);
      if (type === 'ConfChangeAddLearnerNode') learners.add(nodeId);
    }
    const expected = [[...voters].sort(), [...learners].sort()];
    const { voters: finalVoters, learners: finalLearners, ...rest } = confStateOf(after.membership);
    const actual = [finalVoters, finalLearners];
    if (JSON.stringify(actual) !== JSON.stringify(expected)) t.same(actual, expected, `seed ${seed}`);
    if (rest.autoLeave || rest.votersOutgoing.length + rest.learnersNext.length > 0)
      t.fail(`seed ${seed}: not left`);
    if (after.progress.size !== voters.size + learners.size)
      t.fail(`seed ${seed}: progress of ${after.progress.size}`);
  }
  t.pass('3000 random changes');
});

t.test('a simple change never moves two voters, so that all old and new majorities overlap', async (t) => {
  for (let seed = 1; seed <= 3_000; seed += 1) {
    const random = new Random(seed);
    const base = randomBase(random);
    const after = tryTo(base, () => changeSimply(base, randomChanges(random, 3)));
    const [before, now] = [base.membership.voters.incoming, after.membership.voters.incoming];
    const moved =
      before.ids.filter((id) => !now.has(id)).length + now.ids.filter((id) => !before.has(id)).length;
    if (moved > 1) t.fail(`seed ${seed}: ${before.ids} -> ${now.ids}`);
  }
  t.pass('3000 random changes');
});

t.test('refusals name the rule', async (t) => {
  const add = (nodeId: number): ConfChangeSingle => ({ type: 'ConfChangeAddNode', nodeId });
  const one = { ...EMPTY, ...changeSimply(EMPTY, [add(1)]) };
  const joint = { ...one, ...enterJoint(one, false, [add(2)]) };
  const remove = (nodeId: number): ConfChangeSingle => ({ type: 'ConfChangeRemoveNode', nodeId });
  t.equal(
    refusalOf(() => changeSimply(one, [add(2), add(3)])),
    'SEVERAL_VOTERS_CHANGED',
  );
  t.equal(
    refusalOf(() => changeSimply(joint, [add(3)])),
    'SIMPLE_WHILE_JOINT',
  );
  t.equal(
    refusalOf(() => changeSimply(one, [remove(1)])),
    'NO_VOTERS_LEFT',
  );
  t.equal(
    refusalOf(() => enterJoint(joint, false, [])),
    'ALREADY_JOINT',
  );
  t.equal(
    refusalOf(() => enterJoint(EMPTY, false, [add(1)])),
    'JOINT_WITHOUT_VOTERS',
  );
  t.equal(
    refusalOf(() => leaveJoint(one)),
    'NOT_JOINT',
  );
});

function refusalOf(change: () => unknown): string {
  try {
    change();
  } catch (error) {
    if (error instanceof ConfChangeError && error.code === 'INVALID_CONF_CHANGE') return error.refusal;
    throw error;
  }
  return 'none';
}
