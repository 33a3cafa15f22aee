/**
 * The data plane of one node: devices, programs and maps in the kernel, kept as the desired state says.
 *
 * Closing it leaves everything forwarding; only `remove` takes it away.
 */
import { createHash } from 'node:crypto';
import type { XdpMode } from 'bpf-ts';
import { type Link, links, NetlinkSocket } from 'netlink-ts';
import { type MeshRanges, meshRanges } from './addresses.ts';
import { adoptedAllocation, readContents } from './kernel/adopt.ts';
import { applyChanges } from './kernel/apply.ts';
import { type AttachmentFailure, Attachments } from './kernel/attachments.ts';
import {
  ensureMeshDevice,
  hairpinAddress,
  type MeshLink,
  meshDevicePeer,
  removeAttachedDevice,
  removeMeshDevice,
  shareAddresses,
} from './kernel/devices.ts';
import { settingsFile } from './kernel/leftovers.ts';
import { natPorts, type ProgramConstants, Programs } from './kernel/programs.ts';
import { applySettings, restoreSettings, uplinkSettings } from './kernel/settings.ts';
import { type DropCounter, readDrops } from './observe/drops.ts';
import { type FlowRow, readFlows } from './observe/flows.ts';
import { type PacketCounts, readPackets } from './observe/packets.ts';
import type { Allocation } from './state/allocate.ts';
import { compile } from './state/compile.ts';
import type { DesiredState } from './state/desired.ts';
import { countChanges, difference } from './state/difference.ts';
import { emptyContents, type MapContents } from './state/map-contents.ts';

export type { AttachmentFailure, DropCounter, FlowRow, PacketCounts };

export type DataplaneOptions = {
  /** Directory of a BPF file system for the pins. */
  readonly pinDir: string;
  /** Directory for what must be put back at the end. */
  readonly dataDir: string;
  /** Name of the NIC that faces clients and other nodes. */
  readonly uplink: string;
  /** How XDP runs on it; `auto`: in the driver, else generic with a warning. */
  readonly xdpMode: XdpMode | 'auto';
  readonly cluster: {
    readonly id: string;
    readonly meshPool: string;
    readonly tunnelPort: number;
    readonly tunnelVni: number;
  };
  readonly self: { readonly slot: number; readonly vtep: string; readonly meshAddress: string };
  readonly onWarning: (message: string) => void;
};

/** What `shoal status` shows. */
export type DataplaneSummary = {
  uplink: string;
  xdpMode: string;
  adopted: boolean;
  frontends: number;
  endpoints: number;
  attachmentFailures: { netns: string; reason: string }[];
  packets: PacketCounts;
};

/** Ethernet addresses that begin so are the mesh's own (bpf/include/stamp.h). */
const reservedMacPrefix = '5a:53:';

export class Dataplane {
  readonly #options: DataplaneOptions;
  readonly #socket: NetlinkSocket;
  readonly #programs: Programs;
  readonly #attachments: Attachments;
  readonly #uplinkIfindex: number;
  readonly #xdpMode: string;
  /** What the maps hold. */
  #contents: MapContents;
  /** Undefined until the first state after adoption says which service has which frontend. */
  #allocation: Allocation | undefined;

  private constructor(
    options: DataplaneOptions,
    socket: NetlinkSocket,
    programs: Programs,
    ranges: MeshRanges,
    uplinkIfindex: number,
    xdpMode: string,
  ) {
    this.#options = options;
    this.#socket = socket;
    this.#programs = programs;
    this.#uplinkIfindex = uplinkIfindex;
    this.#xdpMode = xdpMode;
    this.#attachments = new Attachments(socket, programs, ranges);
    this.#contents = programs.adopted ? readContents(programs.maps) : emptyContents();
  }

