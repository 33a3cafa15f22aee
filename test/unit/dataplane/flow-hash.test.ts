/** That the hash is what the eBPF programs compute is tested against them, in test/kernel. */
import t from 'tap';
import { formatIpv4 } from '../../../dataplane/addresses.ts';
import { type FlowTuple, flowHash } from '../../../dataplane/flow-hash.ts';
import { Random } from '../../sim/random.ts';

const flow: FlowTuple = {
  source: '198.51.100.10',
  destination: '192.0.2.1',
  sourcePort: 40_000,
  destinationPort: 443,
  protocol: 6,
};

t.test('every field and the seed count', async (t) => {
  const hash = flowHash(flow, 1n);
  t.equal(flowHash({ ...flow }, 1n), hash, 'the same flow, the same hash');
  t.ok(Number.isInteger(hash) && hash >= 0 && hash <= 0xffffffff);
  for (const other of [
    { ...flow, source: '198.51.100.11' },
    { ...flow, destination: '192.0.2.2' },
    { ...flow, sourcePort: 40_001 },
    { ...flow, destinationPort: 444 },
    { ...flow, protocol: 17 },
    { ...flow, source: flow.destination, destination: flow.source },
    { ...flow, sourcePort: flow.destinationPort, destinationPort: flow.sourcePort },
  ]) {
    t.not(flowHash(other, 1n), hash);
  }
  t.not(flowHash(flow, 2n), hash);
  t.not(flowHash(flow, 1n << 63n), hash);
});

/** Chi-squared of counts against equal shares; about as large as their number when they are random. */
function chiSquared(counts: readonly number[]): number {
  const mean = counts.reduce((a, b) => a + b, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
}

t.test('flows that differ in one thing only are spread evenly by the low bits', async (t) => {
  const buckets = 64;
  const flows = 32_000;
  const random = new Random(7);
  for (const [name, vary] of [
    ['ports one after the other', (index: number) => ({ sourcePort: 32_768 + (index % 32_768) })],
    ['addresses one after the other', (index: number) => ({ source: formatIpv4(0x0a000000 + index) })],
    ['addresses 256 apart', (index: number) => ({ source: formatIpv4(0x0a000000 + index * 256) })],
    ['frontends one after the other', (index: number) => ({ destination: formatIpv4(0x0af80000 + index) })],
    [
      'at random',
      () => ({
        source: formatIpv4(random.between(0, 0xffffffff)),
        sourcePort: random.between(1024, 65_535),
      }),
    ],
  ] as const) {
    for (const seed of [0n, 0x0123_4567_89ab_cdefn]) {
      const counts = new Array<number>(buckets).fill(0);
      for (let index = 0; index < flows; index += 1) {
        const bucket = flowHash({ ...flow, ...vary(index) }, seed) & (buckets - 1);
        counts[bucket] = (counts[bucket] ?? 0) + 1;
      }
      // 63 degrees of freedom: less than 1 in 10^9 random spreads is above 160.
      const statistic = chiSquared(counts);
      t.ok(statistic < 160, `${name}: ${statistic.toFixed(0)}`);
    }
  }
});
