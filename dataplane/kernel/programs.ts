/**
 * The loaded eBPF object: its maps and programs, pinned, and its links.
 *
 * Everything is pinned under one directory of a BPF file system, so the data plane forwards whether or not a
 * process holds it. A process that starts adopts the maps that are there, loads the programs anew on top of them
 * (constants and code may have changed) and exchanges them in the links that are there, atomically.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  attachTcx,
  attachXdp,
  BpfError,
  type BpfLink,
  type BpfMap,
  type BpfProgram,
  type Collection,
  CollectionSpec,
  ensureBpffs,
  type MapLayout,
  openPinnedLink,
  requireKernel,
  type XdpMode,
} from 'bpf-ts';
import { type Prefix, parseIpv4 } from '../addresses.ts';
import * as shoal from '../generated/shoal.ts';

/** Where the build puts the object. */
export const objectPath = path.join(import.meta.dirname, '../../build/bpf/shoal.bpf.o');

/** Ports of NAT to plain addresses, above Linux's default ephemeral range. */
export const natPorts = { first: 61_000, count: 4_536 } as const;

/** Constants of this node, baked into the programs at load. */
export type ProgramConstants = {
  readonly selfNode: number;
  readonly selfVtep: string;
  readonly selfMeshAddress: string;
  readonly hairpinAddress: string;
  readonly tunnelPort: number;
  readonly tunnelVni: number;
  readonly uplinkIfindex: number;
  readonly meshIfindex: number;
  readonly uplinkMtu_bytes: number;
  readonly nodeRange: Prefix;
  readonly endpointRange: Prefix;
  /** One per cluster. */
  readonly hashSeed: bigint;
};

/** Every map of the object, typed. */
export type Maps = {
  readonly frontendSlots: BpfMap<shoal.frontend_key, number>;
  readonly frontends: BpfMap<number, shoal.frontend>;
  readonly buckets: BpfMap<number, shoal.bucket>;
  readonly endpoints: BpfMap<number, shoal.endpoint>;
  readonly nodes: BpfMap<number, shoal.node>;
  readonly meshAddresses: BpfMap<number, shoal.mesh_address>;
  readonly flows: BpfMap<shoal.flow_key, shoal.flow>;
  readonly drops: BpfMap<number, bigint>;
  readonly packets: BpfMap<number, bigint>;
};

export type OpenOptions = {
  /** Directory of a BPF file system for the pins; made if it does not exist. */
  readonly pinDir: string;
  readonly constants: ProgramConstants;
  readonly onWarning: (message: string) => void;
};

/** Oldest kernel that the programs are made for. */
const oldestKernel = { major: 6, minor: 1, btf: true } as const;

const pinnedMaps = [
  'frontend_slots',
  'frontends',
  'buckets',
  'endpoints',
  'nodes',
  'next_hops',
  'mesh_addresses',
  'flows',
  'drops',
  'packets',
] as const;

/** Sets what differs from node to node in a spec. Network order is the object's business: addresses are bytes. */
export function setConstants(spec: CollectionSpec, constants: ProgramConstants): void {
  spec.setConstants({
    self_node: constants.selfNode,
    self_vtep: networkOrder(constants.selfVtep),
    self_mesh_address: networkOrder(constants.selfMeshAddress),
    hairpin_address: networkOrder(constants.hairpinAddress),
    tunnel_port: Uint8Array.of(constants.tunnelPort >> 8, constants.tunnelPort & 255),
    tunnel_vni: constants.tunnelVni,
    uplink_ifindex: constants.uplinkIfindex,
    mesh_ifindex: constants.meshIfindex,
    uplink_mtu_bytes: constants.uplinkMtu_bytes,
    node_range_base: constants.nodeRange.base,
    node_range_mask: 2 ** (32 - constants.nodeRange.length) - 1,
    endpoint_range_base: constants.endpointRange.base,
    endpoint_range_mask: 2 ** (32 - constants.endpointRange.length) - 1,
    nat_port_first: natPorts.first,
    nat_port_count: natPorts.count,
    hash_seed: constants.hashSeed,
  });
}

function networkOrder(address: string): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, parseIpv4(address));
  return bytes;
}

/** The maps of a loaded collection, typed. */
export function typedMaps(collection: Collection): Maps {
  const typed = <K, V>(layout: MapLayout<K, V>): BpfMap<K, V> => collection.map(layout);
  return {
    frontendSlots: typed(shoal.map_frontend_slots),
    frontends: typed(shoal.map_frontends),
    buckets: typed(shoal.map_buckets),
    endpoints: typed(shoal.map_endpoints),
    nodes: typed(shoal.map_nodes),
    meshAddresses: typed(shoal.map_mesh_addresses),
    flows: typed(shoal.map_flows),
    drops: typed(shoal.map_drops),
    packets: typed(shoal.map_packets),
  };
}

/** The object in the kernel. Disposing closes descriptors only; `remove` takes everything away. */
export class Programs implements Disposable {
  readonly maps: Maps;
  /** True if maps of an earlier process were taken over. */
  readonly adopted: boolean;
  readonly #collection: Collection;
  readonly #pinDir: string;
  readonly #onWarning: (message: string) => void;
  /** Links by the name of their pin. */
  readonly #links = new Map<string, BpfLink>();

  private constructor(collection: Collection, options: OpenOptions, adopted: boolean) {
    this.#collection = collection;
    this.#pinDir = options.pinDir;
    this.#onWarning = options.onWarning;
    this.adopted = adopted;
    this.maps = typedMaps(collection);
  }