  /**
   * Makes or adopts the data plane. Throws if the uplink does not exist or cannot be used, or with what the kernel
   * lacks; then nothing that was not there before stays behind.
   */
  static async open(options: DataplaneOptions): Promise<Dataplane> {
    const ranges = meshRanges(options.cluster.meshPool);
    await using cleanup = new AsyncDisposableStack();
    const socket = cleanup.use(NetlinkSocket.open());
    const uplink = await socket.request(links.get(options.uplink));
    if (uplink.mac?.startsWith(reservedMacPrefix)) {
      throw new Error(
        `uplink ${options.uplink} has the address ${uplink.mac}, and ${reservedMacPrefix}* is reserved for the mesh: give it another (ip link set ${options.uplink} address ...)`,
      );
    }
    const isNew = !Programs.exist(options.pinDir);
    if (isNew) {
      cleanup.defer(() => restoreSettings(settingsFile(options.dataDir)));
      cleanup.defer(() => removeMeshDevice(socket));
    }
    applySettings(settingsFile(options.dataDir), uplinkSettings(options.uplink, natPorts));
    const mesh = await ensureMeshDevice(socket, options.self.meshAddress, ranges);
    const programs = Programs.open({
      pinDir: options.pinDir,
      onWarning: options.onWarning,
      constants: constantsOf(options, ranges, uplink, mesh),
    });
    if (isNew) cleanup.defer(() => programs.remove());
    else cleanup.use(programs);
    programs.attachMesh(meshDevicePeer, mesh.ifindex);
    const mode = programs.attachUplink(uplink.index, options.xdpMode) ?? 'adopted';
    cleanup.move();
    return new Dataplane(options, socket, programs, ranges, uplink.index, mode);
  }

  /** True if the maps of an earlier process were taken over. */
  get adopted(): boolean {
    return this.#programs.adopted;
  }

  /** Namespaces that could not be attached. */
  get attachmentFailures(): readonly AttachmentFailure[] {
    return this.#attachments.failures;
  }

  /**
   * Makes the kernel hold what `state` asks for. Calls must not overlap. Returns how many map entries it changed.
   * Throws if the tables do not fit, or a `BpfError`.
   */
  async apply(state: DesiredState): Promise<number> {
    await this.#attachments.reconcile(state.attachments.filter(({ node }) => node === state.self));
    await shareAddresses(this.#socket, this.#options.self.meshAddress, state.sharedAddresses);
    this.#allocation ??= adoptedAllocation(this.#contents, state.services);
    const { contents, allocation } = compile(state, {
      facts: { uplinkIfindex: this.#uplinkIfindex, veths: this.#attachments.veths },
      allocation: this.#allocation,
      bucketCapacity: this.#programs.maps.buckets.info().maxEntries,
    });
    const changes = difference(this.#contents, contents);
    applyChanges(this.#programs.maps, changes);
    this.#contents = contents;
    this.#allocation = allocation;
    return countChanges(changes);
  }

  drops(): DropCounter[] {
    return readDrops(this.#programs.maps.drops);
  }

  packets(): PacketCounts {
    return readPackets(this.#programs.maps.packets);
  }

  /** At most `limit` connections of this node's endpoints. */
  flows(limit: number): { flows: FlowRow[]; total: number; limit: number } {
    return readFlows(this.#programs.maps.flows, limit, process.hrtime.bigint());
  }

  summary(): DataplaneSummary {
    return {
      uplink: this.#options.uplink,
      xdpMode: this.#xdpMode,
      adopted: this.adopted,
      frontends: this.#contents.frontendSlots.size,
      endpoints: this.#contents.endpoints.size,
      attachmentFailures: this.attachmentFailures.map(({ attachment, reason }) => ({
        netns: attachment.netns,
        reason,
      })),
      packets: this.packets(),
    };
  }

  /** Lets go of the kernel's objects, which stay and go on forwarding. */
  close(): void {
    this.#programs[Symbol.dispose]();
    this.#socket.close();
  }

  /** Takes everything away: programs, maps, devices, and puts the kernel's settings back. */
  async remove(): Promise<void> {
    const devices = this.#programs.meshDevices();
    this.#programs.remove();
    for (const device of devices)
      if (device !== meshDevicePeer) await removeAttachedDevice(this.#socket, device);
    await removeMeshDevice(this.#socket);
    restoreSettings(settingsFile(this.#options.dataDir));
    this.#socket.close();
  }
}

function constantsOf(
  options: DataplaneOptions,
  ranges: MeshRanges,
  uplink: Link,
  mesh: MeshLink,
): ProgramConstants {
  return {
    selfNode: options.self.slot,
    selfVtep: options.self.vtep,
    selfMeshAddress: options.self.meshAddress,
    hairpinAddress,
    tunnelPort: options.cluster.tunnelPort,
    tunnelVni: options.cluster.tunnelVni,
    uplinkIfindex: uplink.index,
    meshIfindex: mesh.ifindex,
    uplinkMtu_bytes: uplink.mtu_bytes,
    nodeRange: ranges.nodes,
    endpointRange: ranges.endpoints,
    hashSeed: hashSeed(options.cluster.id),
  };
}

/** The same on all nodes, and not to be guessed without the cluster's id. */
function hashSeed(clusterId: string): bigint {
  return createHash('sha256').update(`shoal flow hash ${clusterId}`).digest().readBigUInt64LE(0);
}
