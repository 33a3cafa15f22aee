/**
 * What must always hold, on connections through three nodes: each stays with its endpoint until it ends, whatever is
 * added or removed, whichever node its packets enter by, and while tables differ from node to node; and the client
 * sees nothing but the frontend. SHOAL_MODEL_SEED runs one seed again.
 */
import t from 'tap';
import { formatIpv4 } from '../../../dataplane/addresses.ts';
import type { DesiredState } from '../../../dataplane/state/desired.ts';
import { Random } from '../../sim/random.ts';
import { hosts } from '../fixture.ts';
import { payload, tcpFlags, tcpPacket, udpPacket, wrongChecksums } from '../packets.ts';
import { type Arrival, type Journey, Mesh, vteps } from './mesh.ts';

const seed = Number(process.env.SHOAL_MODEL_SEED ?? Date.now() % 2 ** 32);
const { syn, ack, fin } = tcpFlags;
const vip = '10.248.0.1';
const port = 8080;
/** Sets of owners that a bucket remembers besides the current one. */
const generationsMax = 3;
/** Endpoints 1 to 9 are sockets of the host on nodes 1, 2, 3, 1, ...; these are the others. */
const namespaceSlot = 10;
const natSlot = 11;
const allSlots = Array.from({ length: 11 }, (_, index) => index + 1);

/** Node that an endpoint is on. */
function nodeOf(slot: number): number {
  if (slot === namespaceSlot) return 1;
  return slot === natSlot ? 2 : ((slot - 1) % 3) + 1;
}

type Owners = { readonly owners: readonly number[]; readonly generations: readonly (readonly number[])[] };

function stateOf({ owners, generations }: Owners): Omit<DesiredState, 'self'> {
  return {
    nodes: vteps.map((vtep, index) => ({
      slot: index + 1,
      vtep,
      meshAddress: `10.250.0.${index + 1}`,
      addresses: [vtep],
    })),
    services: [
      {
        id: 'service',
        vip,
        publishes: (['tcp', 'udp'] as const).map((protocol, index) => ({
          slot: index + 1,
          address: null,
          port,
          target: null,
          protocol,
        })),
        owners,
        generations,
      },
    ],
    endpoints: allSlots.map((slot) => {
      const common = { slot, node: nodeOf(slot) };
      if (slot === namespaceSlot)
        return { ...common, address: hosts.namespace, port: 9000 + slot, kind: 'namespace' as const };
      if (slot === natSlot)
        return { ...common, address: hosts.plain, port: 9000 + slot, kind: 'nat' as const };
      return { ...common, address: '127.0.0.1', port: 9000 + slot, kind: 'host' as const };
    }),
    sharedAddresses: [],
    attachments: [{ id: 'a', address: hosts.namespace, node: 1, netns: '/run/netns/unused' }],
  };
}

/** Both ends of a TCP or UDP packet. */
function endsOf(packet: Uint8Array) {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  return {
    source: formatIpv4(view.getUint32(12)),
    sourcePort: view.getUint16(20),
    destination: formatIpv4(view.getUint32(16)),
    destinationPort: view.getUint16(22),
  };
}

type Connection = {
  readonly protocol: 'tcp' | 'udp';
  readonly client: string;
  readonly clientPort: number;
  readonly frontend: string;
  /** Endpoint slot, and the client as it sees it; set by the first packet. */
  endpoint: number;
  seenAs: string;
  ingress: number;
  /** Begun while tables differed, which they still do. */
  isYoung: boolean;
};

class Rejected extends Error {}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Rejected(message);
}

/** One run: a mesh, what its nodes hold, and the connections that are open. */
class Run {
  readonly #mesh: Mesh;
  readonly #random: Random;
  readonly #open: Connection[] = [];
  #owners: Owners = { owners: [], generations: [] };
  /** Nodes that still hold the former state. */
  #behind: number[] = [];
  packets = 0;

