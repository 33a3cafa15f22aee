/**
 * What an agent needs of its machine, looked at before it changes anything: each thing that is missing is one error
 * that names it, the value and the way out.
 */
import dgram from 'node:dgram';
import fs from 'node:fs';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { isBpffs, requireKernel } from 'bpf-ts';
import { meshDevice } from '../../dataplane/kernel/devices.ts';
import { settingsFile } from '../../dataplane/kernel/leftovers.ts';
import type { AgentConfig } from './config.ts';
import { dnsPort } from './resolvers.ts';

/** Oldest kernel that the data plane runs on. */
const oldestKernel = { major: 6, minor: 1 };

/** Before an agent starts. Throws an Error. */
export async function checkMachine(config: AgentConfig): Promise<void> {
  try {
    requireKernel(oldestKernel);
  } catch (error) {
    throw new Error(`this agent cannot run here: ${(error as Error).message}`, { cause: error });
  }
  checkBpfDir(config.bpfDir);
  checkMeshDevice(config, networkInterfaces());
  await checkControlPort(config);
}

/** Before a node enters a cluster, on top: what a running agent only asks for then. Throws an Error. */
export async function checkEntry(config: AgentConfig): Promise<void> {
  checkMeshDevice(config, networkInterfaces());
  await checkControlPort(config);
  await checkDnsAddress(config.dns.address);
}

/** Throws unless `bpfDir` lies on a BPF file system, or where one can be mounted. */
export function checkBpfDir(bpfDir: string): void {
  let existing = bpfDir;
  while (!fs.existsSync(existing)) existing = path.dirname(existing);
  if (isBpffs(existing)) {
    // bpf_lookup() of kernel/bpf/inode.c keeps names with a dot to itself.
    if (!path.basename(bpfDir).includes('.')) return;
    throw new Error(`--bpf-dir ${bpfDir}: a BPF file system takes no name with a dot in it; choose another`);
  }
  if (fs.statSync(existing).isDirectory() && fs.readdirSync(existing).length === 0) return;
  throw new Error(
    `--bpf-dir ${bpfDir} is not on a BPF file system: name a folder below one, such as /sys/fs/bpf/shoal, or mount one there (mount -t bpf bpf DIR)`,
  );
}

/** Throws if the mesh's device is there and was not made by an agent with this data folder. */
export function checkMeshDevice(config: AgentConfig, interfaces: NodeJS.Dict<unknown>): void {
  if (!(meshDevice in interfaces) || fs.existsSync(settingsFile(config.dataDir))) return;
  throw new Error(
    `this network namespace has a device ${meshDevice} that no agent with --data-dir ${config.dataDir} has made: ` +
      'one agent runs in a network namespace. If none does any more, remove what is left: ' +
      `ip link delete ${meshDevice}; rm -r ${config.bpfDir}`,
  );
}

/** Throws if the port that other nodes reach this one at is taken. */
async function checkControlPort({ advertiseAddress, controlPort }: AgentConfig): Promise<void> {
  await probe(listenTcp(advertiseAddress, controlPort), (reason) => {
    const port = `control port ${advertiseAddress}:${controlPort}`;
    return `${port} cannot be listened on: ${reason(controlPort, '--control-port')}`;
  });
}

/** Throws if names cannot be answered on `address`. */
async function checkDnsAddress(address: string): Promise<void> {
  for (const [transport, open] of [
    ['UDP', bindUdp],
    ['TCP', listenTcp],
  ] as const) {
    await probe(open(address, dnsPort), (reason) => {
      return `names cannot be answered on ${address}:${dnsPort} (${transport}): ${reason(dnsPort, '--dns-addr')}`;
    });
  }
}

/** Waits for what is tried, and words its failure: `describe` is given what makes a reason of it. */
async function probe(
  opened: Promise<void>,
  describe: (reason: (port: number, flag: string) => string) => string,
): Promise<void> {
  try {
    await opened;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = (port: number, flag: string): string =>
      code === 'EADDRINUSE'
        ? `another program listens there; end it (ss -lnp 'sport = ${port}' shows it), or start the agent with another ${flag}`
        : message;
    throw new Error(describe(reason), { cause: error });
  }
}

/** Takes the port for a moment. */
function bindUdp(address: string, port: number): Promise<void> {
  const socket = dgram.createSocket('udp4');
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve()));
  });
}

/** Takes the port for a moment. */
function listenTcp(host: string, port: number): Promise<void> {
  const server = net.createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()));
  });
}