  /** Whether a data plane is pinned under `pinDir`. */
  static exist(pinDir: string): boolean {
    return pinnedMaps.every((name) => fs.existsSync(path.join(pinDir, 'maps', name)));
  }

  /**
   * Loads the programs, on the maps that are pinned or on new ones. Attaches nothing. Throws a `BpfError` that
   * says what the kernel lacks, or with the verifier's log. Maps of another version's layout are replaced, and
   * a warning says that open connections are cut by it.
   */
  static open(options: OpenOptions): Programs {
    requireKernel(oldestKernel);
    ensureBpffs(fileSystemOf(options.pinDir));
    const mapsDir = path.join(options.pinDir, 'maps');
    fs.mkdirSync(mapsDir, { recursive: true, mode: 0o700 });
    fs.mkdirSync(path.join(options.pinDir, 'links'), { recursive: true, mode: 0o700 });
    const spec = CollectionSpec.fromFile(objectPath);
    setConstants(spec, options.constants);
    const adopted = Programs.exist(options.pinDir);
    const collection = loadOnto(spec, mapsDir, options.onWarning);
    for (const name of pinnedMaps) {
      const pin = path.join(mapsDir, name);
      if (!fs.existsSync(pin)) collection.map(name).pin(pin);
    }
    return new Programs(collection, options, adopted);
  }

  /** Attaches the three programs of the uplink. Returns XDP's mode, undefined if an earlier link was taken over. */
  attachUplink(ifindex: number, mode: XdpMode | 'auto'): XdpMode | undefined {
    // The handlers of what XDP passes up come first, so that nothing is stamped without a reader.
    this.#attachTcx('uplink_ingress', 'uplink_ingress', ifindex, 'ingress');
    this.#attachTcx('uplink_egress', 'uplink_egress', ifindex, 'egress');
    const program = this.#collection.program('uplink_xdp');
    const link = this.#ensureLink('uplink_xdp', program, ifindex, () =>
      attachXdp(program, ifindex, { mode, onWarning: this.#onWarning }),
    );
    return link.mode;
  }

  /** Attaches `mesh_ingress` to our end of a veth called `device`. */
  attachMesh(device: string, ifindex: number): void {
    this.#attachTcx(`mesh_ingress-${device}`, 'mesh_ingress', ifindex, 'ingress');
  }

  /** Forgets the link on a veth that is gone or about to go. */
  detachMesh(device: string): void {
    this.#dropLink(`mesh_ingress-${device}`);
  }

  /** Names of the devices that hold a pinned `mesh_ingress` link. */
  meshDevices(): string[] {
    const prefix = 'mesh_ingress-';
    return fs
      .readdirSync(path.join(this.#pinDir, 'links'))
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length));
  }

  /** A loaded program, for test runs. */
  program(name: string): BpfProgram {
    return this.#collection.program(name);
  }

  /** Detaches and unpins everything: the data plane stops. */
  remove(): void {
    for (const name of fs.readdirSync(path.join(this.#pinDir, 'links'))) this.#dropLink(name);
    this[Symbol.dispose]();
    fs.rmSync(this.#pinDir, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    for (const link of this.#links.values()) link[Symbol.dispose]();
    this.#links.clear();
    this.#collection[Symbol.dispose]();
  }

  #attachTcx(pin: string, programName: string, ifindex: number, direction: 'ingress' | 'egress'): void {
    const program = this.#collection.program(programName);
    this.#ensureLink(pin, program, ifindex, () => attachTcx(program, ifindex, direction));
  }

  /** The link pinned under `name`, with `program` in it; a new one if there is none or it is on another device. */
  #ensureLink(name: string, program: BpfProgram, ifindex: number, attach: () => BpfLink): BpfLink {
    const pin = path.join(this.#pinDir, 'links', name);
    this.#links.get(name)?.[Symbol.dispose]();
    this.#links.delete(name);
    if (fs.existsSync(pin)) {
      const link = openPinnedLink(pin);
      if (link.info().ifindex === ifindex) {
        link.update(program);
        this.#links.set(name, link);
        return link;
      }
      link[Symbol.dispose]();
      fs.rmSync(pin);
    }
    const link = attach();
    link.pin(pin);
    this.#links.set(name, link);
    return link;
  }

  #dropLink(name: string): void {
    const pin = path.join(this.#pinDir, 'links', name);
    const link = this.#links.get(name) ?? (fs.existsSync(pin) ? openPinnedLink(pin) : undefined);
    this.#links.delete(name);
    if (link === undefined) return;
    // A link whose device is gone is detached already, and says so.
    if ((link.info().ifindex ?? 0) !== 0) link.detach();
    link[Symbol.dispose]();
    fs.rmSync(pin, { force: true });
  }
}

/** The mount point that a pin directory lies on or is to lie on: its longest parent that exists, at least. */
function fileSystemOf(pinDir: string): string {
  let directory = pinDir;
  while (!fs.existsSync(directory)) directory = path.dirname(directory);
  return directory === pinDir ? path.dirname(pinDir) : directory;
}

function loadOnto(spec: CollectionSpec, mapsDir: string, onWarning: (message: string) => void): Collection {
  try {
    return spec.load({ reuseMaps: mapsDir });
  } catch (error) {
    if (!(error instanceof BpfError) || error.code !== 'MAP_INCOMPATIBLE') throw error;
    onWarning(
      `the maps of an earlier version have another layout (${error.message}): they are replaced, and connections whose endpoint is on this node are cut`,
    );
    for (const name of pinnedMaps) fs.rmSync(path.join(mapsDir, name), { force: true });
    return spec.load({ reuseMaps: mapsDir });
  }
}
