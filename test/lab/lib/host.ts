/**
 * A host of a lab: a network, mount and host-name namespace of its own, with its own `/sys`, bpffs, cgroup,
 * `/etc/resolv.conf` and directory, so that a program inside sees a machine of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCgroup } from './cgroup.ts';
import { nameNamespace, namespacePath } from './network.ts';
import { LabProcess } from './process.ts';

/** Largest output that `exec` collects of each stream; what goes beyond is dropped and reported. */
export const execOutputLimit_bytes = 16 * 1024 * 1024;

const defaultExecTimeout_ms = 30_000;

/** Options of `Host.exec` and `Host.run`. */
export interface ExecOptions {
  /** Written to standard input, which is then closed. */
  readonly input?: string;
  /** The command is killed after that; 30 s unless told. */
  readonly timeout_ms?: number;
  /** Added to the environment. */
  readonly env?: NodeJS.ProcessEnv;
  /** Working directory; the lab's own process's unless told. */
  readonly cwd?: string;
}

/** What a command did. */
export interface ExecResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  /** Output beyond `execOutputLimit_bytes` that was dropped. */
  readonly dropped_bytes: number;
}

/** What makes a host. */
export interface HostSpec {
  /** Name in the lab and host name inside: `node1`. */
  readonly name: string;
  /** Name of its network namespace: `shoal-demo-node1`. */
  readonly namespace: string;
  readonly directory: string;
  readonly cgroup: string;
  /** Alias of the loopback device, which tells whose namespace this is. */
  readonly token: string;
  readonly ipv6: boolean;
  /** Name servers in its `/etc/resolv.conf`. */
  readonly resolvers: readonly string[];
}

/**
 * Sets the namespaces up and then stays, as that what they belong to. The cgroup is bound to a plain directory
 * first, because the new /sys hides where it came from.
 */
const holderScript = `set -e
echo $$ > "$LAB_CGROUP/cgroup.procs"
hostname "$LAB_HOST"
mount --bind "$LAB_CGROUP" "$LAB_DIRECTORY/cgroup"
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
mount --bind "$LAB_DIRECTORY/cgroup" /sys/fs/cgroup
[ ! -e /etc/resolv.conf ] || mount --bind "$LAB_DIRECTORY/resolv.conf" /etc/resolv.conf
if [ "$LAB_IPV6" = off ]; then
  for scope in all default; do
    [ ! -e /proc/sys/net/ipv6/conf/$scope ] || echo 1 > /proc/sys/net/ipv6/conf/$scope/disable_ipv6
  done
fi
ip link set lo alias "$LAB_TOKEN" up
echo ready
exec sleep infinity`;

/** Joins the host's cgroup, goes to the working directory and becomes the command. */
const enterScript = `echo $$ > /sys/fs/cgroup/cgroup.procs && cd "$1" && shift && exec "$@"`;

/** One host. Made by `Lab.addHost`. */
export class Host {
  readonly name: string;
  readonly namespace: string;
  /** The host's own directory, seen alike inside and outside. */
  readonly directory: string;
  /** The host's own cgroup as seen from outside; inside it is `/sys/fs/cgroup`. */
  readonly cgroup: string;
  /** Address of `eth0` without its prefix length, once linked. */
  address: string | undefined;
  /** Programs started with `spawn`, in order. */
  readonly processes: LabProcess[] = [];
  readonly #pid: number;

  private constructor(spec: HostSpec, pid: number) {
    this.name = spec.name;
    this.namespace = spec.namespace;
    this.directory = spec.directory;
    this.cgroup = spec.cgroup;
    this.#pid = pid;
  }

