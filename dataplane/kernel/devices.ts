/**
 * The devices that shoal makes: one veth pair that puts the node itself on the mesh, and one per attached
 * namespace. Making one that exists is no error, and taking away one that is gone neither.
 *
 * The programs deliver by device and address, not by ARP, so every route points at one gateway address with a
 * fixed neighbour entry, and no address resolution happens on these links.
 */
import fs from 'node:fs';
import {
  addresses,
  type Link,
  links,
  NetlinkError,
  NetlinkSocket,
  neighbours,
  netns,
  routes,
  rules,
  sysctl,
} from 'netlink-ts';
import { formatIpv4, type MeshRanges, type Prefix } from '../addresses.ts';

/** The node's end of its own mesh device; the programs run on the other. */
export const meshDevice = 'shoal0';
export const meshDevicePeer = 'shoal1';
/** Name of the device inside an attached namespace. */
export const attachedDevice = 'shoal0';

/** First hop of every attached namespace. Link-local (RFC 3927), and the same everywhere. */
const gateway = '169.254.1.1';
const gatewayMac = '02:53:48:4f:41:4c';
/**
 * Source of connections from the node to an endpoint of its own: an address that is not the node's, so that the
 * answer comes back through the programs.
 */
export const hairpinAddress = '169.254.1.2';

/** In an attached namespace: the routing table for what is sent from its mesh address, and its rule's priority. */
const replyTable = 4789;
const replyRulePriority = 4789;

/** What the programs must know of a device of ours. */
export type MeshLink = {
  /** The end on which the programs run. */
  readonly ifindex: number;
  /** Ethernet address of the other end. */
  readonly mac: Uint8Array;
};

/** Puts the node itself on the mesh, with `address`. Returns the end on which `mesh_ingress` belongs. */
export async function ensureMeshDevice(
  socket: NetlinkSocket,
  address: string,
  ranges: MeshRanges,
): Promise<MeshLink> {
  if ((await findLink(socket, meshDevicePeer)) === undefined) {
    await socket.request(
      links.create({
        kind: 'veth',
        name: meshDevice,
        noArp: true,
        peer: { name: meshDevicePeer, noArp: true },
      }),
    );
  }
  for (const device of [meshDevice, meshDevicePeer]) {
    quietDevice(device);
    await socket.request(links.set(device, { up: true }));
  }
  await socket.request(addresses.replace({ link: meshDevice, address: `${address}/32` }));
  const destinations = [ranges.vips, ranges.networks, ranges.nodes, ranges.endpoints].map(prefixText);
  for (const destination of [...destinations, `${hairpinAddress}/32`]) {
    await socket.request(
      routes.replace({ destination, link: meshDevice, preferredSource: address, scope: 'link' }),
    );
  }
  return meshLink(socket, meshDevicePeer, await socket.request(links.get(meshDevice)));
}

/** Gives the node's mesh device `wanted` besides its own address, and takes other ones away. */
export async function shareAddresses(
  socket: NetlinkSocket,
  own: string,
  wanted: readonly string[],
): Promise<void> {
  const present = await socket.request(addresses.list({ link: meshDevice, family: 'inet' }));
  const held = new Set(present.map(({ address }) => address));
  for (const address of wanted) {
    if (!held.has(address)) {
      await socket.request(addresses.replace({ link: meshDevice, address: `${address}/32` }));
    }
  }
  for (const address of held) {
    if (address === own || wanted.includes(address)) continue;
    await ignoring(
      ['EADDRNOTAVAIL'],
      socket.request(addresses.remove({ link: meshDevice, address: `${address}/32` })),
    );
  }
}

/** Takes the node off the mesh. */
export async function removeMeshDevice(socket: NetlinkSocket): Promise<void> {
  await ignoring(['ENODEV'], socket.request(links.remove(meshDevicePeer)));
}

/**
 * Brings the namespace at `netnsPath` onto the mesh with `address`, by a veth whose end here is called `name`.
 * Throws a `NetlinkError` or a system error that names the path if the namespace cannot be opened.
 */
