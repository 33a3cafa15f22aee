/**
 * uplink_xdp against its model, on random states and frames. SHOAL_MODEL_SEED runs one seed again,
 * SHOAL_MODEL_PACKETS more packets than the usual.
 */
import t from 'tap';
import { Random } from '../../sim/random.ts';
import { Fixture, type Outcome } from '../fixture.ts';
import { hex } from '../packets.ts';
import { randomFrame, randomState } from './generate.ts';
import { type Case, shrink } from './shrink.ts';
import { UplinkXdpModel } from './uplink-xdp.ts';

const seed = Number(process.env.SHOAL_MODEL_SEED ?? Date.now() % 2 ** 32);
const packets = Number(process.env.SHOAL_MODEL_PACKETS ?? 20_000);
const framesPerState = 50;
/** The usual number of packets takes a part of this; a busy machine ends early, after at least a tenth of them. */
const time_ms = process.env.SHOAL_MODEL_PACKETS === undefined ? 15_000 : Number.POSITIVE_INFINITY;

const fixture = await Fixture.open();
t.teardown(() => fixture[Symbol.dispose]());

/** Outcomes as text; the frame of a packet that is dropped is nobody's any more. */
function describe({ verdict, frame, counts }: Outcome): string {
  const sorted = Object.entries(counts).sort(([a], [b]) => a.localeCompare(b));
  return [verdict, JSON.stringify(sorted), ...(verdict === 'XDP_DROP' ? [] : hex(frame))].join('\n');
}

function differs({ state, frame }: Case): boolean {
  fixture.apply(state);
  const expected = new UplinkXdpModel(state, fixture.constants.hashSeed).expect(frame);
  return describe(fixture.runXdp(frame)) !== describe(expected);
}

t.test(`${packets} packets do what the model says, seed ${seed}`, async (t) => {
  const random = new Random(seed);
  const end_ms = performance.now() + time_ms;
  const verdicts = new Map<string, number>();
  let ran = 0;
  while (ran < packets && (performance.now() < end_ms || ran < packets / 10)) {
    const state = randomState(random);
    fixture.apply(state);
    const model = new UplinkXdpModel(state, fixture.constants.hashSeed);
    for (let index = 0; index < framesPerState; index += 1) {
      const frame = randomFrame(random, state);
      const actual = fixture.runXdp(frame);
      const expected = model.expect(frame);
      ran += 1;
      const names = Object.keys(expected.counts).filter((name) => name !== 'xdp_seen');
      const what = `${expected.verdict} ${names.toSorted().join(' ')}`;
      verdicts.set(what, (verdicts.get(what) ?? 0) + 1);
      if (describe(actual) === describe(expected)) continue;
      const small = shrink({ state, frame }, differs);
      fixture.apply(small.state);
      t.equal(
        describe(fixture.runXdp(small.frame)),
        describe(new UplinkXdpModel(small.state, fixture.constants.hashSeed).expect(small.frame)),
        `seed ${seed}, packet ${ran}`,
      );
      t.comment(JSON.stringify(small.state));
      t.comment(hex(small.frame).join('\n'));
      return;
    }
  }
  t.pass(`${ran} packets`);
  for (const [what, count] of [...verdicts].sort()) t.comment(`${count} ${what}`);
  // The generator reaches every way that a packet can go: otherwise the model proves nothing about it.
  for (const what of [
    'XDP_PASS xdp_passed',
    'XDP_PASS xdp_to_local_endpoint',
    'XDP_TX xdp_encapsulated',
    'XDP_PASS xdp_encapsulated xdp_next_hop_unresolved',
    'XDP_TX drop:no-endpoint xdp_refused',
    'XDP_DROP drop:no-endpoint',
    'XDP_DROP drop:malformed-ip',
    'XDP_DROP drop:malformed-transport',
    'XDP_DROP drop:malformed-tunnel',
    'XDP_DROP drop:forged-tunnel',
    'XDP_DROP drop:loopback-on-wire',
    'XDP_DROP drop:node-gone',
    'XDP_DROP drop:too-big',
    'XDP_PASS xdp_decapsulated',
    'XDP_TX xdp_decapsulated xdp_returned',
  ]) {
    t.ok((verdicts.get(what) ?? 0) > 0, `reached: ${what}`);
  }
});
