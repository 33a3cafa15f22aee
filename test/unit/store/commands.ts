/** Commands for tests of the store, and a random stream of them. */
import type { Command, NewEndpoint, NewPublish } from '../../../control/store/commands.ts';
import { defaultHealthCheck, type Role } from '../../../control/store/objects.ts';
import type { State } from '../../../control/store/state.ts';

/** A small generator of random numbers (mulberry32), so that a failing run can be repeated from its seed. */
export function seededRandom(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function newNode(number: number, role: Role = number <= 3 ? 'manager' : 'worker') {
  return {
    id: `node-000${number}`,
    name: `n${number}`,
    role,
    raftId: role === 'manager' ? number : 0,
    advertiseAddress: `192.0.2.${number}`,
    controlPort: 2377,
    addresses: [`192.0.2.${number}`],
    createdAt_ms: 1_000,
  };
}

export function initCommand(): Command {
  return {
    type: 'cluster.init',
    cluster: {
      id: 'cluster-0001',
      createdAt_ms: 1_000,
      meshPool: '10.248.0.0/13',
      tunnelPort: 4789,
      tunnelVni: 256,
      caCertificate: 'certificate',
      caKey: 'key-of-the-root',
      joinSecrets: { manager: 'm'.repeat(25), worker: 'w'.repeat(25) },
    },
    node: newNode(1),
  };
}

export function publish(published: number, more: Partial<NewPublish> = {}): NewPublish {
  return { address: null, published, target: null, protocol: 'tcp', ...more };
}

export function endpoint(number: number, nodeId: string | null = null): NewEndpoint {
  return { id: `endpoint-${number}`, address: `198.51.100.${number}`, port: 8_080, nodeId };
}

export function createCommand(
  name: string,
  more: Partial<Extract<Command, { type: 'service.create' }>> = {},
) {
  return {
    type: 'service.create' as const,
    id: `service-${name}`,
    name,
    vip: 'auto' as const,
    publishes: [],
    hosts: [],
    check: defaultHealthCheck,
    endpoints: [],
    at_ms: 1_000,
    ...more,
  };
}

function pick<T>(random: () => number, values: readonly T[]): T | undefined {
  return values[Math.floor(random() * values.length)];
}

/** A random command, valid in form, that may or may not be refused in the present state. */
export function randomCommand(random: () => number, serial: number, state: State): Command {
  const service = pick(random, state.list('service'));
  const node = pick(random, state.list('node'));
  const nodeId = random() < 0.3 ? null : (node?.id ?? null);
  const ports = () =>
    random() < 0.5
      ? []
      : [
          publish(80 + Math.floor(random() * 12), {
            protocol: pick(random, ['tcp', 'udp', 'http', 'tls'] as const) ?? 'tcp',
          }),
        ];
  const hosts = () => (random() < 0.5 ? [] : [`h${Math.floor(random() * 4)}.example.com`]);
  const endpoints = (count: number) =>
    Array.from({ length: count }, (_, position) => ({
      id: `endpoint-${serial}-${position}`,
      address: `198.51.100.${1 + Math.floor(random() * 30)}`,
      port: 8_080,
      nodeId,
    }));
  const kinds: (() => Command)[] = [
    () =>
      createCommand(`s${serial % 15}`, {
        id: `service-${serial}`,
        vip: pick(random, ['auto', null, '203.0.113.9']) ?? null,
        publishes: ports(),
        hosts: hosts(),
        endpoints: endpoints(2),
      }),
    () => ({ type: 'service.update', ref: service?.id ?? 'none', endpointAdd: endpoints(2), at_ms: serial }),
    () => ({
      type: 'service.update',
      ref: service?.name ?? 'none',
      publishAdd: ports(),
      hostAdd: hosts(),
      ...(random() < 0.2 ? { version: serial } : {}),
      at_ms: serial,
    }),
    () => {
      const victim = pick(random, service === undefined ? [] : state.endpointsOf(service.id));
      const endpointRemove = victim === undefined ? [] : [{ address: victim.address, port: victim.port }];
      return { type: 'service.update', ref: service?.id ?? 'none', endpointRemove, at_ms: serial };
    },
    () => {
      const victim = service?.publishes[0];
      const publishRemove =
        victim === undefined
          ? []
          : [{ address: victim.address, published: victim.published, protocol: victim.protocol }];
      return { type: 'service.update', ref: service?.id ?? 'none', publishRemove, at_ms: serial };
    },
    () => ({
      type: 'endpoint.health',
      reports: state
        .list('endpoint')
        .filter(() => random() < 0.2)
        .map(({ id }) => ({
          id,
          health: random() < 0.6 ? ('healthy' as const) : ('unhealthy' as const),
          reason: '',
        })),
    }),
    () => ({
      type: 'node.update',
      id: node?.id ?? 'node-none',
      patch: { status: random() < 0.6 ? 'ready' : 'down' },
    }),
    () =>
      random() < 0.3
        ? { type: 'service.remove', ref: service?.id ?? 'none' }
        : { type: 'node.join', node: newNode(1 + Math.floor(random() * 8)) },
    () =>
      random() < 0.2
        ? { type: 'node.remove', id: node?.id ?? 'node-none' }
        : { type: 'network.create', id: `network-${serial}`, name: `net${serial % 5}`, at_ms: serial },
    () => ({
      type: 'attachment.create',
      id: `attachment-${serial}`,
      nodeId: node?.id ?? 'node-none',
      network: pick(random, ['mesh', 'net1', 'net2']) ?? 'mesh',
      netns: `/run/netns/x${serial % 20}`,
      ...(random() < 0.5 && service ? { service: service.name } : {}),
      endpointId: `endpoint-a${serial}`,
      at_ms: serial,
    }),
    () =>
      random() < 0.5
        ? { type: 'attachment.remove', id: pick(random, state.list('attachment'))?.id ?? 'attachment-none' }
        : { type: 'network.remove', ref: `net${serial % 5}` },
    () => ({
      type: 'service.forget',
      id: service?.id ?? 'service-none',
      generations: service?.generations.slice(-1) ?? [],
    }),
  ];
  return (pick(random, kinds) ?? kinds[0])?.() as Command;
}
