/** `shoal service create` and `update`: changes, and the wait until all nodes have them. */
import { Argument, Command, Option } from 'commander';
import type { ChangedService, CreateBody, UpdateBody } from '../../api/routes/services/schemas.ts';
import { examples, listOption, quietOption, valueOption } from '../options.ts';
import type { Output } from '../output.ts';
import {
  type CheckArgument,
  parseCheck,
  parseCheckCount,
  parseCheckInterval_ms,
  parseCheckTimeout_ms,
} from '../parse/check.ts';
import { parseName, parseReference } from '../parse/name.ts';
import { parseInteger } from '../parse/number.ts';
import {
  type EndpointArgument,
  type PublishArgument,
  parseEndpoint,
  parseEndpointReference,
  parseHost,
  parsePublish,
  parseVip,
} from '../parse/publish.ts';
import { withAgent } from '../session.ts';
import { UsageError } from '../usage-error.ts';

const publishForm = '[ADDR:]PUBLISHED[:TARGET][/tcp|udp|http|tls]';

type CheckOptions = {
  check?: CheckArgument;
  checkInterval?: number;
  checkTimeout?: number;
  checkRise?: number;
  checkFall?: number;
};

type WaitOptions = { detach?: boolean; quiet?: boolean };

/** Adds the options of a health check. */
function checkOptions(command: Command): Command {
  return command
    .addOption(valueOption('--check <kind>', 'tcp, http, http:PATH or none', parseCheck))
    .addOption(valueOption('--check-interval <time>', 'time between two checks', parseCheckInterval_ms))
    .addOption(valueOption('--check-timeout <time>', 'time after which one has failed', parseCheckTimeout_ms))
    .addOption(
      valueOption('--check-rise <n>', 'successes in a row that bring an endpoint back', parseCheckCount),
    )
    .addOption(valueOption('--check-fall <n>', 'failures in a row that take it out', parseCheckCount));
}

/** Adds the options of waiting. */
function waitOptions(command: Command): Command {
  return command
    .addOption(new Option('-d, --detach', 'do not wait until all nodes have it'))
    .addOption(quietOption('print the id only'));
}

/** What the options say of the check; undefined when they say nothing. Pure. */
export function checkBody(options: CheckOptions): CheckArgument | undefined {
  const { check, checkInterval, checkTimeout, checkRise, checkFall } = options;
  const body: CheckArgument = {
    ...check,
    ...(checkInterval === undefined ? {} : { interval_ms: checkInterval }),
    ...(checkTimeout === undefined ? {} : { timeout_ms: checkTimeout }),
    ...(checkRise === undefined ? {} : { rise: checkRise }),
    ...(checkFall === undefined ? {} : { fall: checkFall }),
  };
  return Object.keys(body).length === 0 ? undefined : body;
}

/** Says how far a change has come: `web: 3 of 3 nodes have it`. Pure. */
export function convergenceText(
  name: string,
  { applied, missing }: NonNullable<ChangedService['convergence']>,
) {
  const reached = `${name}: ${applied.length} of ${applied.length + missing.length} nodes have it`;
  if (missing.length === 0) return { reached };
  return {
    reached,
    warning: `${name}: not yet on ${missing.join(', ')}; the change is made, and reaches them when they can apply it`,
  };
}

/**
 * Prints the service after a change. Nodes that do not have it yet are a warning and no failure: the change is
 * committed, and repeating it would be an error.
 */
function showChange(output: Output, changed: ChangedService, { quiet }: WaitOptions): void {
  const text =
    changed.convergence === undefined ? undefined : convergenceText(changed.name, changed.convergence);
  output.result(changed, () =>
    quiet === true || text === undefined ? changed.id : `${changed.id}\n${text.reached}`,
  );
  if (text?.warning !== undefined) output.warn(text.warning);
}

/** `wait_ms` of the request. */
const waitQuery = ({ detach }: WaitOptions) => (detach === true ? { wait_ms: 0 } : {});

type CreateOptions = CheckOptions &
  WaitOptions & {
    publish?: PublishArgument[];
    endpoint?: EndpointArgument[];
    host?: string[];
    vip?: string | null;
  };

/** The body that the options of create mean. Pure. Throws {@link UsageError} for a host-routed port without hosts. */
export function createBody(name: string, options: CreateOptions): CreateBody {
  const { publish = [], endpoint = [], host = [], vip } = options;
  const routed = publish.find(({ protocol }) => protocol === 'http' || protocol === 'tls');
  if (routed !== undefined && host.length === 0) {
    throw new UsageError(
      '--publish',
      `${routed.published}/${routed.protocol}`,
      'at least one --host HOSTNAME as well',
      `${routed.protocol} is routed by host name`,
    );
  }
  const check = checkBody(options);
  return {
    name,
    publishes: publish,
    endpoints: endpoint,
    hosts: host,
    ...(vip === undefined ? {} : { vip }),
    ...(check === undefined ? {} : { check }),
  };
}

