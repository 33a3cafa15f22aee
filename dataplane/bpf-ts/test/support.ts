/** What the tests share: compiling fixtures, temporary directories, network namespaces of their own. */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setNetworkNamespace } from '../src/ffi.ts';

const FIXTURES = path.join(import.meta.dirname, 'fixtures');

/** A temporary directory that goes away when disposed. */
export function temporaryDirectory(): Disposable & { path: string } {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'bpf-ts-'));
  return { path: directory, [Symbol.dispose]: () => fs.rmSync(directory, { recursive: true, force: true }) };
}

/** Compiles a C fixture for eBPF; returns the object file's path. */
export function compileFixture(name: string, directory: string): string {
  const out = path.join(directory, `${name}.bpf.o`);
  const compiler = ['clang-19', 'clang'].find((each) => spawnSync(each, ['--version']).status === 0);
  if (compiler === undefined) throw new Error('clang is not installed: apt install clang');
  // asm/types.h lies in the directory of the machine's architecture on Debian.
  const multiarch = fs.readdirSync('/usr/include').filter((entry) => entry.endsWith('-linux-gnu'));
  const include = multiarch.map((entry) => `-I/usr/include/${entry}`);
  const source = path.join(FIXTURES, `${name}.bpf.c`);
  execFileSync(compiler, ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', ...include, '-c', source, '-o', out]);
  return out;
}

/** Runs ip(8). */
export function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', timeout: 20_000 });
}

/** Two namespaces joined by a veth pair; both are removed when disposed. */
export class VethPair {
  readonly near: string;
  readonly far: string;
  readonly nearIfindex: number;
  static readonly nearAddress = '192.0.2.1';
  static readonly farAddress = '192.0.2.2';

  constructor(label: string) {
    this.near = `shoal-bpfts-${process.pid}-${label}a`;
    this.far = `shoal-bpfts-${process.pid}-${label}b`;
    ip('netns', 'add', this.near);
    try {
      ip('netns', 'add', this.far);
      ip('-n', this.near, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v0', 'netns', this.far);
      ip('-n', this.near, 'addr', 'add', `${VethPair.nearAddress}/24`, 'dev', 'v0');
      ip('-n', this.far, 'addr', 'add', `${VethPair.farAddress}/24`, 'dev', 'v0');
      for (const name of [this.near, this.far]) {
        ip('-n', name, 'link', 'set', 'lo', 'up');
        ip('-n', name, 'link', 'set', 'v0', 'up');
      }
      const [device] = JSON.parse(ip('-n', this.near, '-j', 'link', 'show', 'dev', 'v0')) as [
        { ifindex: number },
      ];
      this.nearIfindex = device.ifindex;
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Runs `body` with this thread in the near namespace. */
  inside<T>(body: () => T): T {
    const home = fs.openSync('/proc/thread-self/ns/net', 'r');
    const target = fs.openSync(`/run/netns/${this.near}`, 'r');
    try {
      if (setNetworkNamespace(target) < 0) throw new Error(`cannot enter ${this.near}`);
      return body();
    } finally {
      setNetworkNamespace(home);
      fs.closeSync(target);
      fs.closeSync(home);
    }
  }

  /** Sends UDP datagrams from the far side to the near one, past ARP, which may fail under a dropping program. */
  send(count = 1): void {
    const near = ip('-n', this.near, '-j', 'link', 'show', 'dev', 'v0');
    const [device] = JSON.parse(near) as [{ address: string }];
    ip('-n', this.far, 'neigh', 'replace', VethPair.nearAddress, 'lladdr', device.address, 'dev', 'v0');
    const script = `for i in $(seq ${count}); do echo x > /dev/udp/${VethPair.nearAddress}/9; done`;
    execFileSync('ip', ['netns', 'exec', this.far, 'bash', '-c', script], { timeout: 20_000 });
  }

  [Symbol.dispose](): void {
    for (const name of [this.near, this.far]) spawnSync('ip', ['netns', 'del', name]);
  }
}

/** Waits until `done` holds, polling; at most ten seconds. Returns whether it did. */
export async function eventually(done: () => boolean): Promise<boolean> {
  for (let i = 0; i < 500; i++) {
    if (done()) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return done();
}
