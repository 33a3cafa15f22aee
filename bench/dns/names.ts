/** The names that the suite `dns` asks for, and the files that tell every program of them. */
import { writeFileSync } from 'node:fs';
import type { Host } from '../../test/lab/lib/host.ts';

/** Ports of the servers, all on the loopback of one host. */
export const ports = { server: 5300, upstream: 5400 } as const;
/** Names of each kind. */
export const nameCount = 1_000;
/** Endpoints of every `tasks.` name. */
export const tasksPerService = 5;

const indexes = Array.from({ length: nameCount }, (_, index) => index);

/** VIP of a service by its index. */
export function vipOf(index: number): string {
  return `10.248.${(index + 1) >> 8}.${(index + 1) & 255}`;
}

/** Endpoint slots of a service by its index. */
export function slotsOf(index: number): number[] {
  return Array.from({ length: tasksPerService }, (_, task) => index * tasksPerService + task + 1);
}

/** Mesh address of an endpoint by its slot. */
export function endpointOf(slot: number): string {
  return `10.252.${slot >> 8}.${slot & 255}`;
}

export const serviceName = (index: number): string => `service${index}`;
const upstreamAddress = '192.0.2.1';
/** Zones of the upstream server: answers with TTL 0, and with one that lasts. */
const zones = { forwarded: 'forwarded.test', kept: 'kept.test' } as const;

/** What is asked in one measure. */
export interface Questions {
  /** File for dnsperf. */
  readonly path: string;
  /** A name to try first, and the addresses it must give. */
  readonly sample: { readonly name: string; readonly addresses: readonly string[] };
}

/** Files in the host's directory. */
export interface NameFiles {
  /** Local names in the form of hosts(5). */
  readonly hosts: string;
  /** Configuration of the upstream server (dnsmasq). */
  readonly upstream: string;
  readonly questions: Record<'local' | 'tasks' | 'forwarded' | 'kept', Questions>;
}

/** Writes all files. */
export function writeNames(host: Host): NameFiles {
  const write = (name: string, lines: readonly string[]): string => {
    const path = `${host.directory}/${name}`;
    writeFileSync(path, `${lines.join('\n')}\n`);
    return path;
  };
  const ask = (kind: string, nameOf: (index: number) => string, addresses: readonly string[]): Questions => ({
    path: write(
      `questions-${kind}`,
      indexes.map((index) => `${nameOf(index)} A`),
    ),
    sample: { name: nameOf(0), addresses },
  });
  return {
    hosts: write(
      'hosts',
      indexes.flatMap((index) => [
        `${vipOf(index)} ${serviceName(index)}.shoal`,
        ...slotsOf(index).map((slot) => `${endpointOf(slot)} tasks.${serviceName(index)}.shoal`),
      ]),
    ),
    upstream: write('upstream.conf', [
      `address=/${zones.forwarded}/${upstreamAddress}`,
      ...indexes.map((index) => `host-record=n${index}.${zones.kept},${upstreamAddress},300`),
    ]),
    questions: {
      local: ask('local', (index) => `${serviceName(index)}.shoal`, [vipOf(0)]),
      tasks: ask('tasks', (index) => `tasks.${serviceName(index)}.shoal`, slotsOf(0).map(endpointOf)),
      forwarded: ask('forwarded', (index) => `n${index}.${zones.forwarded}`, [upstreamAddress]),
      kept: ask('kept', (index) => `n${index}.${zones.kept}`, [upstreamAddress]),
    },
  };
}