  /** Makes the namespaces. @throws Error if the network namespace's name is taken, or for want of rights */
  static async create(spec: HostSpec): Promise<Host> {
    mkdirSync(join(spec.directory, 'cgroup'), { recursive: true });
    makeCgroup(spec.cgroup);
    writeResolvConf(spec.directory, spec.resolvers);
    const unshare = ['--net', '--mount', '--uts', '--propagation', 'slave'];
    const holder = spawn('unshare', [...unshare, '/bin/sh', '-c', holderScript], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        LAB_CGROUP: spec.cgroup,
        LAB_DIRECTORY: spec.directory,
        LAB_HOST: spec.name,
        LAB_IPV6: spec.ipv6 ? 'on' : 'off',
        LAB_TOKEN: spec.token,
      },
    });
    const pid = await holderReady(holder, spec.name);
    nameNamespace(spec.namespace, pid);
    return new Host(spec, pid);
  }

  /** `/run/netns/shoal-demo-node1`. */
  get netnsPath(): string {
    return namespacePath(this.namespace);
  }

  /** A process that lives in the host's namespaces as long as it does: what `--pid` options want. */
  get pid(): number {
    return this.#pid;
  }

  /** The host's bpffs as seen from outside; inside it is `/sys/fs/bpf`. */
  get bpffsPath(): string {
    return `/proc/${this.#pid}/root/sys/fs/bpf`;
  }

  /** Address of `eth0`. @throws Error if the host is not linked */
  get requiredAddress(): string {
    if (this.address === undefined) throw new Error(`host ${this.name} has no address: link it first`);
    return this.address;
  }

  /** Replaces the host's `/etc/resolv.conf`. */
  setResolvers(resolvers: readonly string[]): void {
    writeResolvConf(this.directory, resolvers);
  }

  /** The command line that runs `command` inside, for a person to copy. */
  commandLine(command: string): string {
    return `nsenter --target ${this.#pid} --net --mount --uts ${command}`;
  }

  /** Runs a command to its end. An exit code other than 0 is a result, not an error. */
  async exec(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
    const child = this.#start(command, args, ['pipe', 'pipe', 'pipe'], options);
    return collect(child, options);
  }

  /**
   * Runs a command to its end and returns its standard output.
   * @throws Error with the command, its exit code and its output if it fails
   */
  async run(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<string> {
    const result = await this.exec(command, args, options);
    if (result.code === 0) return result.stdout;
    const how = result.timedOut ? 'took too long' : `failed with ${result.code ?? result.signal}`;
    const output = [result.stdout, result.stderr].map((text) => text.trim()).filter((text) => text !== '');
    throw new Error(
      `${this.name}: ${[command, ...args].join(' ')} ${how}: ${output.join('\n') || '(no output)'}`,
    );
  }

  /**
   * Starts a program that goes on running; the lab kills it at its end.
   * @param options.name names the log file; the command's own name unless told
   */
  spawn(
    command: string,
    args: readonly string[] = [],
    options: Omit<ExecOptions, 'input' | 'timeout_ms'> & { readonly name?: string } = {},
  ): LabProcess {
    const name = options.name ?? command.slice(command.lastIndexOf('/') + 1);
    const logPath = this.#freeLogPath(name);
    // Straight to the file: no pipe that breaks when the lab's own process dies first.
    const log = openSync(logPath, 'a');
    try {
      const child = this.#start(command, args, ['ignore', log, log], options);
      const started = new LabProcess(child, `${this.name}: ${name}`, logPath);
      this.processes.push(started);
      return started;
    } finally {
      closeSync(log);
    }
  }

  #start(
    command: string,
    args: readonly string[],
    stdio: ('pipe' | 'ignore' | number)[],
    options: ExecOptions,
  ): ChildProcess {
    const enter = ['--target', String(this.#pid), '--net', '--mount', '--uts', '/bin/sh', '-c', enterScript];
    return spawn('nsenter', [...enter, 'sh', options.cwd ?? process.cwd(), command, ...args], {
      detached: true,
      stdio,
      env: { ...process.env, ...options.env },
    });
  }

  #freeLogPath(name: string): string {
    for (let number = 1; ; number++) {
      const path = join(this.directory, `${name}${number === 1 ? '' : `-${number}`}.log`);
      if (!existsSync(path)) return path;
    }
  }
}

function writeResolvConf(directory: string, resolvers: readonly string[]): void {
  const lines = resolvers.map((resolver) => `nameserver ${resolver}\n`);
  writeFileSync(join(directory, 'resolv.conf'), lines.join(''));
}

/** Waits for the holder's word; returns its pid and lets the event loop forget it. */
function holderReady(holder: ChildProcess, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let said = '';
    const fail = (why: string): void =>
      reject(new Error(`cannot make the namespaces of host '${name}': ${said.trim() || why}`));
    holder.once('error', (error) => fail(error.message));
    holder.once('exit', (code) => fail(`exit code ${code}`));
    holder.stderr?.on('data', (data: Buffer) => {
      said += data.toString();
    });
    holder.stdout?.once('data', () => {
      const { pid } = holder;
      if (pid === undefined) return fail('no process');
      holder.removeAllListeners('exit');
      holder.stdout?.destroy();
      holder.stderr?.destroy();
      holder.unref();
      resolve(pid);
    });
  });
}

function collect(child: ChildProcess, options: ExecOptions): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    let timedOut = false;
    let dropped_bytes = 0;
    const gather = (stream: NodeJS.ReadableStream | null): Buffer[] => {
      const chunks: Buffer[] = [];
      let size_bytes = 0;
      stream?.on('data', (chunk: Buffer) => {
        const room_bytes = Math.max(0, execOutputLimit_bytes - size_bytes);
        chunks.push(chunk.subarray(0, room_bytes));
        size_bytes += Math.min(chunk.length, room_bytes);
        dropped_bytes += Math.max(0, chunk.length - room_bytes);
      });
      return chunks;
    };
    const stdout = gather(child.stdout);
    const stderr = gather(child.stderr);
    const timer = setTimeout(() => {
      timedOut = true;
      if (child.pid !== undefined) killGroup(child.pid);
    }, options.timeout_ms ?? defaultExecTimeout_ms);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({
        code,
        signal,
        stdout: Buffer.concat(stdout).toString('utf8'),
        stderr: Buffer.concat(stderr).toString('utf8'),
        timedOut,
        dropped_bytes,
      });
    });
    // A command that does not read its input closes it early; its exit code tells the story.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