  constructor(mesh: Mesh, random: Random) {
    this.#mesh = mesh;
    this.#random = random;
    mesh.clearFlows();
    this.#change();
    this.#catchUp();
    this.#owners = { ...this.#owners, generations: [] };
    for (const slot of [1, 2, 3]) mesh.apply(slot, stateOf(this.#owners));
  }

  step(): void {
    const choice = this.#random.next();
    if (choice < 0.25) this.#begin();
    else if (choice < 0.85) this.#continue();
    else if (choice < 0.92) this.#end();
    else if (this.#behind.length > 0) this.#catchUp();
    else if (this.#owners.generations.length < generationsMax) this.#change();
  }

  /** What the nodes hold, for whoever reads of a failure. */
  describe(): string {
    return JSON.stringify({ ...this.#owners, behind: this.#behind });
  }

  /** Another set of owners; some nodes learn of it now, others later. */
  #change(): void {
    const owners = allSlots.filter(() => this.#random.chance(0.4));
    if (owners.length === 0) owners.push(this.#random.pick(allSlots));
    this.#owners = { owners, generations: [this.#owners.owners, ...this.#owners.generations] };
    this.#behind = [1, 2, 3];
    if (this.#random.chance(0.5)) this.#catchUp();
    else this.#learn(this.#random.pick(this.#behind));
  }

  #catchUp(): void {
    for (const slot of [...this.#behind]) this.#learn(slot);
    for (const connection of this.#open) connection.isYoung = false;
  }

  #learn(slot: number): void {
    this.#mesh.apply(slot, stateOf(this.#owners));
    this.#behind = this.#behind.filter((each) => each !== slot);
  }

  #begin(): void {
    const connection: Connection = {
      protocol: this.#random.chance(0.7) ? 'tcp' : 'udp',
      client: `198.51.100.${this.#random.between(10, 30)}`,
      clientPort: this.#random.between(1024, 65_535),
      frontend: this.#random.chance(0.5) ? vip : this.#random.pick(vteps),
      endpoint: 0,
      seenAs: '',
      ingress: 0,
      isYoung: this.#behind.length > 0,
    };
    const isTaken = this.#open.some(
      ({ client, clientPort }) => client === connection.client && clientPort === connection.clientPort,
    );
    // Which datagram is a UDP flow's first is for the owners to find out, and they must agree on who they are.
    if (isTaken || (connection.protocol === 'udp' && this.#behind.length > 0)) return;
    this.#exchange(connection, syn, syn | ack);
    this.#open.push(connection);
  }

  #continue(): void {
    const connection = this.#open[this.#random.between(0, this.#open.length - 1)];
    if (connection === undefined || (connection.protocol === 'udp' && this.#behind.length > 0)) return;
    this.#exchange(connection, ack, ack);
  }

  #end(): void {
    const index = this.#random.between(0, this.#open.length - 1);
    const connection = this.#open[index];
    if (connection === undefined || connection.protocol === 'udp') return;
    this.#exchange(connection, fin | ack, fin | ack);
    this.#open.splice(index, 1);
  }

  /** A packet to the endpoint and one back, each checked. */
  #exchange(connection: Connection, flags: number, replyFlags: number): void {
    const ingress = this.#ingressOf(connection);
    connection.ingress = ingress;
    const length = this.#random.between(0, 100);
    const sent = this.#packet(connection, flags, {
      source: connection.client,
      sourcePort: connection.clientPort,
      destination: connection.frontend,
      destinationPort: port,
      body: payload(length),
    });
    const there = this.#mesh.enter(ingress, sent);
    const arrival = this.#arrived(connection, there);
    const ends = endsOf(arrival.packet);
    const back = this.#mesh.reply(
      arrival.node,
      arrival.at as 'host' | 'namespace' | 'plain',
      this.#packet(connection, replyFlags, {
        source: ends.destination,
        sourcePort: ends.destinationPort,
        destination: ends.source,
        destinationPort: ends.sourcePort,
        body: payload(length + 1),
      }),
    );
    this.#returned(connection, back, ingress, length + 1);
    this.packets += 2;
  }

  /**
   * The node that the client's next packet reaches. A node's own address leads to that node; a VIP to any. But as long
   * as the other nodes have not heard of an endpoint, they cannot find the connections that it was given meanwhile.
   */
  #ingressOf({ frontend, ingress, isYoung }: Connection): number {
    if (frontend !== vip) return vteps.indexOf(frontend) + 1;
    return isYoung && ingress !== 0 ? ingress : this.#random.between(1, 3);
  }

  #packet(connection: Connection, flags: number, ends: Parameters<typeof udpPacket>[0]): Uint8Array {
    return connection.protocol === 'tcp' ? tcpPacket({ ...ends, flags }) : udpPacket(ends);
  }

  #arrived(connection: Connection, { arrival, through }: Journey): Extract<Arrival, { packet: Uint8Array }> {
    const name = `${JSON.stringify(connection)} through ${through.join(', ')}`;
    check(arrival.at !== 'lost', `lost at node ${arrival.node}: ${JSON.stringify(arrival)}: ${name}`);
    check(arrival.at !== 'client', `not delivered to an endpoint: ${name}`);
    check(wrongChecksums(arrival.packet).length === 0, `wrong checksums: ${name}`);
    const { source, sourcePort, destinationPort } = endsOf(arrival.packet);
    const endpoint = destinationPort - 9000;
    check(nodeOf(endpoint) === arrival.node, `endpoint ${endpoint} is not on node ${arrival.node}: ${name}`);
    const seenAs = `${source}:${sourcePort}`;
    if (connection.endpoint === 0) {
      const known = [this.#owners.owners, ...(this.#behind.length > 0 ? this.#owners.generations : [])];
      check(known.flat().includes(endpoint), `endpoint ${endpoint} takes no new connections: ${name}`);
      connection.endpoint = endpoint;
      connection.seenAs = seenAs;
    }
    check(endpoint === connection.endpoint, `went to endpoint ${endpoint}: ${name}`);
    check(seenAs === connection.seenAs, `the endpoint sees it as ${seenAs} now: ${name}`);
    return arrival;
  }

  #returned(connection: Connection, { arrival, through }: Journey, ingress: number, length: number): void {
    const name = `${JSON.stringify(connection)} through ${through.join(', ')}`;
    check(arrival.at === 'client', `the reply ended at ${JSON.stringify(arrival)}: ${name}`);
    check(through.at(-1) === ingress, `the reply left by another node than ${ingress}: ${name}`);
    const expected = {
      source: connection.frontend,
      sourcePort: port,
      destination: connection.client,
      destinationPort: connection.clientPort,
    };
    check(
      JSON.stringify(endsOf(arrival.packet)) === JSON.stringify(expected),
      `the client sees ${JSON.stringify(endsOf(arrival.packet))}: ${name}`,
    );
    const header = connection.protocol === 'tcp' ? 40 : 28;
    check(arrival.packet.length === header + length, `the reply has another length: ${name}`);
  }
}

t.test(`connections through three nodes, seed ${seed}`, async (t) => {
  using mesh = await Mesh.open();
  const random = new Random(seed);
  const end_ms = performance.now() + 12_000;
  let packets = 0;
  let runs = 0;
  for (; runs < 40 && (runs < 3 || performance.now() < end_ms); runs += 1) {
    const run = new Run(mesh, random);
    for (let step = 0; step < 120; step += 1) {
      try {
        run.step();
      } catch (error) {
        if (!(error instanceof Rejected)) throw error;
        t.fail(`seed ${seed}, run ${runs}, step ${step}: ${error.message} with ${run.describe()}`);
        return;
      }
    }
    packets += run.packets;
  }
  t.ok(packets > 200, `${packets} packets in ${runs} runs`);
});