export async function ensureAttachedDevice(
  socket: NetlinkSocket,
  name: string,
  netnsPath: string,
  address: string,
  ranges: MeshRanges,
): Promise<MeshLink> {
  using namespace = netns.open(netnsPath);
  using inside = NetlinkSocket.open({ netns: namespace });
  if ((await findLink(socket, name)) === undefined) {
    await socket.request(
      links.create({ kind: 'veth', name, peer: { name: attachedDevice, netns: namespace } }),
    );
  }
  quietDevice(name);
  // The alias tells whoever detaches it, perhaps another process, where the other end is.
  await socket.request(links.set(name, { up: true, alias: netnsPath }));
  const peer = await inside.request(links.get(attachedDevice));
  await inside.request(links.set('lo', { up: true }));
  await inside.request(links.set(attachedDevice, { up: true }));
  await inside.request(addresses.replace({ link: attachedDevice, address: `${address}/32` }));
  await inside.request(neighbours.replace({ link: attachedDevice, address: gateway, mac: gatewayMac }));
  await inside.request(routes.replace({ destination: `${gateway}/32`, link: attachedDevice, scope: 'link' }));
  for (const range of [ranges.vips, ranges.networks, ranges.nodes, ranges.endpoints]) {
    await inside.request(
      routes.replace({
        destination: prefixText(range),
        gateway,
        link: attachedDevice,
        onlink: true,
        preferredSource: address,
      }),
    );
  }
  // Replies to clients anywhere leave the way that they came, whatever default route the namespace has.
  sysctl.set(`net/ipv4/conf/${attachedDevice}/rp_filter`, 0, { netns: namespace });
  await inside.request(
    routes.replace({
      destination: 'default',
      gateway,
      link: attachedDevice,
      onlink: true,
      table: replyTable,
    }),
  );
  await ignoring(['EEXIST'], inside.request(rules.add(replyRule(address))));
  const here = await socket.request(links.get(name));
  return { ifindex: here.index, mac: parseMac(peer.mac) };
}

function replyRule(address: string) {
  return { source: `${address}/32`, table: replyTable, priority: replyRulePriority };
}

/** Takes an attached namespace off the mesh; its end goes with ours. */
export async function removeAttachedDevice(socket: NetlinkSocket, name: string): Promise<void> {
  const link = await findLink(socket, name);
  if (link === undefined) return;
  if (link.alias !== undefined) await removeReplyRules(link.alias);
  await ignoring(['ENODEV'], socket.request(links.remove(name)));
}

/** Removes the rules that attaching made. A namespace that is gone has none. */
async function removeReplyRules(netnsPath: string): Promise<void> {
  if (!fs.existsSync(netnsPath)) return;
  using inside = NetlinkSocket.open({ netns: netnsPath });
  for (const { address } of await inside.request(addresses.list({ link: attachedDevice, family: 'inet' }))) {
    await ignoring(['ENOENT'], inside.request(rules.remove(replyRule(address))));
  }
}

/** The link of that name, or undefined. */
export async function findLink(socket: NetlinkSocket, name: string): Promise<Link | undefined> {
  return ignoring(['ENODEV'], socket.request(links.get(name)));
}

/** No IPv6 autoconfiguration on links that carry none, and no source checks where the programs have made them. */
function quietDevice(name: string): void {
  sysctl.set(`net/ipv6/conf/${name}/disable_ipv6`, 1);
  sysctl.set(`net/ipv4/conf/${name}/rp_filter`, 0);
  sysctl.set(`net/ipv4/conf/${name}/route_localnet`, 1);
}

async function meshLink(socket: NetlinkSocket, name: string, other: Link): Promise<MeshLink> {
  const link = await socket.request(links.get(name));
  return { ifindex: link.index, mac: parseMac(other.mac) };
}

function prefixText(prefix: Prefix): string {
  return `${formatIpv4(prefix.base)}/${prefix.length}`;
}

function parseMac(text: string | undefined): Uint8Array {
  if (text === undefined) throw new Error('a veth has no Ethernet address');
  return Uint8Array.from(text.split(':'), (octet) => Number.parseInt(octet, 16));
}

async function ignoring<T>(codes: readonly string[], request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (error instanceof NetlinkError && codes.includes(error.code)) return undefined;
    throw error;
  }
}
