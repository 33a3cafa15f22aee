/**
 * Counts the packets on the loopback device, by protocol. Run it as root in a network namespace of its own:
 *
 *     unshare --net node examples/count.ts
 *
 * The codec of `struct count` is written out below so that the example is one file; in a project, bpf-gen writes it.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { attachXdp, type Codec, CollectionSpec, requireKernel, u32 } from '../src/index.ts';

interface Count {
  packets: bigint;
  bytes: bigint;
}

const countCodec: Codec<Count> = {
  size: 16,
  encode(value, view, offset) {
    view.setBigUint64(offset, value.packets, true);
    view.setBigUint64(offset + 8, value.bytes, true);
  },
  decode: (view, offset) => ({
    packets: view.getBigUint64(offset, true),
    bytes: view.getBigUint64(offset + 8, true),
  }),
};

const LOOPBACK_IFINDEX = 1;
const UDP = 17;
const DATAGRAMS = 10;

function compile(directory: string): string {
  const out = path.join(directory, 'count.bpf.o');
  const source = path.join(import.meta.dirname, 'count.bpf.c');
  const compiler = spawnSync('clang-19', ['--version']).status === 0 ? 'clang-19' : 'clang';
  const headers = fs.readdirSync('/usr/include').filter((entry) => entry.endsWith('-linux-gnu'));
  const include = headers.map((entry) => `-I/usr/include/${entry}`);
  execFileSync(compiler, ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', ...include, '-c', source, '-o', out]);
  return out;
}

async function sendDatagrams(): Promise<void> {
  const socket = dgram.createSocket('udp4');
  for (let i = 0; i < DATAGRAMS; i++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.send('hello', 9999, '127.0.0.1', () => resolve());
    await promise;
  }
  socket.close();
}

requireKernel({ major: 5, minor: 15 });
const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'count-'));
try {
  const spec = CollectionSpec.fromFile(compile(directory));
  spec.setConstants({ min_bytes: 20 });
  // Each `using` closes what it holds at the end of this block: the link first, which detaches the program.
  using collection = spec.load();
  const onWarning = (message: string) => console.log(message);
  using link = attachXdp(collection.program('count_packets'), LOOPBACK_IFINDEX, { onWarning });
  console.log(`program ${link.info().programId} is attached in ${link.mode} mode`);
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  await sendDatagrams();
  const counts = collection.map('counts').typed(u32, countCodec);
  const udp = counts.lookupPerCpu(UDP) ?? [];
  const packets = udp.reduce((sum, count) => sum + count.packets, 0n);
  const bytes = udp.reduce((sum, count) => sum + count.bytes, 0n);
  console.log(`${packets} UDP packets, ${bytes} bytes`);
} finally {
  fs.rmSync(directory, { recursive: true });
}
