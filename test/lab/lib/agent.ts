/** A shoal agent on a host of the lab, and its command line and API as seen by a test. */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ExecResult, Host } from './host.ts';
import type { LabProcess } from './process.ts';

const ownProgram = fileURLToPath(new URL('../../../control/cli/shoal.ts', import.meta.url));
const startTimeout_ms = 20_000;
const requestTimeout_ms = 15_000;
const responseLimit_bytes = 16 * 1024 * 1024;

/** Options of an agent. */
export interface AgentOptions {
  /** Added to the agent's arguments. */
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** NIC that faces clients and nodes; `eth0` unless told. */
  readonly uplink?: string;
  /** Path of the `shoal.ts` to run, such as another version's; this repository's unless told. */
  readonly program?: string;
  /** How long it may take until it answers; 20 s unless told. */
  readonly timeout_ms?: number;
}

/** An HTTP answer of the agent's API. */
export interface ApiAnswer {
  readonly status: number;
  /** The parsed JSON. */
  readonly body: unknown;
}

/** Starts an agent and waits until its socket answers. @throws Error with its log if it does not */
export async function startAgent(host: Host, options: AgentOptions = {}): Promise<AgentHandle> {
  const agent = new AgentHandle(host, options);
  await agent.start();
  return agent;
}

/** One agent. Its data directory and socket stay the same over restarts. */
export class AgentHandle {
  readonly host: Host;
  readonly dataDirectory: string;
  readonly socket: string;
  /** Path of the `shoal.ts` that is run; change it before a restart to upgrade. */
  program: string;
  readonly #options: AgentOptions;
  #process: LabProcess | undefined;

  constructor(host: Host, options: AgentOptions) {
    this.host = host;
    this.dataDirectory = `${host.directory}/data`;
    this.socket = `${host.directory}/shoal.sock`;
    this.program = options.program ?? ownProgram;
    this.#options = options;
  }

  /** The running or last process. @throws Error if it was never started */
  get process(): LabProcess {
    if (this.#process === undefined) throw new Error(`the agent of ${this.host.name} was never started`);
    return this.#process;
  }

  /** Starts the agent and waits until it answers. */
  async start(): Promise<void> {
    if (this.#process !== undefined && this.#process.ending === undefined) {
      throw new Error(`the agent of ${this.host.name} is running`);
    }
    const args = [
      ...[this.program, 'agent', '--data-dir', this.dataDirectory, '--socket', this.socket],
      ...['--advertise-addr', this.host.requiredAddress, '--uplink', this.#options.uplink ?? 'eth0'],
      ...(this.#options.args ?? []),
    ];
    const env = this.#options.env === undefined ? {} : { env: this.#options.env };
    const started = this.host.spawn(process.execPath, args, { name: 'agent', ...env });
    this.#process = started;
    const deadline = performance.now() + (this.#options.timeout_ms ?? startTimeout_ms);
    while (!(await this.#answers())) {
      if (started.ending !== undefined) throw started.failure('ended at its start');
      if (performance.now() > deadline) throw started.failure(`does not answer on ${this.socket}`);
      await sleep(50);
    }
  }

  /**
   * Runs `shoal ARGS --format json` on the agent's host.
   * @returns the parsed output; undefined if the command prints nothing
   * @throws Error with the command's own message if it fails
   */
  async cli<T = unknown>(...args: string[]): Promise<T> {
    const result = await this.tryCli(...args, '--format', 'json');
    const line = `shoal ${args.join(' ')}`;
    if (result.code !== 0) {
      const said = `${result.stdout}${result.stderr}`.trim();
      throw new Error(`${this.host.name}: ${line} failed with ${result.code ?? result.signal}: ${said}`);
    }
    const output = result.stdout.trim();
    if (output === '') return undefined as T;
    try {
      return JSON.parse(output) as T;
    } catch {
      throw new Error(`${this.host.name}: ${line} did not print JSON but: ${output.slice(0, 500)}`);
    }
  }

  /** Runs the command line as it is and returns code and output, failed or not. */
  tryCli(...args: string[]): Promise<ExecResult> {
    return this.host.exec(process.execPath, [this.program, ...args], { env: { SHOAL_SOCKET: this.socket } });
  }

  /** Asks the API over the Unix socket: faster than a command. */
  api(method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    return new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const headers = payload === undefined ? {} : { 'content-type': 'application/json' };
      const options = { socketPath: this.socket, method, path, headers, timeout: requestTimeout_ms };
      const sent = request(options, (response) => {
        const chunks: Buffer[] = [];
        let size_bytes = 0;
        response.on('data', (chunk: Buffer) => {
          size_bytes += chunk.length;
          if (size_bytes > responseLimit_bytes)
            sent.destroy(new Error(`${method} ${path}: answer too large`));
          else chunks.push(chunk);
        });
        response.once('error', reject);
        response.once('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          try {
            resolve({ status: response.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) });
          } catch {
            reject(new Error(`${method} ${path}: not JSON: ${text.slice(0, 200)}`));
          }
        });
      });
      sent.once('timeout', () =>
        sent.destroy(new Error(`${method} ${path}: no answer in ${requestTimeout_ms} ms`)),
      );
      sent.once('error', reject);
      sent.end(payload);
    });
  }

  /** Sends a signal. `exited` of `process` tells when it has ended. */
  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  /** Ends the agent politely (SIGTERM), or at once with `SIGKILL`, and waits until it has. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.process.stop({ signal, timeout_ms: 10_000 });
  }

  /** Ends the agent as `stop` does and starts it on the same data. */
  async restart(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.stop(signal);
    await this.start();
  }

  /** The newest part of the running or last process's log. */
  logs(): string {
    return this.process.logs();
  }

  async #answers(): Promise<boolean> {
    try {
      return (await this.api('GET', '/v1/status')).status === 200;
    } catch {
      return false;
    }
  }
}
