/** The network between simulated nodes: slow, lossy, duplicating, out of order, and at times torn apart. */

import type { Random } from './random.ts';

/** How bad the network is. Probabilities per message; times in the simulation's unit. */
export interface NetworkQuality {
  readonly loss: number;
  readonly duplication: number;
  readonly minDelay: number;
  readonly maxDelay: number;
  /** Chance that a message comes once more, much later, whatever is cut by then. */
  readonly echoes: number;
  readonly maxEchoDelay: number;
}

/** No faults, and messages in order, as a stream between two nodes delivers them. */
export const GOOD_NETWORK: NetworkQuality = {
  loss: 0,
  duplication: 0,
  minDelay: 1,
  maxDelay: 1,
  echoes: 0,
  maxEchoDelay: 0,
};

/** Decides when, how often and whether messages arrive. */
export class Network {
  quality: NetworkQuality;
  readonly #random: Random;
  /** Decides on echoes; null: there are none. */
  readonly #hostility: Random | null;
  /** Directions in which nothing passes, as `from>to`. */
  readonly #cut = new Set<string>();

  constructor(random: Random, quality: NetworkQuality, hostility: Random | null) {
    this.#random = random;
    this.#hostility = hostility;
    this.quality = quality;
  }

  /** The delays after which copies of one message arrive: none if it is lost. */
  deliveries(from: number, to: number): number[] {
    const { loss, duplication, minDelay, maxDelay } = this.quality;
    if (this.#cut.has(`${from}>${to}`) || this.#random.chance(loss)) return [];
    const copies = this.#random.chance(duplication) ? 2 : 1;
    return Array.from({ length: copies }, () => this.#random.between(minDelay, maxDelay));
  }

  /** The delay after which a message comes once more; 0 if it does not. */
  echo(): number {
    const { echoes, maxEchoDelay } = this.quality;
    if (this.#hostility === null || !this.#hostility.chance(echoes)) return 0;
    return this.#hostility.between(1, maxEchoDelay);
  }

  /** Mends all cuts. */
  heal(): void {
    this.#cut.clear();
  }

  /** Cuts the nodes into two sides, isolates one in one direction, or cuts single directions. */
  partition(ids: readonly number[]): string {
    const random = this.#random;
    const cut = (froms: readonly number[], tos: readonly number[]) => {
      for (const from of froms) for (const to of tos) if (from !== to) this.#cut.add(`${from}>${to}`);
    };
    switch (random.between(0, 3)) {
      case 0: {
        const mixed = random.shuffle(ids);
        const size = random.between(1, ids.length - 1);
        const [left, right] = [mixed.slice(0, size), mixed.slice(size)];
        cut(left, right);
        cut(right, left);
        return `partition ${left} | ${right}`;
      }
      case 1: {
        const deaf = random.pick(ids);
        cut(ids, [deaf]);
        return `nothing reaches ${deaf}`;
      }
      case 2: {
        const mute = random.pick(ids);
        cut([mute], ids);
        return `nothing leaves ${mute}`;
      }
      default: {
        const [from, to] = [random.pick(ids), random.pick(ids)];
        cut([from], [to]);
        return `nothing goes from ${from} to ${to}`;
      }
    }
  }
}
