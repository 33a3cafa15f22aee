import t from 'tap';
import { JointConfig, MajorityConfig } from '../../../control/raft/core/quorum.ts';
import { Random } from '../../sim/random.ts';

const ROUNDS = 5_000;

/** By definition: the largest index that more than half of the voters have reached. */
function committedByDefinition(voters: readonly number[], acked: ReadonlyMap<number, number>): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY;
  const candidates = [0, ...acked.values()].sort((a, b) => b - a);
  return (
    candidates.find(
      (index) => voters.filter((id) => (acked.get(id) ?? 0) >= index).length * 2 > voters.length,
    ) ?? 0
  );
}

/** By definition: look at every way in which the missing votes could still fall. */
function voteByDefinition(config: JointConfig, votes: ReadonlyMap<number, boolean>): string {
  const missing = config.ids.filter((id) => !votes.has(id));
  const outcomes = new Set<boolean>();
  for (let mask = 0; mask < 2 ** missing.length; mask += 1) {
    const all = new Map([...votes, ...missing.map((id, at) => [id, (mask & (2 ** at)) !== 0] as const)]);
    const wins = (half: MajorityConfig) =>
      half.size === 0 || half.ids.filter((id) => all.get(id) === true).length * 2 > half.size;
    outcomes.add(wins(config.incoming) && wins(config.outgoing));
  }
  if (outcomes.size === 2) return 'VotePending';
  return outcomes.has(true) ? 'VoteWon' : 'VoteLost';
}

function randomVoters(random: Random): number[] {
  return random.shuffle([1, 2, 3, 4, 5, 6, 7]).slice(0, random.between(0, 7));
}

t.test('committed index and votes agree with their definitions', async (t) => {
  const random = new Random(1);
  for (let round = 0; round < ROUNDS; round += 1) {
    const incoming = randomVoters(random);
    const outgoing = random.chance(0.5) ? randomVoters(random) : [];
    const config = new JointConfig(new MajorityConfig(incoming), new MajorityConfig(outgoing));
    const heard = config.ids.filter(() => random.chance(0.8));
    const acked = new Map(heard.map((id) => [id, random.between(0, 6)]));
    const expected = Math.min(committedByDefinition(incoming, acked), committedByDefinition(outgoing, acked));
    const actual = config.committedIndex((id) => acked.get(id));
    if (actual !== expected) t.equal(actual, expected, `voters ${incoming} && ${outgoing}, ${[...acked]}`);
    const votes = new Map(heard.map((id) => [id, random.chance(0.6)]));
    const result = voteByDefinition(config, votes);
    if (config.voteResult(votes) !== result) {
      t.equal(config.voteResult(votes), result, `voters ${incoming} && ${outgoing}, votes ${[...votes]}`);
    }
  }
  t.pass(`${ROUNDS} random configurations`);
});

t.test('ids are sorted, without repetition', async (t) => {
  t.same(new MajorityConfig([3, 1, 2, 3, 10]).ids, [1, 2, 3, 10]);
  const joint = new JointConfig(new MajorityConfig([3, 1]), new MajorityConfig([2, 3]));
  t.same(joint.ids, [1, 2, 3]);
  t.ok(joint.has(2) && joint.isJoint && !joint.has(4));
});
