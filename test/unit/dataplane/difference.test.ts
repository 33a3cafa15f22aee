/** Differences, applied entry by entry to plain objects in the place of the kernel's maps. */
import t, { type Test } from 'tap';
import { adoptedAllocation } from '../../../dataplane/kernel/adopt.ts';
import { applyChanges } from '../../../dataplane/kernel/apply.ts';
import type { Maps } from '../../../dataplane/kernel/programs.ts';
import type { Allocation } from '../../../dataplane/state/allocate.ts';
import { compile } from '../../../dataplane/state/compile.ts';
import type { DesiredState } from '../../../dataplane/state/desired.ts';
import { countChanges, difference } from '../../../dataplane/state/difference.ts';
import { emptyContents, type MapContents } from '../../../dataplane/state/map-contents.ts';
import { ownersPerBucket } from '../../../dataplane/state/owners.ts';
import { Random } from '../../sim/random.ts';

const bucketCapacity = 16_384;

/** One map: entries by their key as text. Every change of an entry is told. */
class FakeMap<V = Record<string, number>> {
  readonly entries = new Map<string, V>();
  readonly #changed: () => void;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  updateBatch(updates: Iterable<readonly [unknown, V]>): number {
    for (const [key, value] of updates) {
      this.entries.set(JSON.stringify(key), structuredClone(value));
      this.#changed();
    }
    return 0;
  }

  deleteBatch(keys: Iterable<unknown>): number {
    for (const key of keys) {
      this.entries.delete(JSON.stringify(key));
      this.#changed();
    }
    return 0;
  }
}

/** Endpoints of service s have slots 100 s to 100 s + 99, and so have its frontends. */
function serviceOf(slot: number): number {
  return Math.floor(slot / 100);
}

/** The maps that the agent writes. */
class FakeMaps {
  onChange: () => void = () => undefined;
  readonly nodes = this.#make();
  readonly endpoints = this.#make();
  readonly meshAddresses = this.#make();
  readonly buckets = new FakeMap<{ owner: number[] }>(() => this.onChange());
  readonly frontends = this.#make();
  readonly frontendSlots = new FakeMap<number>(() => this.onChange());

  #make(): FakeMap {
    return new FakeMap(() => this.onChange());
  }

  apply(from: MapContents, to: MapContents): void {
    applyChanges(this as unknown as Maps, difference(from, to));
  }

  /** What a packet would find that goes wrong, for any key and bucket; undefined if nothing does. */
  problem(mayRefuse: ReadonlySet<number>): string | undefined {
    for (const [key, slot] of this.frontendSlots.entries) {
      const frontend = this.frontends.entries.get(String(slot));
      if (frontend === undefined || frontend.bucket_mask === 0)
        return `${key}: frontend ${slot} is not there`;
      if (frontend.refuse) {
        if (!mayRefuse.has(serviceOf(slot))) return `${key}: refused`;
        continue;
      }
      const { bucket_base = 0, bucket_mask = 0 } = frontend;
      for (let index = bucket_base; index <= bucket_base + bucket_mask; index += 1) {
        const owner = this.buckets.entries.get(String(index))?.owner[0] ?? 0;
        if (owner === 0 && mayRefuse.has(serviceOf(slot))) continue;
        const endpoint = this.endpoints.entries.get(String(owner));
        if (endpoint === undefined || endpoint.kind === 0)
          return `${key}: bucket ${index} has endpoint ${owner}`;
        if (!this.nodes.entries.get(String(endpoint.node))?.vtep) return `${key}: node ${endpoint.node}`;
        if (serviceOf(owner) !== serviceOf(slot)) return `${key}: endpoint ${owner} of another`;
      }
    }
    return undefined;
  }
}

/** A state in which everything that owns a bucket exists. */
function randomState(random: Random): DesiredState {
  const nodes = Array.from({ length: random.between(1, 4) }, (_, index) => ({
    slot: index + 1,
    vtep: `192.0.2.${index + 1}`,
    meshAddress: `10.250.0.${index + 1}`,
    addresses: [`192.0.2.${index + 1}`],
  }));
  const services = [];
  const endpoints = [];
  for (const number of random.shuffle([1, 2, 3, 4, 5]).slice(0, random.between(0, 5))) {
    const slots = Array.from({ length: random.between(0, 9) }, (_, index) => number * 100 + index);
    for (const slot of slots) {
      const kind = random.pick(['host', 'nat'] as const);
      endpoints.push({ slot, address: '127.0.0.1', port: slot, kind, node: random.pick(nodes).slot });
    }
    services.push({
      id: `service-${number}`,
      vip: random.chance(0.5) ? `10.248.0.${number}` : null,
      publishes: [0, 1].slice(0, random.between(0, 2)).map((publish) => ({
        slot: number * 100 + publish,
        address: null,
        port: number * 10 + publish,
        target: random.chance(0.5) ? random.between(1, 9) : null,
        protocol: 'tcp' as const,
      })),
      owners: slots.filter(() => random.chance(0.7)),
      generations: [slots.filter(() => random.chance(0.5))],
    });
  }
  const attachments = random.chance(0.5)
    ? [{ id: 'x', address: `10.249.0.${random.between(1, 3)}`, node: 2, netns: '/run/netns/x' }]
    : [];
  return { self: 1, nodes, services, endpoints, attachments, sharedAddresses: [] };
}

function build(state: DesiredState, allocation: Allocation) {
  const facts = { uplinkIfindex: 2, veths: new Map() };
  return compile(state, { facts, allocation, bucketCapacity });
}

