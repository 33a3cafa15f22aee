/** Random streams of commands: what must hold after each of them. */
import t from 'tap';
import { type Command, parseCommand } from '../../../control/store/commands.ts';
import { eligibleSlots, sameSet } from '../../../control/store/generations.ts';
import { limits } from '../../../control/store/objects.ts';
import { claimsOf, isRouted } from '../../../control/store/ports.ts';
import { State } from '../../../control/store/state.ts';
import { initCommand, randomCommand, seededRandom } from './commands.ts';

const steps = 600;

/** Throws if two objects share what must be theirs alone, or a generation breaks its rules. */
function checkInvariants(state: State): void {
  const unique = (what: string, values: (string | number)[]) => {
    if (new Set(values).size !== values.length) throw new Error(`${what} collide: ${values.join(' ')}`);
  };
  const services = state.list('service');
  const endpoints = state.list('endpoint');
  unique(
    'node slots',
    state.list('node').map((node) => node.slot),
  );
  unique(
    'endpoint slots',
    endpoints.map((endpoint) => endpoint.slot),
  );
  unique(
    'frontend slots',
    services.flatMap((service) => service.publishes.map((p) => p.slot)).filter((slot) => slot > 0),
  );
  unique(
    'VIPs',
    services.flatMap((service) => (service.vip === null ? [] : [service.vip])),
  );
  unique(
    'attachment addresses',
    state.list('attachment').map((attachment) => attachment.address),
  );
  unique(
    'claims',
    services.flatMap((service) =>
      service.publishes.some((p) => isRouted(p.protocol)) ? [] : claimsOf(service),
    ),
  );
  for (const service of services) {
    const own = state.endpointsOf(service.id);
    const slots = new Set(own.map((endpoint) => endpoint.slot));
    const named = new Set(service.generations.flat());
    const current = eligibleSlots(
      { endpointsOf: (id: string) => state.endpointsOf(id), get: state.get.bind(state) } as never,
      service.id,
    );
    if (service.generations.length > limits.generationsPerService) throw new Error('too many generations');
    service.generations.forEach((set, position) => {
      if (set.length === 0) throw new Error('an empty generation');
      if (sameSet(set, current)) throw new Error('the current set is remembered as a former one');
      if (service.generations.slice(position + 1).some((other) => sameSet(set, other)))
        throw new Error('a generation twice');
    });
    for (const slot of named)
      if (!slots.has(slot)) throw new Error(`generation names slot ${slot}, which no endpoint has`);
    for (const endpoint of own) {
      if (endpoint.state === 'removed' && !named.has(endpoint.slot))
        throw new Error(`removed ${endpoint.id} lingers`);
    }
  }
  for (const endpoint of endpoints) {
    if (state.get('service', endpoint.serviceId) === undefined)
      throw new Error('an endpoint without service');
  }
}

/** The parts of a snapshot that a refused command must leave alone. */
function contents(state: State): string {
  const { objects, cursors } = JSON.parse(Buffer.from(state.snapshot()).toString());
  return JSON.stringify({ objects, cursors });
}

for (const seed of [1, 2, 3, 4]) {
  t.test(`random commands, seed ${seed}`, async (t) => {
    const random = seededRandom(seed);
    const state = new State();
    let twin = new State();
    const follower = new State();
    const log: Command[] = [initCommand()];
    let refused = 0;
    for (let index = 1; index <= steps; index += 1) {
      const command = parseCommand(log[index - 1]);
      const before = contents(state);
      const result = state.apply(index, command, `request-${index}`);
      twin.apply(index, command, `request-${index}`);
      if (!result.ok) {
        refused += 1;
        if (result.error.code === 'INTERNAL') t.fail(JSON.stringify(result.error));
        if (contents(state) !== before) t.fail(`refused ${command.type} changed something`);
      }
      checkInvariants(state);
      for (const batch of state.journal.after(index - 1, 10) ?? []) follower.follow(batch);
      if (follower.version < index) follower.skip(index);
      if (index % 100 === 0) twin = State.restore(twin.snapshot());
      log.push(randomCommand(random, index, state));
    }
    t.ok(refused > 20 && refused < steps / 1.5, `${refused} of ${steps} refused`);
    t.ok(state.list('service').length > 3 && state.list('endpoint').length > 10, 'the run made something');
    t.ok(Buffer.from(state.snapshot()).equals(Buffer.from(twin.snapshot())), 'same log, same bytes');
    const { objects } = JSON.parse(Buffer.from(follower.snapshot()).toString());
    t.strictSame(
      objects,
      JSON.parse(Buffer.from(state.snapshot()).toString()).objects,
      'changes alone tell all',
    );
  });
}
