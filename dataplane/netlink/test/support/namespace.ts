/** Namespaces of a test's own, gone after it, also when it failed. */
import { links, type NetlinkSocket, netns, NetlinkSocket as Socket } from '../../src/index.ts';

/** A new namespace with its loopback up and a socket in it. */
export interface TestNamespace extends Disposable {
  readonly name: string;
  readonly nl: NetlinkSocket;
}

const made = new Set<string>();
// A test that hangs or crashes never reaches its `using`.
process.on('exit', () => {
  for (const name of made) netns.remove(name);
});

/** Makes a namespace. @param subject makes its name tell which test it belongs to */
export function makeNamespace(subject: string): TestNamespace {
  const name = `shoal-netlink-${process.pid}-${subject}`;
  netns.remove(name);
  made.add(name);
  netns.create(name);
  try {
    const nl = Socket.open({ netns: name });
    nl.requestSync(links.set('lo', { up: true }));
    return {
      name,
      nl,
      [Symbol.dispose]() {
        nl.close();
        netns.remove(name);
        made.delete(name);
      },
    };
  } catch (error) {
    netns.remove(name);
    throw error;
  }
}

/** A veth pair v0, v1 with both ends up. */
export function addVeth(nl: NetlinkSocket): void {
  nl.requestSync(links.create({ kind: 'veth', name: 'v0', mac: '02:00:00:00:00:01', peer: { name: 'v1' } }));
  nl.requestSync(links.set('v0', { up: true }));
  nl.requestSync(links.set('v1', { up: true }));
}
