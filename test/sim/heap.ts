/** A queue of things to happen, by time. */

interface Slot<T> {
  readonly time: number;
  /** Order of insertion, for things at the same time. */
  readonly sequence: number;
  readonly item: T;
}

/** A binary heap: the earliest item first; of those at one time the first that was put in. */
export class EventHeap<T> {
  readonly #slots: Slot<T>[] = [];
  #sequence = 0;

  get size(): number {
    return this.#slots.length;
  }

  /** Puts an item in. */
  push(time: number, item: T): void {
    this.#sequence += 1;
    const slot = { time, sequence: this.#sequence, item };
    let at = this.#slots.length;
    this.#slots.push(slot);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#slots[parent];
      if (above === undefined || !isBefore(slot, above)) break;
      this.#slots[at] = above;
      at = parent;
    }
    this.#slots[at] = slot;
  }

  /** Takes the earliest item out. */
  pop(): { time: number; item: T } | undefined {
    const first = this.#slots[0];
    const last = this.#slots.pop();
    if (first === undefined || last === undefined) return undefined;
    if (this.#slots.length > 0) this.#sink(last);
    return first;
  }

  #sink(slot: Slot<T>): void {
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const left = this.#slots[child];
      if (left === undefined) break;
      const right = this.#slots[child + 1];
      let smaller = left;
      if (right !== undefined && isBefore(right, left)) {
        smaller = right;
        child += 1;
      }
      if (!isBefore(smaller, slot)) break;
      this.#slots[at] = smaller;
      at = child;
    }
    this.#slots[at] = slot;
  }
}

function isBefore<T>(a: Slot<T>, b: Slot<T>): boolean {
  return a.time < b.time || (a.time === b.time && a.sequence < b.sequence);
}
