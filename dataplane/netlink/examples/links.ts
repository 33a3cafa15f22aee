/**
 * Makes a namespace with a veth pair and a few routes, shows what the kernel made of it, and takes it away again.
 * Run as root: `node examples/links.ts`
 */
import {
  addresses,
  links,
  NetlinkError,
  NetlinkSocket,
  netns,
  prepareThreads,
  routes,
  subscribe,
  unwrapBatch,
} from '../src/index.ts';

await prepareThreads();
using ns = netns.createAnonymous();
using nl = NetlinkSocket.open({ netns: ns });
using events = subscribe(['link'], { netns: ns });

await nl.request(links.create({ kind: 'veth', name: 'left', up: true, peer: { name: 'right' } }));
await nl.request(links.set('right', { up: true }));
await nl.request(addresses.add({ link: 'left', address: '192.0.2.1/24' }));

const destinations = Array.from({ length: 1000 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`);
const start_ms = performance.now();
unwrapBatch(
  await nl.batch(destinations.map((destination) => routes.add({ destination, gateway: '192.0.2.2' }))),
);
const elapsed_ms = performance.now() - start_ms;
console.log(`${destinations.length} routes in ${elapsed_ms.toFixed(1)} ms`);

for (const link of await nl.request(links.list())) {
  console.log(
    `${link.index}: ${link.name} ${link.kind ?? '-'} ${link.up ? 'up' : 'down'} mtu ${link.mtu_bytes}`,
  );
}
const route = await nl.request(routes.get('10.1.2.3'));
console.log(`10.1.2.3 goes by ${route.gateway} from ${route.preferredSource}`);

try {
  await nl.request(routes.add({ destination: '10.1.2.3/24', gateway: '192.0.2.2' }));
} catch (error) {
  if (!(error instanceof NetlinkError)) throw error;
  console.log(error.message);
}

for await (const event of events) {
  if (event.type !== 'link') continue;
  console.log(`event: ${event.action} ${event.link.name}`);
  break;
}
