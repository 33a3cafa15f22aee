/**
 * Hands out small numbers: the next free one after the last given, wrapping round. So a number that was freed is
 * used again as late as possible, and what still carries it (a packet, a flow, a map entry) has time to go away.
 */
export class RotatingAllocator {
  readonly #first: number;
  readonly #last: number;
  readonly #used = new Set<number>();
  #cursor: number;

  /** Numbers from `first` to `last`, both included. */
  constructor(first: number, last: number) {
    this.#first = first;
    this.#last = last;
    this.#cursor = first - 1;
  }

  /** The number given last; `first - 1` before the first one. Part of the replicated state. */
  get cursor(): number {
    return this.#cursor;
  }
  set cursor(value: number) {
    this.#cursor = value;
  }

  /** Numbers in use. */
  get size(): number {
    return this.#used.size;
  }

  /** Takes the next free number; null when all are in use. */
  take(): number | null {
    const count = this.#last - this.#first + 1;
    if (this.#used.size >= count) return null;
    let candidate = this.#cursor;
    for (let tried = 0; tried < count; tried += 1) {
      candidate = candidate >= this.#last ? this.#first : candidate + 1;
      if (!this.#used.has(candidate)) {
        this.#used.add(candidate);
        this.#cursor = candidate;
        return candidate;
      }
    }
    return null;
  }

  /** Marks a number as used. Numbers out of range are none of its business and pass. */
  claim(number: number): void {
    if (number >= this.#first && number <= this.#last) this.#used.add(number);
  }

  /** Frees a number. */
  release(number: number): void {
    this.#used.delete(number);
  }
}
