/** Run by dataplane-open.test.ts under `unshare --net --mount`: prints one line of JSON after each step. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ensureBpffs, unmountBpffs } from 'bpf-ts';
import { addresses, links, NetlinkSocket } from 'netlink-ts';
import { Dataplane, type DataplaneOptions } from '../../dataplane/dataplane.ts';

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'shoal-open-'));
const bpffs = path.join(directory, 'bpf');
fs.mkdirSync(bpffs);
ensureBpffs(bpffs);
const options: DataplaneOptions = {
  pinDir: path.join(bpffs, 'shoal'),
  dataDir: path.join(directory, 'data'),
  uplink: 'up0',
  xdpMode: 'auto',
  cluster: { id: 'test', meshPool: '10.248.0.0/13', tunnelPort: 4789, tunnelVni: 7 },
  self: { slot: 1, vtep: '192.0.2.1', meshAddress: '10.250.0.1' },
  onWarning: () => {},
};

using socket = NetlinkSocket.open();
await socket.request(links.create({ kind: 'veth', name: 'up0', up: true, peer: { name: 'down0' } }));
await socket.request(links.set('down0', { up: true }));
await socket.request(addresses.add({ link: 'up0', address: '192.0.2.1/24' }));

async function say(step: string, facts: { error?: string; adopted?: boolean } = {}): Promise<void> {
  const devices = (await socket.request(links.list())).map(({ name }) => name).sort();
  const pins = fs.existsSync(options.pinDir)
    ? fs.readdirSync(options.pinDir, { recursive: true }).sort()
    : [];
  const localnet = fs.readFileSync('/proc/sys/net/ipv4/conf/up0/route_localnet', 'utf8').trim();
  console.log(JSON.stringify({ step, ...facts, devices, pins, localnet }));
}

async function attempt(step: string, changes: Partial<DataplaneOptions>): Promise<Dataplane | undefined> {
  try {
    const dataplane = await Dataplane.open({ ...options, ...changes });
    await say(step, { adopted: dataplane.adopted });
    return dataplane;
  } catch (error) {
    await say(step, { error: (error as Error).message });
    return undefined;
  }
}

try {
  await say('before');
  await attempt('unknown uplink', { uplink: 'nic9' });
  // The loopback device has no native XDP.
  await attempt('no native XDP', { uplink: 'lo', xdpMode: 'native' });
  await socket.request(links.set('up0', { mac: '5a:53:00:00:00:01' }));
  await attempt('reserved address', {});
  await socket.request(links.set('up0', { mac: '02:00:00:00:00:01' }));
  const first = await attempt('made', {});
  first?.close();
  const second = await attempt('adopted', {});
  await second?.remove();
  await say('removed');
} finally {
  unmountBpffs(bpffs);
  fs.rmSync(directory, { recursive: true, force: true });
}
