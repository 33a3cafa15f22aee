/**
 * The programs in this kernel, loaded with a node's constants in a network namespace of their own, and run on one
 * packet at a time (BPF_PROG_TEST_RUN): nothing is ever sent. The maps are filled the way the agent fills them.
 *
 * The namespace has an uplink 192.0.2.1/24, a second device 203.0.113.1/24, and neighbours that the look-ups of the
 * next hop find: all but 192.0.2.3 have an Ethernet address.
 */
import { existsSync } from 'node:fs';
import { type BpfProgram, type Collection, CollectionSpec } from 'bpf-ts';
import {
  addresses,
  links,
  NetlinkSocket,
  type NetnsHandle,
  neighbours,
  netns,
  routes,
  sysctl,
} from 'netlink-ts';
import { meshRanges } from '../../dataplane/addresses.ts';
import type * as shoal from '../../dataplane/generated/shoal.ts';
import { applyChanges } from '../../dataplane/kernel/apply.ts';
import {
  type Maps,
  objectPath,
  type ProgramConstants,
  setConstants,
  typedMaps,
} from '../../dataplane/kernel/programs.ts';
import { readDrops } from '../../dataplane/observe/drops.ts';
import { readPackets } from '../../dataplane/observe/packets.ts';
import type { Allocation } from '../../dataplane/state/allocate.ts';
import { compile } from '../../dataplane/state/compile.ts';
import type { DesiredState } from '../../dataplane/state/desired.ts';
import { difference } from '../../dataplane/state/difference.ts';
import { emptyContents, type MapContents } from '../../dataplane/state/map-contents.ts';
import { macBytes } from './packets.ts';

/** Ethernet addresses of the fixture's devices and neighbours. */
export const macs = {
  uplink: '02:00:00:00:00:01',
  second: '02:00:00:00:01:01',
  node2: '02:00:00:00:00:02',
  gateway: '02:00:00:00:00:fe',
  neighbour: '02:00:00:00:00:32',
  plain: '02:00:00:00:01:0f',
  /** Inner ends of the veths of the attached namespaces. */
  namespace: '02:00:00:00:02:0e',
  otherNamespace: '02:00:00:00:02:0f',
  /** What deliveries to a namespace come from. */
  mesh: '02:53:48:4f:41:4c',
} as const;

/** Addresses of the fixture. */
export const hosts = {
  self: '192.0.2.1',
  node2: '192.0.2.2',
  /** On the uplink, and no neighbour entry tells where. */
  unresolved: '192.0.2.3',
  gateway: '192.0.2.254',
  /** A client on the uplink's own network, and one behind the gateway. */
  neighbour: '192.0.2.50',
  client: '198.51.100.10',
  /** On the network of the second device. */
  plain: '203.0.113.15',
  /** Attached namespaces: two here, one on node 2. */
  namespace: '10.249.0.14',
  otherNamespace: '10.249.0.15',
  remoteNamespace: '10.249.0.22',
  selfMesh: '10.250.0.1',
  node2Mesh: '10.250.0.2',
  hairpin: '169.254.1.2',
} as const;

export const tunnelPort = 4789;
export const tunnelVni = 0x5a1234;

export const xdpVerdicts = ['XDP_ABORTED', 'XDP_DROP', 'XDP_PASS', 'XDP_TX', 'XDP_REDIRECT'] as const;

const tcVerdicts = new Map<number, string>([
  [0xffffffff, 'TCX_NEXT'],
  [0, 'TC_ACT_OK'],
  [2, 'TC_ACT_SHOT'],
  [7, 'TC_ACT_REDIRECT'],
]);

/** What a program did with a packet. */
export type Outcome = {
  readonly verdict: string;
  readonly frame: Uint8Array;
  /** Counters that changed, and by how much: packet counters, and drops as `drop:<reason>`. */
  readonly counts: Record<string, number>;
};

/** Numbers of the fixture's devices; `namespace` and `other` are the host's ends of the attached namespaces. */
export type Ifindexes = Readonly<Record<'uplink' | 'second' | 'mesh' | 'namespace' | 'other', number>>;

export type FixtureOptions = {
  readonly constants?: Partial<ProgramConstants>;
  /** Maps as large as the agent makes them; small ones unless told. */
  readonly fullSize?: boolean;
};

