/** The name servers that the suite `dns` compares, and the one that both ask for other names. */
import { fileURLToPath } from 'node:url';
import type { Host } from '../../test/lab/lib/host.ts';
import type { LabProcess } from '../../test/lab/lib/process.ts';
import { pinned } from '../cpus.ts';
import { type NameFiles, ports } from './names.ts';

/** A name server by name. */
export interface NameServerKind {
  readonly name: string;
  readonly about: string;
  readonly commands: readonly string[];
  start(host: Host, files: NameFiles, cpus: readonly number[]): LabProcess;
}

const program = fileURLToPath(new URL('./shoal-server.ts', import.meta.url));
const loopback = '127.0.0.1';
/** Room for all names that may be kept, and for all questions that dnsperf has open. */
const capacity = ['--cache-size=10000', '--dns-forward-max=1000'];

function dnsmasqArguments(port: number, more: readonly string[]): string[] {
  return [
    ...['--keep-in-foreground', '--user=root', '--no-resolv', '--no-hosts', '--bind-interfaces'],
    ...[`--listen-address=${loopback}`, `--port=${port}`, '--pid-file'],
    ...capacity,
    ...more,
  ];
}

export const dnsmasq: NameServerKind = {
  name: 'dnsmasq',
  about: 'dnsmasq, local names from a hosts file',
  commands: ['dnsmasq'],
  start(host, files, cpus) {
    const names = ['--conf-file=/dev/null', `--addn-hosts=${files.hosts}`];
    const args = dnsmasqArguments(ports.server, [...names, `--server=${loopback}#${ports.upstream}`]);
    return host.spawn(...pinned(cpus, 'dnsmasq', args), { name: 'dnsmasq' });
  },
};

export const shoal: NameServerKind = {
  name: 'shoal',
  about: "shoal's name server in a process of its own",
  commands: [],
  start(host, _files, cpus) {
    return host.spawn(...pinned(cpus, process.execPath, [program]), { name: 'shoal-dns' });
  },
};

/** Commands of the upstream server. */
export const upstreamCommands = ['dnsmasq'] as const;

/** Starts the upstream server of both. */
export function startUpstream(host: Host, files: NameFiles, cpus: readonly number[]): LabProcess {
  const args = dnsmasqArguments(ports.upstream, [`--conf-file=${files.upstream}`]);
  return host.spawn(...pinned(cpus, 'dnsmasq', args), { name: 'upstream' });
}