export function createCommand(): Command {
  const command = new Command('create')
    .summary('publish a service on every node')
    .description(
      'Publish a service on every node. Waits until all ready nodes have it; if some do not in time, warns and ' +
        'exits with 0, since the change is made.',
    )
    .addArgument(
      new Argument('<name>', 'its name, also in DNS').argParser((value) => parseName('name', value)),
    )
    .addOption(listOption('-p, --publish <port>', `port to publish: ${publishForm}`, parsePublish))
    .addOption(
      listOption(
        '--endpoint <place>',
        'what serves it: ADDR:PORT, or ADDR:PORT@NODE on a node',
        parseEndpoint,
      ),
    )
    .addOption(
      listOption('--host <name>', 'host name that http and tls ports route here, or *.DOMAIN', parseHost),
    )
    .addOption(valueOption('--vip <addr>', 'virtual IP: auto, none or an address (default: auto)', parseVip));
  waitOptions(checkOptions(command)).action((name: string, options: CreateOptions) => {
    const body = createBody(name, options);
    return withAgent(command, async ({ agent, output }) => {
      showChange(output, await agent.post<ChangedService>('/v1/services', body, waitQuery(options)), options);
    });
  });
  return examples(
    command,
    'shoal service create web --publish 8080:80 --endpoint 10.0.0.5:80 --endpoint 10.0.0.6:80',
    'shoal service create api -p 443/tls --host api.example.com --endpoint 127.0.0.1:8443@edge-1',
    'shoal service create dns -p 53/udp --vip none --check none --endpoint 10.0.0.7:5353',
  );
}

type UpdateOptions = CheckOptions &
  WaitOptions & {
    endpointAdd?: EndpointArgument[];
    endpointRm?: { address: string; port: number; node?: string }[];
    publishAdd?: PublishArgument[];
    publishRm?: PublishArgument[];
    hostAdd?: string[];
    hostRm?: string[];
    ifVersion?: number;
  };

/** The body that the options of update mean. Pure. Throws {@link UsageError} when they change nothing. */
export function updateBody(options: UpdateOptions): UpdateBody {
  const named = {
    endpointAdd: options.endpointAdd,
    endpointRemove: options.endpointRm,
    publishAdd: options.publishAdd,
    publishRemove: options.publishRm,
    hostAdd: options.hostAdd,
    hostRemove: options.hostRm,
    check: checkBody(options),
  };
  const body = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
  if (Object.keys(body).length === 0) {
    throw new UsageError(
      'update',
      undefined,
      'at least one option such as --endpoint-add',
      'nothing to change',
    );
  }
  return { ...body, ...(options.ifVersion === undefined ? {} : { version: options.ifVersion }) };
}

export function updateCommand(): Command {
  const command = new Command('update')
    .summary('change a service')
    .description(
      'Change a service, all at once or not at all; open connections stay where they are. Waits as create does.',
    )
    .addArgument(
      new Argument('<service>', 'name or id').argParser((value) => parseReference('service', value)),
    )
    .addOption(listOption('--endpoint-add <place>', 'endpoint to add: ADDR:PORT[@NODE]', parseEndpoint))
    .addOption(
      listOption('--endpoint-rm <place>', 'endpoint to take away: ADDR:PORT[@NODE]', parseEndpointReference),
    )
    .addOption(listOption('--publish-add <port>', `port to add: ${publishForm}`, parsePublish))
    .addOption(listOption('--publish-rm <port>', `port to take away: ${publishForm}`, parsePublish))
    .addOption(listOption('--host-add <name>', 'host name to add', parseHost))
    .addOption(listOption('--host-rm <name>', 'host name to take away', parseHost))
    .addOption(
      valueOption('--if-version <n>', 'only if the service is still at this version', (flag, value) =>
        parseInteger(flag, value, 0, Number.MAX_SAFE_INTEGER),
      ),
    );
  waitOptions(checkOptions(command)).action((ref: string, options: UpdateOptions) => {
    const body = updateBody(options);
    return withAgent(command, async ({ agent, output }) => {
      const path = `/v1/services/${encodeURIComponent(ref)}`;
      showChange(output, await agent.patch<ChangedService>(path, body, waitQuery(options)), options);
    });
  });
  return examples(
    command,
    'shoal service update web --endpoint-add 10.0.0.7:80 --endpoint-rm 10.0.0.5:80',
    'shoal service update web --check http:/healthz --check-interval 500ms',
  );
}
