import t from 'tap';
import { effectiveCheck, planChecks } from '../../../control/health/plan.ts';
import { defaultHealthCheck, type Publish } from '../../../control/store/objects.ts';
import { homeNode, rendezvousWeight } from '../../../dataplane/home-node.ts';
import { makeEndpoint, makeNode, makeService } from './fixtures.ts';

const udp: Publish = { slot: 1, address: null, published: 53, target: null, protocol: 'udp' };
const tcp: Publish = { ...udp, protocol: 'tcp' };

t.test('home node', async (t) => {
  const nodes = ['n1', 'n2', 'n3', 'n4', 'n5'];
  const ids = Array.from({ length: 5_000 }, (_, index) => `endpoint-${index}`);
  t.equal(homeNode('e', []), null);
  t.equal(homeNode('e', ['only']), 'only');
  const counts = new Map<string, number>();
  let moved = 0;
  for (const id of ids) {
    const home = homeNode(id, nodes);
    if (home === null) throw new Error('no home');
    if (home !== homeNode(id, nodes.toReversed())) t.fail(`${id}: the order of nodes matters`);
    counts.set(home, (counts.get(home) ?? 0) + 1);
    const without = homeNode(
      id,
      nodes.filter((node) => node !== 'n3'),
    );
    if (home !== 'n3' && without !== home) moved += 1;
    if (home === 'n3' && without === 'n3') t.fail(`${id} stays with a node that left`);
  }
  t.equal(moved, 0, 'only endpoints of the node that left move');
  for (const node of nodes)
    t.ok(Math.abs((counts.get(node) ?? 0) - 1_000) < 150, `${node}: ${counts.get(node)} of 5000`);
  t.not(rendezvousWeight('a', 'bc'), rendezvousWeight('ab', 'c'));
});

t.test('each endpoint is checked by exactly one ready node', async (t) => {
  const nodes = [makeNode('n1'), makeNode('n2'), makeNode('n3', 'down')];
  const endpoints = [
    makeEndpoint({ id: 'local', nodeId: 'n1', port: 8_080 }),
    makeEndpoint({ id: 'attached', nodeId: 'n2', attachmentId: 'a1', address: '10.249.4.2' }),
    makeEndpoint({ id: 'removed', state: 'removed' }),
    makeEndpoint({ id: 'orphan', serviceId: 'gone' }),
    ...Array.from({ length: 40 }, (_, index) => makeEndpoint({ id: `plain${index}`, nodeId: null })),
  ];
  const services = [makeService()];
  const plans = nodes.slice(0, 2).map((node) => planChecks({ nodeId: node.id, nodes, services, endpoints }));
  const ids = plans.map((plan) => plan.targets.map((target) => target.endpointId));
  t.strictSame(
    ids.flat().toSorted(),
    ['attached', 'local', ...Array.from({ length: 40 }, (_, index) => `plain${index}`)].toSorted(),
  );
  t.ok(ids[0]?.includes('local') && ids[1]?.includes('attached'));
  t.ok(
    ids.every((list) => list.length > 5),
    'plain endpoints are shared out',
  );
  t.match(
    plans[1]?.targets.find((target) => target.endpointId === 'attached'),
    { address: '10.249.4.2', port: 80 },
  );
});

t.test('services without checks', async (t) => {
  t.equal(effectiveCheck({ publishes: [udp], check: defaultHealthCheck }).kind, 'none');
  t.equal(effectiveCheck({ publishes: [udp, tcp], check: defaultHealthCheck }).kind, 'tcp');
  t.equal(effectiveCheck({ publishes: [], check: defaultHealthCheck }).kind, 'tcp');
  const asked = { ...defaultHealthCheck, interval_ms: 1_000 };
  t.equal(effectiveCheck({ publishes: [udp], check: asked }).kind, 'tcp', 'unless asked');
  const plan = planChecks({
    nodeId: 'n1',
    nodes: [makeNode('n1')],
    services: [makeService({ check: { ...defaultHealthCheck, kind: 'none' } })],
    endpoints: [makeEndpoint({ id: 'a' }), makeEndpoint({ id: 'b', health: 'unhealthy', healthReason: 'x' })],
  });
  t.strictSame(plan, { targets: [], resets: [{ id: 'b', health: 'unknown', reason: '' }] });
});

t.test('the host field of HTTP checks', async (t) => {
  const host = (hosts: string[]) =>
    planChecks({
      nodeId: 'n1',
      nodes: [makeNode('n1')],
      services: [makeService({ hosts, check: { ...defaultHealthCheck, kind: 'http' } })],
      endpoints: [makeEndpoint()],
    }).targets[0]?.host;
  t.equal(host(['*.example.com', 'www.example.com']), 'www.example.com');
  t.equal(host(['*.example.com']), '127.0.0.1:80');
  t.equal(host(['bad\r\nname']), '127.0.0.1:80');
});
