/** Takes away what a data plane that cannot be opened (any more) has left on the machine. */
import fs from 'node:fs';
import path from 'node:path';
import { NetlinkSocket } from 'netlink-ts';
import { removeAttachedDevice, removeMeshDevice } from './devices.ts';
import { restoreSettings } from './settings.ts';

/** Pins of the links on attached namespaces' devices begin so. */
const attachedLinkPrefix = 'mesh_ingress-shl';

/** Where the data plane keeps the kernel's former settings: there from its first change on, and until its removal. */
export function settingsFile(dataDir: string): string {
  return path.join(dataDir, 'kernel-settings.json');
}

/** Removes pins, devices and settings, as far as a data plane with these directories has made them. */
export async function removeLeftovers(pinDir: string, dataDir: string): Promise<void> {
  if (!fs.existsSync(settingsFile(dataDir))) return;
  using socket = NetlinkSocket.open();
  const linksDir = path.join(pinDir, 'links');
  const pins = fs.existsSync(linksDir) ? fs.readdirSync(linksDir) : [];
  // A link that nothing holds any more is detached by the kernel.
  fs.rmSync(pinDir, { recursive: true, force: true });
  for (const pin of pins.filter((name) => name.startsWith(attachedLinkPrefix))) {
    await removeAttachedDevice(socket, pin.slice('mesh_ingress-'.length));
  }
  await removeMeshDevice(socket);
  restoreSettings(settingsFile(dataDir));
}
