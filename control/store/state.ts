/**
 * The replicated state machine: a deterministic function from a log of commands to a store of objects.
 *
 * It has no clock, no randomness and does no I/O. Applying the same log to two instances gives equal snapshots, byte
 * for byte, also when one of them was restored from a snapshot on the way. A command that is refused changes nothing
 * but the version and the memory of its answer.
 */
import { type ErrorCode, type ErrorDetails, ShoalError } from '../errors.ts';
import type { Command } from './commands.ts';
import { GenerationKeeper } from './generations.ts';
import type { Context } from './handlers/handler.ts';
import { createAttachment, createNetwork, removeAttachment, removeNetwork } from './handlers/networks.ts';
import { initCluster, joinNode, removeNode, rotateSecret, updateNode } from './handlers/nodes.ts';
import {
  createService,
  forgetGenerations,
  removeService,
  reportHealth,
  updateService,
} from './handlers/services.ts';
import type { Endpoint, Kind, Objects } from './objects.ts';
import { decodeSnapshot, encodeSnapshot, withoutSecrets } from './snapshot.ts';
import { Tables } from './tables.ts';
import { type ChangeBatch, Journal, readJournal, type WatchEvent } from './watch.ts';

/** The outcome of one command, the same on every manager. */
export type ApplyResult =
  | { ok: true; value: unknown }
  | { ok: false; error: { code: ErrorCode; details: ErrorDetails } };

/** Answers of recent requests that are remembered, so that a repeat is answered and not applied again. */
export const rememberedRequestsLimit = 4_096;

/** One replica of the store. */
export class State {
  #tables = new Tables();
  #version = 0;
  /** Oldest first. */
  #requests = new Map<string, ApplyResult>();
  readonly #journal = new Journal();

  /** Index of the last entry applied. */
  get version(): number {
    return this.#version;
  }

  /** The recent changes, for readers that follow. */
  get journal(): Journal {
    return this.#journal;
  }

  get<K extends Kind>(kind: K, id: string): Objects[K] | undefined {
    return this.#tables.get(kind, id);
  }

  byName<K extends Kind>(kind: K, name: string): Objects[K] | undefined {
    return this.#tables.byName(kind, name);
  }

  /** All objects of a kind, sorted by id. They must not be changed. */
  list<K extends Kind>(kind: K): Objects[K][] {
    return this.#tables.sorted(kind);
  }

  /** Endpoints of a service, serving and removed, sorted by slot. */
  endpointsOf(serviceId: string): Endpoint[] {
    return this.#tables.endpointsOf(serviceId).sort((a, b) => a.slot - b.slot);
  }

  /** The cluster object; undefined before the first entry. */
  cluster(): Objects['cluster'] | undefined {
    return this.#tables.cluster();
  }

  /**
   * Applies the entry at `index`, which must be greater than `version`. Never throws for a command that was checked
   * by `parseCommand`. A repeat of a remembered `requestId` gives the first answer and changes nothing.
   */
  apply(index: number, command: Command, requestId?: string): ApplyResult {
    this.#advance(index);
    const repeated = requestId === undefined ? undefined : this.#requests.get(requestId);
    if (repeated !== undefined) {
      this.#journal.append({ index, changes: [] });
      return this.#expand(command, repeated);
    }
    const context = { tables: this.#tables, generations: new GenerationKeeper(this.#tables) };
    this.#tables.begin(index);
    let result: ApplyResult;
    try {
      result = { ok: true, value: handle(context, command) };
      this.#journal.append({ index, changes: this.#tables.commit() });
    } catch (thrown) {
      this.#tables.rollback();
      this.#journal.append({ index, changes: [] });
      result = { ok: false, error: refusal(thrown) };
    }
    if (requestId !== undefined) this.#remember(requestId, result);
    return result;
  }

  /** The answer to a repeat: the object as it is now, or what is remembered of one that is gone. */
  #expand(command: Command, remembered: ApplyResult): ApplyResult {
    if (!remembered.ok || !isObject(remembered.value)) return remembered;
    const kind = command.type.slice(0, command.type.indexOf('.')) as Kind;
    return { ok: true, value: this.get(kind, remembered.value.id) ?? remembered.value };
  }