/** Numbers of services that refuse in one of the states, and may do so on the way from one to the other. */
function refusing(...states: readonly MapContents[]): Set<number> {
  const frontends = states.flatMap((contents) => [...contents.frontends]);
  return new Set(frontends.filter(([, { refuse }]) => refuse).map(([slot]) => serviceOf(slot)));
}

/** Buckets of the tables that frontends lead to, of a state. */
function bucketsOf(contents: MapContents): Map<string, number[]> {
  const buckets = new Map<string, number[]>();
  for (const [base, table] of contents.tables) {
    for (let at = 0; at < table.length; at += ownersPerBucket) {
      buckets.set(String(base + at / ownersPerBucket), [...table.subarray(at, at + ownersPerBucket)]);
    }
  }
  return buckets;
}

t.test('from any state to any other: it gets there, and at no step does a key lead to nothing', async (t) => {
  const random = new Random(41);
  for (let round = 0; round < 25; round += 1) {
    const maps = new FakeMaps();
    let contents = emptyContents();
    let allocation: Allocation = new Map();
    for (let step = 0; step < 8; step += 1) {
      const next = build(randomState(random), allocation);
      const mayRefuse = refusing(contents, next.contents);
      let changes = 0;
      let problem: string | undefined;
      maps.onChange = () => {
        changes += 1;
        // Looking at all buckets after every single one of many is slow: mostly every 16th.
        if (changes % 16 === 0 || random.chance(0.05)) problem ??= maps.problem(mayRefuse);
      };
      maps.apply(contents, next.contents);
      problem ??= maps.problem(mayRefuse);
      if (problem !== undefined) t.fail(`round ${round}, step ${step}: ${problem}`);
      t.equal(changes, countChanges(difference(contents, next.contents)));
      contents = next.contents;
      allocation = next.allocation;
      checkHolds(t, maps, contents);
    }
  }
});

function checkHolds(t: Test, maps: FakeMaps, contents: MapContents): void {
  const live = (map: FakeMap, isFree: (value: Record<string, number>) => boolean): unknown[] =>
    [...map.entries].filter(([, value]) => !isFree(value)).map(([key]) => Number(key));
  t.strictSame(new Set(live(maps.nodes, ({ vtep }) => vtep === 0)), new Set(contents.nodes.keys()));
  t.strictSame(new Set(live(maps.endpoints, ({ kind }) => kind === 0)), new Set(contents.endpoints.keys()));
  t.strictSame(new Set(live(maps.meshAddresses, () => false)), new Set(contents.meshAddresses.keys()));
  t.strictSame(
    new Set(live(maps.frontends, ({ bucket_mask }) => bucket_mask === 0)),
    new Set(contents.frontends.keys()),
  );
  for (const [slot, frontend] of contents.frontends) {
    t.strictSame(maps.frontends.entries.get(String(slot)), frontend);
  }
  for (const [slot, endpoint] of contents.endpoints) {
    t.strictSame(maps.endpoints.entries.get(String(slot)), endpoint);
  }
  t.strictSame(
    maps.frontendSlots.entries,
    new Map([...contents.frontendSlots.values()].map(({ key, slot }) => [JSON.stringify(key), slot])),
  );
  let wrong = 0;
  for (const [index, owners] of bucketsOf(contents)) {
    if (maps.buckets.entries.get(index)?.owner.join() !== owners.join()) wrong += 1;
  }
  t.equal(wrong, 0, 'buckets');
}

t.test('nothing changes where nothing differs', async (t) => {
  const random = new Random(42);
  for (let round = 0; round < 20; round += 1) {
    const state = randomState(random);
    const first = build(state, new Map());
    const again = build(state, first.allocation);
    t.equal(countChanges(difference(first.contents, again.contents)), 0);
  }
});

t.test('buckets that stay the same are not touched', async (t) => {
  const base = randomState(new Random(43));
  const service = (owners: number[]) => ({
    id: 'one',
    vip: null,
    publishes: [{ slot: 100, address: null, port: 80, target: null, protocol: 'tcp' as const }],
    owners,
    generations: [],
  });
  const slots = Array.from({ length: 12 }, (_, index) => 100 + index);
  const before = build({ ...base, services: [service(slots)] }, new Map());
  const after = build({ ...base, services: [service(slots.slice(1))] }, before.allocation);
  const { buckets } = difference(before.contents, after.contents);
  t.ok(buckets.length >= 512 / 12 - 1, 'those of the endpoint that went');
  t.ok(buckets.length < 512 / 3, `${buckets.length} of 512 buckets`);
});

t.test('regions of adopted maps stay taken until their frontends are gone', async (t) => {
  const random = new Random(44);
  for (let round = 0; round < 40; round += 1) {
    const maps = new FakeMaps();
    const before = build(randomState(random), new Map());
    maps.apply(emptyContents(), before.contents);
    // A process that starts knows the maps, and a state in which services may have come and gone meanwhile.
    const state = randomState(random);
    const next = build(state, adoptedAllocation(before.contents, state.services));
    const mayRefuse = refusing(before.contents, next.contents);
    let changes = 0;
    let problem: string | undefined;
    maps.onChange = () => {
      changes += 1;
      if (changes % 16 === 0) problem ??= maps.problem(mayRefuse);
    };
    maps.apply(before.contents, next.contents);
    t.equal(problem ?? maps.problem(mayRefuse), undefined);
  }
});
