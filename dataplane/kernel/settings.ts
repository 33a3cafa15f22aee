/**
 * Kernel settings that the path needs, and their former values, kept in a file until they are put back: nothing
 * stays changed on the machine after `shoal leave`.
 */
import fs from 'node:fs';
import path from 'node:path';
import { sysctl } from 'netlink-ts';

/** Settings by key (`net/ipv4/...`). */
type Settings = Record<string, string>;

/**
 * What the uplink needs: route_localnet, since endpoints on 127.0.0.1 are served (uplink_xdp drops whatever claims
 * such an address on the wire); arp_announce, so that their replies do not ask for a neighbour in the name of
 * 127.0.0.1; forwarding, without which XDP is not given a next hop (bpf_fib_lookup).
 * Ports that NAT to plain addresses uses must not be handed out to sockets.
 */
export function uplinkSettings(uplink: string, natPorts: { first: number; count: number }): Settings {
  const device = uplink.replaceAll('/', '.');
  return {
    [`net/ipv4/conf/${device}/route_localnet`]: '1',
    [`net/ipv4/conf/${device}/arp_announce`]: '2',
    [`net/ipv4/conf/${device}/forwarding`]: '1',
    'net/ipv4/ip_local_reserved_ports': reserve(natPorts),
  };
}

function reserve(ports: { first: number; count: number }): string {
  const range = `${ports.first}-${ports.first + ports.count - 1}`;
  const now = sysctl.get('net/ipv4/ip_local_reserved_ports').trim();
  if (now === '' || now.split(',').includes(range)) return now === '' ? range : now;
  return `${now},${range}`;
}

/** Applies `settings`; the values before the first time are kept in `file`. */
export function applySettings(file: string, settings: Settings): void {
  const former = readFormer(file);
  for (const key of Object.keys(settings)) former[key] ??= sysctl.get(key).trim();
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const draft = `${file}.new`;
  fs.writeFileSync(draft, `${JSON.stringify(former, null, 2)}\n`, { mode: 0o600 });
  fs.renameSync(draft, file);
  for (const [key, value] of Object.entries(settings)) sysctl.set(key, value);
}

/** Puts the former values back and forgets them. A setting whose device is gone is left out. */
export function restoreSettings(file: string): void {
  for (const [key, value] of Object.entries(readFormer(file))) {
    try {
      sysctl.set(key, value);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  fs.rmSync(file, { force: true });
}

function readFormer(file: string): Settings {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')) as Settings;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new Error(`${file} does not hold the former kernel settings: ${(error as Error).message}`);
  }
}
