/** What every contestant of a benchmark looks like. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../test/lab/lib/host.ts';
import type { EdgeLab } from '../../test/lab/lib/topology.ts';
import type { CpuPlan } from '../cpus.ts';

/** Ports on which the endpoint's own servers listen, on all its addresses. */
export const endpointPorts = { http: 80, bulk: 5201 } as const;
/** Ports at which a balancer offers them. */
export const publishedPorts = { http: 8080, bulk: 5201 } as const;

/** The topology of one repetition: client -> ingress -> endpoint, the endpoint's servers running. */
export interface BenchLab {
  readonly edge: EdgeLab;
  readonly client: Host;
  readonly ingress: Host;
  readonly endpoint: Host;
  readonly cpus: CpuPlan;
}

/** Where the client is to connect. */
export interface Target {
  readonly http: { readonly address: string; readonly port: number };
  readonly bulk: { readonly address: string; readonly port: number };
}

/** One way from the client to the endpoint. Each repetition gets a new one, in a new lab. */
export interface Contestant {
  setUp(lab: BenchLab): Promise<void>;
  target(): Target;
  tearDown(): Promise<void>;
}

/** A contestant by name. */
export interface ContestantKind {
  readonly name: string;
  /** What it is, for the report. */
  readonly about: string;
  /** Commands without which it cannot run. */
  readonly commands: readonly string[];
  create(): Contestant;
}

/** Where the balancers offer the two services: the ingress node's address. */
export function publishedAt(host: Host): Target {
  const address = host.requiredAddress;
  return { http: { address, port: publishedPorts.http }, bulk: { address, port: publishedPorts.bulk } };
}

/** Those of the commands that are not in PATH. */
export function missingCommands(commands: readonly string[]): string[] {
  const directories = (process.env.PATH ?? '').split(':').filter((directory) => directory !== '');
  const found = (command: string): boolean =>
    directories.some((directory) => {
      try {
        accessSync(join(directory, command), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
  return commands.filter((command) => !found(command));
}
