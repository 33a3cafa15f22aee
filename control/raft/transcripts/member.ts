/** A node of a transcript's cluster, with storage in memory and a state machine that concatenates. */

import { decodeConfChange } from '../core/codec.ts';
import { describeMessage, describeReady } from '../core/describe.ts';
import { invariantBroken } from '../core/errors.ts';
import { MemoryStorage } from '../core/memory-storage.ts';
import { isLocalTarget } from '../core/messages.ts';
import { RawNode } from '../core/rawnode.ts';
import { isEmptyHardState, isEmptySnapshot } from '../core/states.ts';
import type { Config, ConfState, Entry, HardState, Message, Snapshot } from '../core/types.ts';
import { CommandError } from './command-error.ts';
import type { Output } from './output.ts';

/** What all members of one `add-nodes` share. */
export type MemberConfig = Omit<Config, 'id' | 'storage'>;

/** Offers the newest applied state as snapshot, instead of the one with which the log begins. */
class LatestSnapshotStorage extends MemoryStorage {
  readonly #latest: () => Snapshot;

  constructor(latest: () => Snapshot) {
    super();
    this.#latest = latest;
  }

  override snapshot(): Snapshot {
    return this.#latest();
  }
}

/** One node. What it sends goes to `deliver`. */
export class Member {
  readonly id: number;
  readonly config: MemberConfig;
  readonly storage: MemoryStorage;
  readonly node: RawNode;
  /** Messages to the append thread that wait to be processed. */
  readonly appendWork: Message[] = [];
  /** Messages to the apply thread that wait to be processed. */
  readonly applyWork: Message[] = [];
  readonly #output: Output;
  readonly #deliver: (message: Message) => void;
  /** The state after the last applied entry. */
  #latest: Snapshot;

  /** A member that starts from `first`, or with nothing if that is empty. */
  constructor(
    id: number,
    config: MemberConfig,
    first: Snapshot,
    output: Output,
    deliver: (message: Message) => void,
  ) {
    this.id = id;
    this.config = config;
    this.#output = output;
    this.#deliver = deliver;
    this.#latest = first;
    this.storage = new LatestSnapshotStorage(() => this.#latest);
    if (!isEmptySnapshot(first)) this.storage.applySnapshot(first);
    this.node = new RawNode({ ...config, id, storage: this.storage });
  }

  /** Takes and handles one Ready, and prints it. */
  processReady(): void {
    const ready = this.node.ready();
    this.#output.write(describeReady(ready));
    const isAsynchronous = this.config.asyncStorageWrites === true;
    if (!isAsynchronous) {
      this.#append(ready.hardState, ready.entries, ready.snapshot);
      this.#apply(ready.committedEntries);
    }
    for (const message of ready.messages) {
      if (message.type === 'MsgStorageAppend') this.appendWork.push(message);
      else if (message.type === 'MsgStorageApply') this.applyWork.push(message);
      else if (isLocalTarget(message.to)) invariantBroken(`${message.type} to a storage thread`);
      else this.#deliver(message);
    }
    if (!isAsynchronous) this.node.advance();
  }

  /** Does the next piece of append work, and prints it. */
  processAppendThread(): void {
    const message = this.appendWork.shift();
    if (message === undefined) {
      this.#output.write('no append work to perform');
      return;
    }
    const { term, vote, commit } = message;
    this.#process(message, () => this.#append({ term, vote, commit }, message.entries, message.snapshot));
  }

  /** Does the next piece of apply work, and prints it. */
  processApplyThread(): void {
    const message = this.applyWork.shift();
    if (message === undefined) {
      this.#output.write('no apply work to perform');
      return;
    }
    this.#process(message, () => this.#apply(message.entries));
  }

  #process(message: Message, work: () => void): void {
    this.#output.write(`Processing:\n${describeMessage({ ...message, responses: [] })}\n`);
    work();
    this.#output.write('Responses:\n');
    for (const response of message.responses) {
      this.#output.writeLine(describeMessage(response));
      this.#deliver(response);
    }
  }

  #append(hardState: HardState | null, entries: readonly Entry[], snapshot: Snapshot | null): void {
    if (hardState !== null && !isEmptyHardState(hardState)) this.storage.setHardState(hardState);
    if (snapshot === null || isEmptySnapshot(snapshot)) {
      this.storage.append(entries);
      return;
    }
    if (entries.length > 0) throw new CommandError("can't apply snapshot and entries at the same time");
    this.storage.applySnapshot(snapshot);
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      let { confState } = this.#latest.metadata;
      let update = entry.data;
      if (entry.type !== 'EntryNormal') {
        const change = decodeConfChange(entry);
        update = change.context;
        confState = this.node.applyConfChange(change);
      }
      this.#latest = extended(this.#latest, entry, confState, update);
    }
  }
}

function extended(before: Snapshot, entry: Entry, confState: ConfState, update: Uint8Array): Snapshot {
  const data = new Uint8Array(before.data.length + update.length);
  data.set(before.data);
  data.set(update, before.data.length);
  return { data, metadata: { confState, index: entry.index, term: entry.term } };
}
