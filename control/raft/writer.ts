/**
 * The writing side of a Raft member: takes the core's storage messages in order, and writes all that have gathered
 * while the last write was on its way in one durable transaction (group commit).
 */
import type { HardState, Message, Snapshot } from './core/index.ts';
import type { RaftStorage, Save } from './storage.ts';

export type LogWriterOptions = {
  storage: RaftStorage;
  /** Called for each message, in order, once it is durable: its answers may go out now. */
  onSaved: (message: Message) => void;
  /** Storage failed; nothing is written any more. */
  onFailure: (error: unknown) => void;
};

/** A queue of writes. Its length is bounded by what the core has in flight. */
export class LogWriter {
  readonly #options: LogWriterOptions;
  #queue: Message[] = [];
  #compaction: { snapshot: Snapshot; keepAfter: number } | null = null;
  /** A commit index that moved alone need not be durable: it waits for the next write. */
  #unsaved: Save = {};
  #saved: Pick<HardState, 'term' | 'vote'>;
  #writing: Promise<void> | null = null;
  #stopped = false;

  constructor(options: LogWriterOptions) {
    this.#options = options;
    const { term, vote } = options.storage.initialState().hardState;
    this.#saved = { term, vote };
  }

  /** True while a compaction is to be made. */
  get compacting(): boolean {
    return this.#compaction !== null;
  }

  /** Queues a message of the core to its append thread. */
  append(message: Message): void {
    this.#queue.push(message);
    this.#start();
  }

  /** Queues a new starting point of the log, and that entries up to `keepAfter` may go. */
  compact(snapshot: Snapshot, keepAfter: number): void {
    this.#compaction = { snapshot, keepAfter };
    this.#start();
  }

  /** Stops after the write that is on its way. What is still queued was not answered, and is dropped. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#writing;
  }

  #start(): void {
    if (this.#writing !== null || this.#stopped) return;
    this.#writing = this.#run()
      .catch((error) => {
        this.#stopped = true;
        this.#options.onFailure(error);
      })
      .finally(() => {
        this.#writing = null;
        if (this.#queue.length > 0 || this.#compaction !== null) this.#start();
      });
  }

  async #run(): Promise<void> {
    const { storage, onSaved } = this.#options;
    while ((this.#queue.length > 0 || this.#compaction !== null) && !this.#stopped) {
      const messages = this.#queue;
      this.#queue = [];
      const saves = this.#savesFor(messages);
      if (saves.length > 0) await storage.save(saves);
      if (this.#stopped) return;
      for (const message of messages) {
        if (message.snapshot !== null) this.#compaction = null;
        onSaved(message);
      }
      const compaction = this.#compaction;
      if (compaction === null) continue;
      await storage.compact(compaction.snapshot, compaction.keepAfter);
      this.#compaction = null;
    }
  }

  /** What must be written now for these messages; empty if only the commit index moved. */
  #savesFor(messages: readonly Message[]): Save[] {
    const saves: Save[] = [this.#unsaved];
    let durable = false;
    for (const { term, vote, commit, entries, snapshot } of messages) {
      const hardState = term > 0 || vote > 0 || commit > 0 ? { term, vote, commit } : null;
      if (hardState !== null && (term !== this.#saved.term || vote !== this.#saved.vote)) {
        durable = true;
        this.#saved = { term, vote };
      }
      if (entries.length > 0 || snapshot !== null) durable = true;
      saves.push({ hardState, entries, snapshot });
    }
    if (durable) {
      this.#unsaved = {};
      return saves;
    }
    const last = saves.findLast((save) => save.hardState)?.hardState;
    this.#unsaved = last ? { hardState: last } : {};
    return [];
  }
}
