/** The agent's Unix socket: who may open it, and whose it is when a file is there already. */
import { chownSync, existsSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { groupId } from './group.ts';
import { apiLimits } from './limits.ts';
import type { Api } from './schemas.ts';

/** Longest path that sun_path of unix(7) holds, with its final zero. */
const longestSocketPath = 107;
/** Time in which an agent that lives would have accepted a connection. */
const probeTime_ms = 1_000;

/** Where the API is served, and to whom besides the agent's own user. */
export type SocketOptions = {
  path: string;
  /** Name or number of the group that may open it as well; none unless given. */
  group?: string;
};

/**
 * Serves the app on a Unix socket, mode 0600, or 0660 with a group. A socket file that nobody answers on is what a
 * killed agent left behind, and is replaced; anything else in the way is an error that names the path.
 * `app.close()` takes the file away again.
 */
export async function listenOnSocket(app: Api, options: SocketOptions): Promise<void> {
  const { path } = options;
  if (Buffer.byteLength(path) > longestSocketPath) {
    throw new Error(
      `socket ${path}: the path is longer than ${longestSocketPath} bytes, which Unix sockets allow`,
    );
  }
  const gid = options.group === undefined ? undefined : groupId(options.group);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  await clearStaleSocket(path);
  limitConnections(app, path);
  await bind(app, path, gid === undefined ? 0o600 : 0o660);
  if (gid !== undefined) {
    try {
      chownSync(path, -1, gid);
    } catch (thrown) {
      await app.close();
      throw new Error(
        `socket ${path}: cannot be given to group "${options.group}": ${(thrown as Error).message}`,
      );
    }
  }
}

/** Bounds the connections; those that are turned away are counted in the log, the first and every hundredth. */
function limitConnections(app: Api, path: string): void {
  app.server.maxConnections = apiLimits.socketConnections;
  let refused = 0;
  app.server.on('drop', () => {
    if (refused % 100 === 0) {
      const limit = apiLimits.socketConnections;
      app.log.warn(
        { path, limit, refused: refused + 1 },
        'too many connections on the socket: one was turned away',
      );
    }
    refused += 1;
  });
}

/** Binds with the mode in place from the start: a chmod afterwards would leave a moment for anyone. */
function bind(app: Api, path: string, mode: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'another agent has just taken it' : error.message;
      reject(new Error(`socket ${path}: cannot be opened: ${why}`));
    };
    app.server.once('error', refuse);
    // libuv binds within listen(), so that the mask is in force for nothing else.
    const mask = process.umask(0o777 & ~mode);
    try {
      app.server.listen({ path }, () => {
        app.server.off('error', refuse);
        resolve();
      });
    } finally {
      process.umask(mask);
    }
  });
}

/** Removes a socket file that nobody answers on. Throws when somebody does, or when it is no socket. */
async function clearStaleSocket(path: string): Promise<void> {
  const file = lstatSync(path, { throwIfNoEntry: false });
  if (file === undefined) return;
  if (!file.isSocket()) {
    throw new Error(`socket ${path}: a file that is no socket is there; remove it or name another --socket`);
  }
  if (await answers(path)) {
    throw new Error(`socket ${path}: address in use: another agent answers on it; name another --socket`);
  }
  if (existsSync(path)) unlinkSync(path);
}

/** True if something accepts connections on the socket, or might: silence and refusal of access count as life. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection({ path });
    const settle = (alive: boolean) => {
      clearTimeout(timer);
      connection.destroy();
      resolve(alive);
    };
    const timer = setTimeout(() => settle(true), probeTime_ms);
    connection.once('connect', () => settle(true));
    connection.once('error', (error: NodeJS.ErrnoException) => {
      settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}
