/** The leader's side of joining, with the store in place of Raft. */
import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { Admission, admissionsLimit } from '../../../control/cluster/admission.ts';
import { createRequest, isSignedBy, subjectOf } from '../../../control/pki/node-certificate.ts';
import { createRoot } from '../../../control/pki/root.ts';
import type { Outcome } from '../../../control/raft/pending.ts';
import type { Command } from '../../../control/store/commands.ts';
import { State } from '../../../control/store/state.ts';
import { initCommand } from '../store/commands.ts';

async function leader() {
  const root = await createRoot('cluster-0001', Date.now());
  const init = initCommand() as Extract<Command, { type: 'cluster.init' }>;
  init.cluster.caCertificate = root.certificate;
  init.cluster.caKey = root.key;
  const state = new State();
  state.apply(1, init);
  const propose = async (requestId: string, command: Command): Promise<Outcome> => {
    const index = state.version + 1;
    return { index, result: state.apply(index, command, requestId) };
  };
  return { root, state, admission: new Admission({ state, managers: () => [], propose }) };
}

async function joining(role: 'manager' | 'worker', more: object = {}) {
  const { request } = await createRequest();
  const secret = role === 'manager' ? 'm'.repeat(25) : 'w'.repeat(25);
  const address = { advertiseAddress: '192.0.2.50', controlPort: 2_377, addresses: ['192.0.2.50'] };
  return { secret, request, nodeId: 'node-joining', raftId: 50, name: 'joining', ...address, ...more };
}

t.test('the secret decides on the role, and the certificate says it', async (t) => {
  const { root, state, admission } = await leader();
  const answer = await admission.admit(await joining('worker'));
  t.match(answer, { role: 'worker', raftId: 0, clusterId: 'cluster-0001' });
  const certificate = new X509Certificate(answer.certificate);
  t.equal(isSignedBy(certificate, root.certificate, Date.now()), true);
  t.match(subjectOf(certificate), { nodeId: 'node-joining', role: 'worker', clusterId: 'cluster-0001' });
  t.match(state.get('node', 'node-joining'), { role: 'worker', raftId: 0, name: 'joining' });
  const address = { advertiseAddress: '192.0.2.51' };
  const manager = await admission.admit(
    await joining('manager', { nodeId: 'node-other', name: 'other', ...address }),
  );
  t.match(manager, { role: 'manager', raftId: 50 });
});

t.test('the same key may ask again; another key does not get the name of a node', async (t) => {
  const { state, admission } = await leader();
  const first = await joining('worker');
  await admission.admit(first);
  await admission.admit(first);
  t.equal(state.list('node').length, 2);
  await t.rejects(admission.admit(await joining('worker')), { code: 'NAME_IN_USE' });
  await t.rejects(admission.admit(await joining('manager')), { code: 'NAME_IN_USE' });
  await t.rejects(admission.admit(await joining('worker', { nodeId: 'node-0001', name: 'x' })), {
    code: 'NAME_IN_USE',
  });
});

t.test('what does not fit is refused and changes nothing', async (t) => {
  const { state, admission } = await leader();
  const bad: [object, string][] = [
    [{ secret: 'x'.repeat(25) }, 'INVALID_TOKEN'],
    [{ secret: '' }, 'INVALID_TOKEN'],
    [{ request: 'nonsense' }, 'BAD_REQUEST'],
    [{ name: 'Not A Name' }, 'BAD_REQUEST'],
    [{ advertiseAddress: '300.0.0.1' }, 'BAD_REQUEST'],
    [{ role: 'manager' }, 'BAD_REQUEST'],
    [{ name: 'n1' }, 'NAME_IN_USE'],
  ];
  for (const [more, code] of bad) await t.rejects(admission.admit(await joining('worker', more)), { code });
  t.equal(state.list('node').length, 1);
  t.match(admission.counters, { admitted: 0, refused: bad.length });
});

t.test('few are let in at one time', async (t) => {
  const { admission } = await leader();
  const asked = await joining('worker');
  const all = await Promise.allSettled(
    Array.from({ length: admissionsLimit + 5 }, () => admission.admit(asked)),
  );
  t.equal(all.filter((one) => one.status === 'rejected' && one.reason.code === 'OVERLOADED').length, 5);
});
