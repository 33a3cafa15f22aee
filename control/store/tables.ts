/**
 * The tables of the store with their indexes, and transactions over them.
 *
 * Objects are never changed in place: a change puts a new object. All writes happen between `begin` and `commit`
 * or `rollback`; a rollback restores every table, index and allocator to what it was.
 */
import {
  ipv4ToNumber,
  networkPosition,
  networkSize,
  reservedAddresses,
  subnetBase,
  vipOffset,
  vipRangeSize,
} from './addresses.ts';
import { RotatingAllocator } from './allocator.ts';
import {
  type Attachment,
  type Endpoint,
  type Kind,
  kinds,
  limits,
  type Network,
  type Node,
  type Objects,
  type Service,
} from './objects.ts';
import { claimsOf } from './ports.ts';
import type { Change } from './watch.ts';

/** Positions of the rotating allocators, as snapshots carry them. */
export type Cursors = {
  nodes: number;
  frontends: number;
  endpoints: number;
  vips: number;
  networks: number;
  /** By network id. */
  attachments: Record<string, number>;
};

type Rows = { [K in Kind]: Map<string, Objects[K]> };

/** Adds `value` to the set at `key`, which comes into being with its first member. */
function addTo<K>(index: Map<K, Set<string>>, key: K, value: string): void {
  const set = index.get(key);
  if (set === undefined) index.set(key, new Set([value]));
  else set.add(value);
}

/** The reverse of addTo: the set goes away with its last member. */
function removeFrom<K>(index: Map<K, Set<string>>, key: K, value: string): void {
  const set = index.get(key);
  set?.delete(value);
  if (set?.size === 0) index.delete(key);
}

