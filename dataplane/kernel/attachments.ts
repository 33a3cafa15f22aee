/** The attached namespaces of this node: makes the veths that the state asks for and takes away the others. */
import fs from 'node:fs';
import type { NetlinkSocket } from 'netlink-ts';
import type { MeshRanges } from '../addresses.ts';
import type { DesiredAttachment } from '../state/desired.ts';
import { ensureAttachedDevice, type MeshLink, removeAttachedDevice } from './devices.ts';
import type { Programs } from './programs.ts';

/** Name of the host's end of an attachment's veth: at most 15 characters, told apart by the end of the id. */
export function attachmentDevice(id: string): string {
  return `shl${id.replaceAll(/[^a-z0-9]/gi, '').slice(-11)}`;
}

/** A namespace that could not be attached, kept until it can be or is no longer wanted. */
export type AttachmentFailure = { readonly attachment: DesiredAttachment; readonly reason: string };

export class Attachments {
  readonly #socket: NetlinkSocket;
  readonly #programs: Programs;
  readonly #ranges: MeshRanges;
  readonly #links = new Map<string, { device: string; address: string; link: MeshLink }>();
  readonly #failures = new Map<string, AttachmentFailure>();

  constructor(socket: NetlinkSocket, programs: Programs, ranges: MeshRanges) {
    this.#socket = socket;
    this.#programs = programs;
    this.#ranges = ranges;
  }

  /** Namespaces that could not be attached, with the reason. */
  get failures(): readonly AttachmentFailure[] {
    return [...this.#failures.values()];
  }

  /** Veths by the attachment's address, as `compile` needs them. */
  get veths(): ReadonlyMap<string, MeshLink> {
    return new Map([...this.#links.values()].map(({ address, link }) => [address, link]));
  }

  /** Attaches what is wanted and is not attached yet; detaches the rest. One bad namespace holds up no other. */
  async reconcile(wanted: readonly DesiredAttachment[]): Promise<void> {
    const devices = new Set(wanted.map(({ id }) => attachmentDevice(id)));
    for (const device of this.#programs.meshDevices()) {
      if (device.startsWith('shl') && !devices.has(device)) await this.#detach(device);
    }
    this.#failures.clear();
    for (const attachment of wanted) {
      const known = this.#links.get(attachment.id);
      if (known !== undefined && fs.existsSync(`/sys/class/net/${known.device}`)) continue;
      try {
        await this.#attach(attachment);
      } catch (error) {
        this.#links.delete(attachment.id);
        this.#failures.set(attachment.id, { attachment, reason: (error as Error).message });
      }
    }
  }

  async #attach(attachment: DesiredAttachment): Promise<void> {
    const device = attachmentDevice(attachment.id);
    const link = await ensureAttachedDevice(
      this.#socket,
      device,
      attachment.netns,
      attachment.address,
      this.#ranges,
    );
    this.#programs.attachMesh(device, link.ifindex);
    this.#links.set(attachment.id, { device, address: attachment.address, link });
  }

  async #detach(device: string): Promise<void> {
    this.#programs.detachMesh(device);
    await removeAttachedDevice(this.#socket, device);
    for (const [id, known] of this.#links) if (known.device === device) this.#links.delete(id);
  }
}
