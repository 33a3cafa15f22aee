/** One client connection of DNS over TCP (RFC 7766): pipelined queries, answers in whatever order they are ready. */
import type { Socket } from 'node:net';
import type { DnsCounters } from './counters.ts';
import { FrameReader, frame } from './framing.ts';
import { maxQuery_bytes } from './message.ts';

export type TcpConnectionOptions = {
  /**
   * Time without a complete query or a sent answer after which the connection is closed. Single bytes do not
   * extend it, so that a client that dribbles cannot hold a connection for ever.
   */
  idle_ms: number;
  /** Queries of one connection being answered at a time; above it, reading pauses. */
  maxPipelined: number;
  /** Answer bytes that the client has not taken yet, above which reading pauses. */
  maxUnsent_bytes: number;
};

export const defaultTcpConnectionOptions: TcpConnectionOptions = {
  idle_ms: 10_000,
  maxPipelined: 32,
  maxUnsent_bytes: 262_144,
};

/** Answers one message, at once or later, or undefined if it is to be dropped. Must not throw or reject. */
export type Respond = (message: Buffer) => Buffer | Promise<Buffer> | undefined;

/** Serves queries from `socket`, which it owns from here on and which must have been made with allowHalfOpen. */
export function serveTcpConnection(
  socket: Socket,
  respond: Respond,
  counters: DnsCounters,
  options: TcpConnectionOptions,
): void {
  const reader = new FrameReader(maxQuery_bytes);
  /** Complete queries not begun yet; at most one chunk's worth, since reading is paused while there are any. */
  let waiting: Buffer[] = [];
  let pending = 0;
  let ended = false;

  const idle = setTimeout(() => {
    counters.count('tcpClosedIdle');
    socket.destroy();
  }, options.idle_ms);

  const busy = () => pending >= options.maxPipelined || socket.writableLength > options.maxUnsent_bytes;

  const answerOne = async (message: Buffer) => {
    pending += 1;
    const reply = await respond(message);
    pending -= 1;
    if (socket.destroyed) return;
    if (reply !== undefined && socket.writable) {
      socket.write(frame(reply));
      idle.refresh();
    }
    advance();
  };

  const advance = () => {
    while (!busy()) {
      const message = waiting.shift();
      if (message === undefined) break;
      void answerOne(message);
    }
    if (waiting.length > 0 || busy()) socket.pause();
    else if (ended && pending === 0) socket.end();
    else socket.resume();
  };

  socket.on('data', (chunk) => {
    if (typeof chunk === 'string') return; // never: no encoding was set
    const messages = reader.push(chunk);
    if (messages === undefined) {
      counters.count('tcpClosedOversize');
      socket.destroy();
      return;
    }
    if (messages.length > 0) idle.refresh();
    waiting = waiting.concat(messages);
    advance();
  });
  socket.on('drain', () => {
    idle.refresh();
    advance();
  });
  socket.on('end', () => {
    ended = true;
    advance();
  });
  socket.on('error', () => counters.count('socketErrors'));
  socket.on('close', () => clearTimeout(idle));
}