/** Entries of each map: small, since every test file loads its own. */
const mapEntries = {
  frontend_slots: 1024,
  frontends: 256,
  buckets: 16_384,
  endpoints: 1024,
  nodes: 64,
  mesh_addresses: 256,
  flows: 32_768,
} as const;

export class Fixture implements Disposable {
  readonly maps: Maps;
  readonly constants: ProgramConstants;
  readonly ifindexes: Ifindexes;
  readonly #namespace: NetnsHandle;
  readonly #collection: Collection;
  /** Counters after the last run; nothing else runs these programs. */
  #counted: ReadonlyMap<string, number> = new Map();
  #contents: MapContents = emptyContents();
  #allocation: Allocation = new Map();

  private constructor(
    namespace: NetnsHandle,
    ifindexes: Ifindexes,
    collection: Collection,
    constants: ProgramConstants,
  ) {
    this.#namespace = namespace;
    this.#collection = collection;
    this.constants = constants;
    this.ifindexes = ifindexes;
    this.maps = typedMaps(collection);
  }

  /** Makes the namespace and loads the programs. Throws if the object has not been built or the kernel refuses. */
  static async open(options: FixtureOptions = {}): Promise<Fixture> {
    if (!existsSync(objectPath)) throw new Error(`${objectPath} is missing: build it with "make -C bpf"`);
    using cleanup = new DisposableStack();
    const namespace = cleanup.use(netns.createAnonymous());
    const ifindexes = await buildNetwork(namespace);
    const constants: ProgramConstants = {
      selfNode: 1,
      selfVtep: hosts.self,
      selfMeshAddress: hosts.selfMesh,
      hairpinAddress: hosts.hairpin,
      tunnelPort,
      tunnelVni,
      uplinkIfindex: ifindexes.uplink,
      meshIfindex: ifindexes.mesh,
      uplinkMtu_bytes: 1500,
      nodeRange: meshRanges('10.248.0.0/13').nodes,
      endpointRange: meshRanges('10.248.0.0/13').endpoints,
      hashSeed: 0x0123_4567_89ab_cdefn,
      ...options.constants,
    };
    const spec = CollectionSpec.fromFile(objectPath);
    for (const [name, entries] of Object.entries(options.fullSize === true ? {} : mapEntries)) {
      const map = spec.maps.get(name);
      if (map !== undefined) map.maxEntries = entries;
    }
    setConstants(spec, constants);
    const collection = cleanup.use(spec.load());
    cleanup.move();
    return new Fixture(namespace, ifindexes, collection, constants);
  }

