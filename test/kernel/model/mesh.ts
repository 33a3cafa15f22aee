/**
 * Three nodes with the real programs, and the wires between them in this file: what a program sends is handed to the
 * node, endpoint or client that it is addressed to. So whole connections run through the mesh, packet by packet.
 */
import { formatIpv4 } from '../../../dataplane/addresses.ts';
import type { DesiredState } from '../../../dataplane/state/desired.ts';
import { Fixture, hosts, macs, type Outcome } from '../fixture.ts';
import { ethernet, macText, wrongChecksums } from '../packets.ts';

/** Tunnel addresses by node slot, from 1 on. */
export const vteps: readonly string[] = [hosts.self, hosts.node2, hosts.unresolved];

/** Where a packet ended. `node` is the one that has the endpoint. */
export type Arrival =
  | {
      readonly at: 'host' | 'namespace' | 'plain' | 'client';
      readonly node: number;
      readonly packet: Uint8Array;
    }
  | { readonly at: 'lost'; readonly node: number; readonly counts: Record<string, number> };

/** A packet's arrival, and the nodes that it came through. */
export type Journey = { readonly arrival: Arrival; readonly through: readonly number[] };

/** More nodes than a packet may see on its way. */
const stationsMax = 12;

export class Mesh implements Disposable {
  readonly #nodes: readonly Fixture[];

  private constructor(nodes: readonly Fixture[]) {
    this.#nodes = nodes;
  }

  static async open(): Promise<Mesh> {
    using cleanup = new DisposableStack();
    const nodes: Fixture[] = [];
    for (const [index, selfVtep] of vteps.entries()) {
      const selfMeshAddress = `10.250.0.${index + 1}`;
      nodes.push(
        cleanup.use(await Fixture.open({ constants: { selfNode: index + 1, selfVtep, selfMeshAddress } })),
      );
    }
    cleanup.move();
    return new Mesh(nodes);
  }

  /** Gives a node the state, whatever the others have. */
  apply(slot: number, state: Omit<DesiredState, 'self'>): void {
    this.#node(slot).apply({ ...state, self: slot });
  }

  /** Forgets all flows. */
  clearFlows(): void {
    for (const node of this.#nodes) node.clearFlows();
  }

  /** A packet from outside that reaches the node `slot`. */
  enter(slot: number, packet: Uint8Array): Journey {
    const through: number[] = [];
    return { arrival: this.#fromWire(slot, packet, through), through };
  }

  /** A packet that an endpoint on node `slot` sends. */
  reply(slot: number, from: 'host' | 'namespace' | 'plain', packet: Uint8Array): Journey {
    if (from === 'plain') return this.enter(slot, packet);
    const through = [slot];
    const node = this.#node(slot);
    const frame = ethernet({ destination: macs.gateway, source: macs.uplink }, packet);
    const outcome =
      from === 'host'
        ? node.runTc('uplink_egress', frame)
        : node.runTc('mesh_ingress', frame, { ifindex: node.ifindexes.namespace });
    return { arrival: this.#afterTc(slot, outcome, through), through };
  }

  [Symbol.dispose](): void {
    for (const node of this.#nodes) node[Symbol.dispose]();
  }

  #node(slot: number): Fixture {
    const node = this.#nodes[slot - 1];
    if (node === undefined) throw new RangeError(`no node ${slot}`);
    return node;
  }

  #fromWire(slot: number, packet: Uint8Array, through: number[]): Arrival {
    if (through.length >= stationsMax) throw new Error(`a packet goes round: ${through.join(', ')}`);
    through.push(slot);
    const frame = ethernet({ destination: macs.uplink, source: macs.gateway }, packet);
    const outcome = this.#node(slot).runXdp(frame);
    if (outcome.verdict === 'XDP_DROP') return { at: 'lost', node: slot, counts: outcome.counts };
    if (outcome.verdict !== 'XDP_PASS') return this.#send(slot, outcome.frame.subarray(14), through);
    return this.#afterTc(slot, this.#node(slot).runTc('uplink_ingress', outcome.frame), through);
  }

  #afterTc(slot: number, { verdict, frame, counts }: Outcome, through: number[]): Arrival {
    const packet = frame.subarray(14);
    if (verdict === 'TC_ACT_SHOT') return { at: 'lost', node: slot, counts };
    if (verdict === 'TC_ACT_OK') return { at: 'host', node: slot, packet };
    if (macText(frame.subarray(0, 6)) === macs.namespace) return { at: 'namespace', node: slot, packet };
    return this.#send(slot, packet, through);
  }

  /** Out of the uplink, and to whom it is addressed. */
  #send(slot: number, packet: Uint8Array, through: number[]): Arrival {
    const wrong = wrongChecksums(packet);
    if (wrong.length > 0) throw new Error(`node ${slot} sent wrong checksums: ${wrong.join(', ')}`);
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    const destination = formatIpv4(view.getUint32(16));
    const node = vteps.indexOf(destination) + 1;
    if (node > 0) return this.#fromWire(node, packet, through);
    return { at: destination === hosts.plain ? 'plain' : 'client', node: slot, packet };
  }
}
