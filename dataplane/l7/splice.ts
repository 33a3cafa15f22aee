/**
 * Joins two sockets byte for byte, both ways, until both directions are done: what one side says is told to the
 * other no faster than it listens, and the end of one direction leaves the other open (half-close).
 */
import type { Socket } from 'node:net';

/** Bytes carried each way. */
export type SpliceTotals = { aToB_bytes: number; bToA_bytes: number };

/** Limits of a splice and who is told of its end. */
export type SpliceOptions = {
  /** With one direction ended, how long the other may stand still. */
  halfClosedIdle_ms: number;
  onHalfClosedTimeout: () => void;
  onDone: (totals: SpliceTotals) => void;
};

/**
 * Splices `a` and `b`, whose listeners for data, end and drain must be gone (those for error must not). If one
 * breaks, the other is reset too, so that a cut stream is never taken for a whole one.
 */
export function splice(a: Socket, b: Socket, options: SpliceOptions): void {
  const totals: SpliceTotals = { aToB_bytes: 0, bToA_bytes: 0 };
  let idle: NodeJS.Timeout | null = null;
  let open = 2;

  const closed = (other: Socket, broken: boolean) => {
    if (broken) other.resetAndDestroy();
    open -= 1;
    if (open > 0) return;
    if (idle !== null) clearTimeout(idle);
    options.onDone(totals);
  };
  const halfClosed = () => {
    idle ??= setTimeout(() => {
      options.onHalfClosedTimeout();
      a.destroy();
      b.destroy();
    }, options.halfClosedIdle_ms);
  };
  const direction = (from: Socket, to: Socket, count: (bytes: number) => void) => {
    let ended = false;
    from.on('data', (bytes) => {
      count(bytes.length);
      idle?.refresh();
      if (!to.write(bytes)) from.pause();
    });
    to.on('drain', () => {
      idle?.refresh();
      from.resume();
    });
    const end = () => {
      ended = true;
      to.end();
      halfClosed();
    };
    // Whole only if this side said that it is done and all that was meant for it has left.
    const close = () => closed(to, !(ended && from.writableFinished));
    // What happened before the splice is not announced again.
    if (from.readableEnded) end();
    else from.on('end', end);
    if (from.closed) close();
    else from.on('close', close);
  };
  direction(a, b, (bytes) => {
    totals.aToB_bytes += bytes;
  });
  direction(b, a, (bytes) => {
    totals.bToA_bytes += bytes;
  });
  if (!b.writableNeedDrain) a.resume();
  if (!a.writableNeedDrain) b.resume();
}