  /** Moves past an entry that carries no command. */
  skip(index: number): void {
    this.#advance(index);
    this.#journal.append({ index, changes: [] });
  }

  /** Takes over changes that another replica made: how a worker's copy is kept. */
  follow(batch: ChangeBatch): void {
    this.#advance(batch.index);
    for (const change of batch.changes) this.#tables.replay(change);
    this.#journal.append(batch);
  }

  /** Changes from `fromVersion` on. See {@link WatchEvent}. */
  watch(fromVersion: number, signal?: AbortSignal): AsyncGenerator<WatchEvent, void, void> {
    return readJournal(this, fromVersion, signal);
  }

  /** The whole state as bytes. `forWorker` leaves out the root key, the join secrets and remembered answers. */
  snapshot(options?: { forWorker?: boolean }): Uint8Array {
    const forWorker = options?.forWorker === true;
    return encodeSnapshot({
      version: this.#version,
      tables: this.#tables,
      requests: forWorker ? new Map() : this.#requests,
      transform: forWorker ? withoutSecrets : (object) => object,
    });
  }

  /** A state from the bytes of a snapshot. Throws STORAGE_FAILED if they are not one. */
  static restore(bytes: Uint8Array): State {
    const state = new State();
    state.load(bytes);
    return state;
  }

  /** Becomes what a snapshot says; readers begin anew. On a bad snapshot it throws and stays as it is. */
  load(bytes: Uint8Array): void {
    const loaded = decodeSnapshot(bytes);
    this.#tables = loaded.tables;
    this.#version = loaded.version;
    this.#requests = loaded.requests;
    this.#journal.reset(loaded.version);
  }

  /** Becomes empty, as when the node left its cluster. */
  clear(): void {
    this.#tables = new Tables();
    this.#version = 0;
    this.#requests = new Map();
    this.#journal.reset(0);
  }

  #advance(index: number): void {
    if (!Number.isSafeInteger(index) || index <= this.#version) {
      throw new Error(
        `entry ${index} does not follow version ${this.#version}: entries are applied once, in order`,
      );
    }
    this.#version = index;
  }

  #remember(requestId: string, result: ApplyResult): void {
    const small = result.ok && isObject(result.value);
    this.#requests.set(requestId, small ? { ok: true, value: referenceTo(result.value as Stored) } : result);
    if (this.#requests.size > rememberedRequestsLimit) {
      const [oldest] = this.#requests.keys();
      if (oldest !== undefined) this.#requests.delete(oldest);
    }
  }
}

type Stored = { id: string; version: number };

function isObject(value: unknown): value is Stored {
  return typeof value === 'object' && value !== null && 'id' in value && 'version' in value;
}

/** Of an object only this is remembered, so that the memory of answers stays small. */
function referenceTo({ id, version }: Stored): Stored {
  return { id, version };
}

function refusal(thrown: unknown): { code: ErrorCode; details: ErrorDetails } {
  if (thrown instanceof ShoalError) return { code: thrown.code, details: thrown.details ?? {} };
  return { code: 'INTERNAL', details: { reason: thrown instanceof Error ? thrown.message : String(thrown) } };
}

function handle(context: Context, command: Command): unknown {
  switch (command.type) {
    case 'cluster.init':
      return initCluster(context, command);
    case 'cluster.rotate':
      return rotateSecret(context, command);
    case 'node.join':
      return joinNode(context, command);
    case 'node.update':
      return updateNode(context, command);
    case 'node.remove':
      return removeNode(context, command);
    case 'service.create':
      return createService(context, command);
    case 'service.update':
      return updateService(context, command);
    case 'service.remove':
      return removeService(context, command);
    case 'service.forget':
      return forgetGenerations(context, command);
    case 'endpoint.health':
      return reportHealth(context, command);
    case 'network.create':
      return createNetwork(context, command);
    case 'network.remove':
      return removeNetwork(context, command);
    case 'attachment.create':
      return createAttachment(context, command);
    case 'attachment.remove':
      return removeAttachment(context, command);
  }
}