  /** Makes the maps hold what `state` asks for, through the differences from what they hold. */
  apply(state: DesiredState): void {
    const { contents, allocation } = compile(state, {
      facts: {
        uplinkIfindex: this.ifindexes.uplink,
        veths: new Map([
          [hosts.namespace, { ifindex: this.ifindexes.namespace, mac: macBytes(macs.namespace) }],
          [hosts.otherNamespace, { ifindex: this.ifindexes.other, mac: macBytes(macs.otherNamespace) }],
        ]),
      },
      allocation: this.#allocation,
      bucketCapacity: this.maps.buckets.info().maxEntries,
    });
    applyChanges(this.maps, difference(this.#contents, contents));
    this.#contents = contents;
    this.#allocation = allocation;
  }

  /** A loaded program, to be run by `inside`. */
  program(name: string): BpfProgram {
    return this.#collection.program(name);
  }

  /** Runs a synchronous function in the fixture's namespace. */
  inside<T>(action: () => T): T {
    return netns.inside(this.#namespace, action);
  }

  /** Runs `uplink_xdp` on a frame that came in by the uplink. */
  runXdp(frame: Uint8Array): Outcome {
    // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    const context = new DataView(new ArrayBuffer(24));
    context.setUint32(4, frame.length, true);
    context.setUint32(12, this.ifindexes.uplink, true);
    const { retval, dataOut, counts } = this.#run('uplink_xdp', frame, context);
    return { verdict: xdpVerdicts[retval] ?? `XDP ${retval}`, frame: dataOut, counts };
  }

  /** Runs a tcx program on a frame of the device `ifindex` (default: the uplink). */
  runTc(
    program: 'uplink_ingress' | 'uplink_egress' | 'mesh_ingress',
    frame: Uint8Array,
    options: { ifindex?: number; gsoSegments?: number } = {},
  ): Outcome {
    // struct __sk_buff; ifindex and gso_segs are what a test run may set of it here.
    const context = new DataView(new ArrayBuffer(192));
    context.setUint32(40, options.ifindex ?? this.ifindexes.uplink, true);
    context.setUint32(164, options.gsoSegments ?? 0, true);
    const { retval, dataOut, counts } = this.#run(program, frame, context);
    return { verdict: tcVerdicts.get(retval) ?? `TC ${retval}`, frame: dataOut, counts };
  }

  /** The flow table, ordered by key. */
  flows(): [shoal.flow_key, shoal.flow][] {
    return [...this.maps.flows.entries()].sort(([a], [b]) => flowKeyText(a).localeCompare(flowKeyText(b)));
  }

  /** Empties the flow table. */
  clearFlows(): void {
    this.maps.flows.deleteBatch([...this.maps.flows.entries()].map(([key]) => key));
  }

  /** All counters by name, over all CPUs. */
  counters(): Map<string, number> {
    const counts = new Map(Object.entries(readPackets(this.maps.packets)));
    for (const { reason, packets } of readDrops(this.maps.drops)) counts.set(`drop:${reason}`, packets);
    return counts;
  }

  /** Takes the programs out of the kernel, and the namespace with all its devices. */
  [Symbol.dispose](): void {
    this.#collection[Symbol.dispose]();
    this.#namespace[Symbol.dispose]();
  }

  #run(
    name: string,
    frame: Uint8Array,
    context: DataView<ArrayBuffer>,
  ): { retval: number; dataOut: Uint8Array; counts: Record<string, number> } {
    const before = this.#counted;
    const ctx = new Uint8Array(context.buffer);
    const result = netns.inside(this.#namespace, () =>
      this.#collection.program(name).testRun({ data: frame, ctx }),
    );
    const counts: Record<string, number> = {};
    this.#counted = this.counters();
    for (const [counter, value] of this.#counted) {
      const change = value - (before.get(counter) ?? 0);
      if (change !== 0) counts[counter] = change;
    }
    return { retval: result.retval, dataOut: Uint8Array.from(result.dataOut), counts };
  }
}

function flowKeyText(key: shoal.flow_key): string {
  return [key.direction, key.client, key.client_port, key.server, key.server_port, key.protocol].join('/');
}

async function buildNetwork(namespace: NetnsHandle): Promise<Ifindexes> {
  using socket = NetlinkSocket.open({ netns: namespace });
  await socket.request(links.set('lo', { up: true }));
  for (const [name, peer, mac, address] of [
    ['uplink', 'wire', macs.uplink, `${hosts.self}/24`],
    ['second', 'wire2', macs.second, '203.0.113.1/24'],
  ] as const) {
    await socket.request(links.create({ kind: 'veth', name, mac, peer: { name: peer } }));
    await socket.request(links.set(name, { up: true }));
    await socket.request(links.set(peer, { up: true }));
    await socket.request(addresses.add({ link: name, address }));
  }
  // Stand for the host's ends of veths of ours: a test run asks for nothing but the device's number.
  for (const name of ['mesh', 'namespace', 'other']) {
    await socket.request(links.create({ kind: 'veth', name, peer: { name: `${name}-in` } }));
  }
  sysctl.set('net/ipv4/conf/all/forwarding', 1, { netns: namespace });
  for (const [link, address, mac] of [
    ['uplink', hosts.node2, macs.node2],
    ['uplink', hosts.gateway, macs.gateway],
    ['uplink', hosts.neighbour, macs.neighbour],
    ['second', hosts.plain, macs.plain],
  ] as const) {
    await socket.request(neighbours.replace({ link, address, mac }));
  }
  await socket.request(routes.replace({ destination: '198.51.100.0/24', gateway: hosts.gateway }));
  const index = (name: string): number => socket.interfaceIndex(name);
  return {
    uplink: index('uplink'),
    second: index('second'),
    mesh: index('mesh'),
    namespace: index('namespace'),
    other: index('other'),
  };
}
