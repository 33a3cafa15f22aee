/** A replicated state machine whose whole history is in a hash: two that agree have applied the same. */

import type { ConfState, Snapshot } from '../../control/raft/core/types.ts';
import { Violation } from './violation.ts';

/** FNV-1a over the bytes, going on from `hash`. */
export function hashOf(bytes: Uint8Array, hash = 0x811c9dc5): number {
  let mixed = hash;
  for (const byte of bytes) mixed = Math.imul(mixed ^ byte, 0x01000193) >>> 0;
  return mixed;
}

/** Applied position, hash of all that was applied, and the membership there. */
export class Machine {
  applied: number;
  hash: number;
  confState: ConfState;

  /** The state in a snapshot. The first snapshot of all, and no snapshot, have empty data. */
  constructor(snapshot: Snapshot) {
    const { data, metadata } = snapshot;
    this.applied = metadata.index;
    this.confState = metadata.confState;
    this.hash = data.length === 0 ? 0 : new DataView(data.buffer, data.byteOffset, 4).getUint32(0);
  }

  /** Applies one entry's data. */
  apply(index: number, data: Uint8Array): void {
    if (index !== this.applied + 1)
      throw new Violation('order of applying', `${index} after ${this.applied}`);
    this.applied = index;
    this.hash = hashOf(data, this.hash);
  }

  /** The state, for a snapshot. */
  encode(): Uint8Array {
    const data = new Uint8Array(4);
    new DataView(data.buffer).setUint32(0, this.hash);
    return data;
  }
}