/** All tables of one replica. */
export class Tables {
  readonly #rows: Rows = {
    cluster: new Map(),
    node: new Map(),
    network: new Map(),
    service: new Map(),
    endpoint: new Map(),
    attachment: new Map(),
  };
  /** Made when asked for, until the next write of the kind. */
  readonly #sorted: { [K in Kind]?: Objects[K][] } = {};
  readonly #names = new Map<string, string>();
  readonly #endpointsByService = new Map<string, Set<string>>();
  readonly #servicesByClaim = new Map<string, Set<string>>();
  readonly #servicesByVip = new Map<string, string>();
  readonly #nodeSlots = new RotatingAllocator(1, limits.nodes);
  readonly #frontendSlots = new RotatingAllocator(1, limits.frontends);
  readonly #endpointSlots = new RotatingAllocator(1, limits.endpoints);
  readonly #vips = new RotatingAllocator(reservedAddresses, vipRangeSize - 2);
  readonly #networks = new RotatingAllocator(0, limits.networks - 1);
  readonly #attachments = new Map<string, RotatingAllocator>();
  #undo: (() => void)[] | null = null;
  #touched = new Map<string, { kind: Kind; id: string; before: Objects[Kind] | undefined }>();
  #index = 0;

  get<K extends Kind>(kind: K, id: string): Objects[K] | undefined {
    return this.#rows[kind].get(id);
  }

  all<K extends Kind>(kind: K): MapIterator<Objects[K]> {
    return (this.#rows[kind] as Map<string, Objects[K]>).values();
  }

  size(kind: Kind): number {
    return this.#rows[kind].size;
  }

  byName<K extends Kind>(kind: K, name: string): Objects[K] | undefined {
    const id = this.#names.get(`${kind}/${name}`);
    return id === undefined ? undefined : this.get(kind, id);
  }

  /** By name or, where no object has that name, by id. */
  resolve<K extends Kind>(kind: K, reference: string): Objects[K] | undefined {
    return this.byName(kind, reference) ?? this.get(kind, reference);
  }

  /** Endpoints of a service, serving and removed, in the order in which they were made. */
  endpointsOf(serviceId: string): Endpoint[] {
    const ids = this.#endpointsByService.get(serviceId);
    return ids === undefined ? [] : [...ids].map((id) => this.#rows.endpoint.get(id) as Endpoint);
  }

  /** Ids of the services that claim an address, port and transport (see ports.ts). */
  claimants(claim: string): ReadonlySet<string> {
    return this.#servicesByClaim.get(claim) ?? new Set();
  }

  /** The service that has this VIP. */
  byVip(address: string): Service | undefined {
    const id = this.#servicesByVip.get(address);
    return id === undefined ? undefined : this.#rows.service.get(id);
  }

  /** The cluster object; there is one once the cluster is initialised. */
  cluster(): Objects['cluster'] | undefined {
    return this.#rows.cluster.values().next().value;
  }

  /** Begins the transaction of the entry at `index`. */
  begin(index: number): void {
    this.#undo = [];
    this.#touched = new Map();
    this.#index = index;
  }

  /** Keeps what was written, and tells what changed: one change per object, in the order of first touch. */
  commit(): Change[] {
    const changes: Change[] = [];
    for (const { kind, id, before } of this.#touched.values()) {
      const now = this.#rows[kind].get(id);
      if (now !== undefined) changes.push({ index: this.#index, kind, op: 'put', object: now } as Change);
      else if (before !== undefined) {
        changes.push({ index: this.#index, kind, op: 'delete', object: before } as Change);
        if (kind === 'network') this.#attachments.delete(id);
      }
    }
    this.#undo = null;
    return changes;
  }

  /** Takes back everything since `begin`. */
  rollback(): void {
    const undo = this.#undo ?? [];
    this.#undo = null;
    for (const step of undo.reverse()) step();
  }

  /** Writes an object, as of the running transaction: its version becomes the entry's index. */
  put<K extends Kind>(kind: K, object: Objects[K]): Objects[K] {
    const stored = { ...object, version: this.#index };
    this.#replace(kind, object.id, stored);
    return stored;
  }

  /** Deletes an object, if it is there. */
  delete(kind: Kind, id: string): void {
    if (this.#rows[kind].has(id)) this.#replace(kind, id, undefined);
  }

  /** Writes or deletes as another replica did, version and all; outside of transactions. */
  replay(change: Pick<Change, 'kind' | 'op' | 'object'>): void {
    this.#set(change.kind, change.object.id, change.op === 'put' ? change.object : undefined);
    if (change.kind === 'network' && change.op === 'delete') this.#attachments.delete(change.object.id);
  }

  /** Takes a number from an allocator; null when none is free. Undone by rollback. */
  takeNodeSlot(): number | null {
    return this.#take(this.#nodeSlots);
  }
  takeFrontendSlot(): number | null {
    return this.#take(this.#frontendSlots);
  }
  takeEndpointSlot(): number | null {
    return this.#take(this.#endpointSlots);
  }
  takeVipOffset(): number | null {
    return this.#take(this.#vips);
  }
  takeNetworkPosition(): number | null {
    return this.#take(this.#networks);
  }
  takeAttachmentOffset(networkId: string): number | null {
    return this.#take(this.#attachmentsOf(networkId));
  }

  cursors(): Cursors {
    const attachments: Record<string, number> = {};
    for (const id of [...this.#attachments.keys()].sort()) {
      const { cursor } = this.#attachments.get(id) as RotatingAllocator;
      if (cursor >= reservedAddresses) attachments[id] = cursor;
    }
    return {
      nodes: this.#nodeSlots.cursor,
      frontends: this.#frontendSlots.cursor,
      endpoints: this.#endpointSlots.cursor,
      vips: this.#vips.cursor,
      networks: this.#networks.cursor,
      attachments,
    };
  }

  setCursors(cursors: Cursors): void {
    this.#nodeSlots.cursor = cursors.nodes;
    this.#frontendSlots.cursor = cursors.frontends;
    this.#endpointSlots.cursor = cursors.endpoints;
    this.#vips.cursor = cursors.vips;
    this.#networks.cursor = cursors.networks;
    for (const [id, cursor] of Object.entries(cursors.attachments)) this.#attachmentsOf(id).cursor = cursor;
  }

  /** Objects of one kind, sorted by id, so that equal stores have equal snapshots. */
  sorted<K extends Kind>(kind: K): Objects[K][] {
    let sorted = this.#sorted[kind] as Objects[K][] | undefined;
    if (sorted === undefined) {
      sorted = [...this.all(kind)].sort((a, b) => (a.id < b.id ? -1 : 1));
      this.#sorted[kind] = sorted as never;
    }
    return sorted.slice();
  }

  #take(allocator: RotatingAllocator): number | null {
    const before = allocator.cursor;
    const number = allocator.take();
    if (number !== null) {
      this.#undo?.push(() => {
        allocator.release(number);
        allocator.cursor = before;
      });
    }
    return number;
  }

  #attachmentsOf(networkId: string): RotatingAllocator {
    let allocator = this.#attachments.get(networkId);
    if (allocator === undefined) {
      allocator = new RotatingAllocator(reservedAddresses, networkSize - 2);
      this.#attachments.set(networkId, allocator);
    }
    return allocator;
  }

  #replace(kind: Kind, id: string, object: Objects[Kind] | undefined): void {
    const before = this.#rows[kind].get(id);
    const key = `${kind}/${id}`;
    if (!this.#touched.has(key)) this.#touched.set(key, { kind, id, before });
    this.#undo?.push(() => this.#set(kind, id, before));
    this.#set(kind, id, object);
  }

  #set(kind: Kind, id: string, object: Objects[Kind] | undefined): void {
    const rows = this.#rows[kind] as Map<string, Objects[Kind]>;
    const before = rows.get(id);
    delete this.#sorted[kind];
    if (before !== undefined) this.#removeFromIndexes(kind, before);
    if (object === undefined) rows.delete(id);
    else {
      rows.set(id, object);
      this.#addToIndexes(kind, object);
    }
  }

  #addToIndexes(kind: Kind, object: Objects[Kind]): void {
    if ('name' in object) this.#names.set(`${kind}/${object.name}`, object.id);
    if (kind === 'node') this.#nodeSlots.claim((object as Node).slot);
    if (kind === 'network') this.#indexNetwork(object as Network, true);
    if (kind === 'service') this.#indexService(object as Service);
    if (kind === 'endpoint') {
      const endpoint = object as Endpoint;
      this.#endpointSlots.claim(endpoint.slot);
      addTo(this.#endpointsByService, endpoint.serviceId, endpoint.id);
    }
    if (kind === 'attachment') this.#indexAttachment(object as Attachment, true);
  }

  #removeFromIndexes(kind: Kind, object: Objects[Kind]): void {
    if ('name' in object) this.#names.delete(`${kind}/${object.name}`);
    if (kind === 'node') this.#nodeSlots.release((object as Node).slot);
    if (kind === 'network') this.#indexNetwork(object as Network, false);
    if (kind === 'service') this.#unindexService(object as Service);
    if (kind === 'endpoint') {
      const endpoint = object as Endpoint;
      this.#endpointSlots.release(endpoint.slot);
      removeFrom(this.#endpointsByService, endpoint.serviceId, endpoint.id);
    }
    if (kind === 'attachment') this.#indexAttachment(object as Attachment, false);
  }

  #indexNetwork(network: Network, present: boolean): void {
    const pool = this.cluster()?.meshPool;
    if (pool === undefined) return;
    const position = networkPosition(pool, network.subnet);
    if (present) this.#networks.claim(position);
    else this.#networks.release(position);
  }

  #indexAttachment(attachment: Attachment, present: boolean): void {
    const network = this.#rows.network.get(attachment.networkId);
    if (network === undefined) return;
    const allocator = this.#attachmentsOf(network.id);
    const offset = ipv4ToNumber(attachment.address) - subnetBase(network.subnet);
    if (present) allocator.claim(offset);
    else allocator.release(offset);
  }

  #indexService(service: Service): void {
    for (const claim of claimsOf(service)) addTo(this.#servicesByClaim, claim, service.id);
    for (const publish of service.publishes) this.#frontendSlots.claim(publish.slot);
    if (service.vip === null) return;
    this.#servicesByVip.set(service.vip, service.id);
    const pool = this.cluster()?.meshPool;
    if (pool !== undefined) this.#vips.claim(vipOffset(pool, service.vip));
  }

  #unindexService(service: Service): void {
    for (const claim of claimsOf(service)) removeFrom(this.#servicesByClaim, claim, service.id);
    for (const publish of service.publishes) this.#frontendSlots.release(publish.slot);
    if (service.vip === null) return;
    this.#servicesByVip.delete(service.vip);
    const pool = this.cluster()?.meshPool;
    if (pool !== undefined) this.#vips.release(vipOffset(pool, service.vip));
  }
}

/** Kinds in the order in which a store must be filled: what others point to comes first. */
export const fillOrder: readonly Kind[] = kinds;
