/** How results and failures look. */
import { CommanderError } from 'commander';
import t from 'tap';
import { dropTable, flowTable } from '../../../control/cli/commands/counters.ts';
import {
  checkBody,
  convergenceText,
  createBody,
  updateBody,
} from '../../../control/cli/commands/service-change.ts';
import { publishText } from '../../../control/cli/commands/service-tables.ts';
import { formatFailure, toFailure } from '../../../control/cli/failure.ts';
import { near } from '../../../control/cli/near.ts';
import { formatFields, formatTable, printable, shortId } from '../../../control/cli/output.ts';
import { firstWord, requestedFormat } from '../../../control/cli/program.ts';
import { UsageError } from '../../../control/cli/usage-error.ts';
import { shoalError } from '../../../control/errors.ts';

t.test('tables pad their columns and end their lines clean', async (t) => {
  t.equal(
    formatTable(
      ['ID', 'NAME', 'NOTE'],
      [
        ['1', 'a-long-name', ''],
        ['22', 'b', 'x'],
      ],
    ),
    ['ID   NAME          NOTE', '1    a-long-name', '22   b             x'].join('\n'),
  );
  t.equal(formatTable(['ID'], []), 'ID');
  t.equal(
    formatFields([
      ['A', '1'],
      ['Longer', ''],
    ]),
    'A:       1\nLonger:',
  );
  t.equal(shortId('abcdefghijklmnop'), 'abcdefghijkl');
});

t.test('nothing from elsewhere reaches the terminal as a control sequence', async (t) => {
  t.equal(printable('a\u001b[31mb\nc\u009b'), 'a?[31mb?c?');
  t.equal(formatTable(['A'], [['\u001b[2J']]), 'A\n?[2J');
});

t.test('ports read as in Docker', async (t) => {
  const port = { slot: 1, address: null, published: 8_080, target: 80, protocol: 'tcp' } as const;
  t.equal(publishText(port), '*:8080->80/tcp');
  t.equal(publishText({ ...port, target: null, address: '192.0.2.1' }), '192.0.2.1:8080/tcp');
});

t.test('drops and flows', async (t) => {
  const drops = [
    { reason: 'a', description: 'first', packets: 0 },
    { reason: 'b', description: 'second', packets: 3 },
  ];
  t.equal(dropTable(drops, false), 'REASON   PACKETS   DESCRIPTION\nb        3         second');
  t.match(dropTable(drops, true), /b .*\na /);
  t.equal(dropTable([], false), 'No packet has been dropped.');
  t.equal(flowTable({ flows: [], total: 0, limit: 1 }), 'No flow has its endpoint on this node.');
});

t.test('how far a change has come', async (t) => {
  t.same(convergenceText('web', { applied: ['a', 'b', 'c'], missing: [] }), {
    reached: 'web: 3 of 3 nodes have it',
  });
  t.match(convergenceText('web', { applied: ['a'], missing: ['b', 'c'] }), {
    reached: 'web: 1 of 3 nodes have it',
    warning: /not yet on b, c; the change is made/,
  });
});

t.test('bodies from options', async (t) => {
  const http = { address: null, published: 80, target: null, protocol: 'http' } as const;
  t.throws(() => createBody('web', { publish: [http] }), {
    message:
      '--publish "80/http": http is routed by host name; expected at least one --host HOSTNAME as well',
  });
  t.same(createBody('web', { publish: [http], host: ['a.b'], vip: null, checkRise: 2 }), {
    name: 'web',
    publishes: [http],
    endpoints: [],
    hosts: ['a.b'],
    vip: null,
    check: { rise: 2 },
  });
  t.equal(checkBody({}), undefined);
  t.same(
    checkBody({ check: { kind: 'http', path: '/x' }, checkInterval: 100, checkTimeout: 50, checkFall: 3 }),
    {
      kind: 'http',
      path: '/x',
      interval_ms: 100,
      timeout_ms: 50,
      fall: 3,
    },
  );
  t.throws(() => updateBody({}), { message: /nothing to change/ });
  t.throws(() => updateBody({ ifVersion: 3 }), { message: /nothing to change/ });
  t.same(updateBody({ hostAdd: ['a.b'], ifVersion: 3 }), { hostAdd: ['a.b'], version: 3 });
  const place = { address: '10.0.0.1', port: 80 };
  t.same(updateBody({ endpointRm: [place], publishRm: [http] }), {
    endpointRemove: [place],
    publishRemove: [http],
  });
});

t.test('failures', async (t) => {
  const usage = toFailure(new UsageError('--port', 'x', 'a port'));
  t.same(usage, { code: 'USAGE', message: '--port "x": expected a port', exitCode: 2 });
  t.equal(
    formatFailure(usage, 'table', 'shoal attach'),
    'shoal: --port "x": expected a port\n  see shoal attach --help',
  );
  t.equal(
    formatFailure(usage, 'json', 'shoal attach'),
    '{"error":{"code":"USAGE","message":"--port \\"x\\": expected a port","hint":"see shoal attach --help"}}',
  );
  const wrong = "error: unknown option '--prot'\n(Did you mean --port?)";
  t.match(toFailure(new CommanderError(1, 'commander.unknownOption', wrong)), {
    message: "unknown option '--prot'",
    hint: 'Did you mean --port?',
    exitCode: 2,
  });
  const refused = toFailure(shoalError('UNKNOWN_SERVICE', { name: 'web' }));
  t.match(refused, { code: 'UNKNOWN_SERVICE', exitCode: 1, hint: /service ls/ });
  t.equal(
    formatFailure(refused, 'table', 'shoal service rm'),
    'shoal: there is no service "web"\n  shoal service ls lists the services',
  );
  t.match(toFailure(new Error('odd')), { code: 'INTERNAL', message: 'odd', exitCode: 1 });
  t.match(toFailure('odd'), { code: 'INTERNAL', message: 'odd', exitCode: 1 });
});

t.test('the command and the format are found before anything is parsed', async (t) => {
  t.equal(firstWord(['--socket', '/x', 'service', 'ls']), 'service');
  t.equal(firstWord(['--socket=/x', '--format', 'json', 'node']), 'node');
  t.equal(firstWord(['--help']), undefined);
  t.equal(requestedFormat(['node', 'ls', '--format', 'json']), 'json');
  t.equal(requestedFormat(['--format=json', 'node', 'ls']), 'json');
  t.equal(requestedFormat(['--format', 'json', '--format', 'table']), 'table');
  t.equal(requestedFormat(['--format']), 'table');
  t.equal(requestedFormat([]), 'table');
});

t.test('the near word', async (t) => {
  const known = ['advertise-addr', 'uplink', 'data-dir', 'socket'];
  t.equal(near('advertise-address', known), 'advertise-addr');
  t.equal(near('upilnk', known), 'uplink');
  t.equal(near('data_dir', known), 'data-dir');
  t.equal(near('colour', known), undefined);
  t.equal(near('x'.repeat(1_000), known), undefined);
  t.equal(near('a', []), undefined);
});
