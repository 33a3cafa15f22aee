/** The store as a stream from a manager to a worker: the manager's end. */
import { shoalError } from '../errors.ts';
import { changeWithoutSecrets } from '../store/snapshot.ts';
import type { State } from '../store/state.ts';
import type { WatchEvent } from '../store/watch.ts';
import { streamTiming } from './rpc/protocol.ts';
import type { StreamItem } from './rpc/server.ts';

/** What a sign of life says. */
export type StreamPing = { leader: string | null };

/** Time that a manager which is behind the reader gets to catch up. */
const behind_ms = 2_000;

/** Changes from `from` on without secrets, and signs of life in between. */
export async function* watchStream(
  state: State,
  from: number,
  leader: () => string | null,
  signal: AbortSignal,
): AsyncGenerator<StreamItem> {
  const deadline_ms = performance.now() + behind_ms;
  while (from > state.version && !signal.aborted) {
    if (performance.now() > deadline_ms) {
      throw shoalError('UNREACHABLE', { reason: `it is at version ${state.version}, behind ${from}` });
    }
    yield ping(leader);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  yield ping(leader);
  const events = new Arrivals(state.watch(from, signal));
  while (!signal.aborted) {
    const event = await events.next(streamTiming.ping_ms);
    if (event === 'done') return;
    yield event === null ? ping(leader) : itemOf(event);
  }
}

function ping(leader: () => string | null): StreamItem {
  const value: StreamPing = { leader: leader() };
  return { kind: 'ping', value };
}

function itemOf(event: WatchEvent): StreamItem {
  if (event.type === 'snapshot')
    return { kind: 'snapshot', bytes: event.state.snapshot({ forWorker: true }) };
  return { kind: 'event', value: { index: event.index, changes: event.changes.map(changeWithoutSecrets) } };
}

type Arrived = { result: IteratorResult<WatchEvent> } | { error: unknown };

/** An iterator that can be waited for with a time limit, again and again, without a promise per wait left behind. */
class Arrivals {
  readonly #events: AsyncIterator<WatchEvent>;
  #arrived: Arrived | null = null;
  #pending = false;
  #wake: (() => void) | null = null;

  constructor(events: AsyncIterator<WatchEvent>) {
    this.#events = events;
  }

  /** The next event; null if there is none within the time. */
  async next(timeout_ms: number): Promise<WatchEvent | 'done' | null> {
    if (!this.#pending) {
      this.#pending = true;
      this.#events.next().then(
        (result) => this.#arrive({ result }),
        (error) => this.#arrive({ error }),
      );
    }
    if (this.#arrived === null) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeout_ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
    const arrived = this.#arrived;
    if (arrived === null) return null;
    this.#arrived = null;
    this.#pending = false;
    if ('error' in arrived) throw arrived.error;
    return arrived.result.done ? 'done' : arrived.result.value;
  }

  #arrive(arrived: Arrived): void {
    this.#arrived = arrived;
    this.#wake?.();
  }
}
