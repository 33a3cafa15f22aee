/** Transcripts of a cluster that is driven by hand, one command at a time. */

import { RaftError } from '../core/errors.ts';
import { EMPTY_CONF_STATE } from '../core/states.ts';
import type { AnyConfChange, ConfChangeTransition, MessageType, Snapshot } from '../core/types.ts';
import {
  badCase,
  firstNumber,
  parseNumber,
  parseTruth,
  plainNumbers,
  truthOf,
  valuesOf,
} from './arguments.ts';
import { parseChanges } from './changes.ts';
import { Cluster, type Recipient } from './cluster.ts';
import { CommandError } from './command-error.ts';
import type { TranscriptCase } from './datadriven.ts';
import { transcriptErrorText } from './errors.ts';
import type { Member, MemberConfig } from './member.ts';
import { LOG_LEVELS, Output, parseLogLevel } from './output.ts';

const ELECTION_TICKS = 3;
const HEARTBEAT_TICKS = 1;
const MAX_INFLIGHT_MESSAGES = 2 ** 31 - 1;
const NO_BYTES = new Uint8Array(0);

const MESSAGE_TYPES: Record<MessageType, true> = {
  MsgHup: true,
  MsgBeat: true,
  MsgProp: true,
  MsgApp: true,
  MsgAppResp: true,
  MsgVote: true,
  MsgVoteResp: true,
  MsgSnap: true,
  MsgHeartbeat: true,
  MsgHeartbeatResp: true,
  MsgUnreachable: true,
  MsgSnapStatus: true,
  MsgCheckQuorum: true,
  MsgTransferLeader: true,
  MsgTimeoutNow: true,
  MsgReadIndex: true,
  MsgReadIndexResp: true,
  MsgPreVote: true,
  MsgPreVoteResp: true,
  MsgStorageAppend: true,
  MsgStorageAppendResp: true,
  MsgStorageApply: true,
  MsgStorageApplyResp: true,
  MsgForgetLeader: true,
};

const TRANSITIONS: Record<string, ConfChangeTransition> = {
  auto: 'ConfChangeTransitionAuto',
  implicit: 'ConfChangeTransitionJointImplicit',
  explicit: 'ConfChangeTransitionJointExplicit',
};

/** What a command works on. */
interface Stage {
  readonly cluster: Cluster;
  readonly output: Output;
}

type Command = (stage: Stage, given: TranscriptCase) => void;

const COMMANDS: Record<string, Command> = {
  // A place to stop a debugger at.
  _breakpoint: () => undefined,
  'add-nodes': addNodes,
  campaign: (stage, given) => first(stage, given).node.campaign(),
  compact: (stage, given) => {
    const member = first(stage, given);
    member.storage.compact(parseNumber(given, given.args[1]?.key));
    stage.cluster.printLog(member);
  },
  'deliver-msgs': deliverMessages,
  'forget-leader': (stage, given) => first(stage, given).node.forgetLeader(),
  'log-level': ({ output }, given) => setLogLevel(output, given.args[0]?.key ?? ''),
  'process-ready': (stage, given) =>
    onEach(stage, given, 'handling Ready', (member) => member.processReady()),
  'process-append-thread': (stage, given) =>
    onEach(stage, given, 'processing append thread', (member) => member.processAppendThread()),
  'process-apply-thread': (stage, given) =>
    onEach(stage, given, 'processing apply thread', (member) => member.processApplyThread()),
  propose: (stage, given) => {
    const data = given.args[1];
    if (given.args.length !== 2 || data === undefined || data.values.length > 0)
      badCase(given, 'one word is expected');
    first(stage, given).node.propose(new TextEncoder().encode(data.key));
  },
  'propose-conf-change': (stage, given) => first(stage, given).node.proposeConfChange(confChangeOf(given)),
  'raft-log': (stage, given) => stage.cluster.printLog(first(stage, given)),
  'raft-state': ({ cluster }) => cluster.printStates(),
  'report-unreachable': ({ cluster }, given) => {
    const [reporter, reported, ...more] = plainNumbers(given);
    if (reporter === undefined || reported === undefined || more.length > 0) {
      throw new CommandError(
        'must specify exactly two node indexes: node on which to report, and reported node',
      );
    }
    cluster.member(reporter).node.reportUnreachable(cluster.member(reported).id);
  },
  'send-snapshot': ({ cluster }, given) => {
    const [from, to, ...more] = plainNumbers(given);
    if (from === undefined || to === undefined || more.length > 0)
      badCase(given, 'two node ids are expected');
    cluster.sendSnapshot(cluster.member(from), cluster.member(to));
  },
  'set-randomized-election-timeout': (stage, given) => {
    const ticks = parseNumber(given, valuesOf(given, 'timeout')?.[0]);
    if (ticks === 0) badCase(given, 'timeout must not be 0');
    first(stage, given).node.setRandomizedElectionTicks(ticks);
  },
  stabilize,
  status: (stage, given) => stage.cluster.printProgress(first(stage, given)),
  'tick-election': (stage, given) => tickTimes(first(stage, given), ELECTION_TICKS),
  'tick-heartbeat': (stage, given) => tickTimes(first(stage, given), HEARTBEAT_TICKS),
  'transfer-leadership': ({ cluster }, given) => {
    const from = parseNumber(given, valuesOf(given, 'from')?.[0]);
    const to = parseNumber(given, valuesOf(given, 'to')?.[0]);
    cluster.member(from).node.transferLeader(cluster.member(to).id);
  },
};

/** A player with a cluster that each case acts on. Output is `ok` if a case prints nothing. */
export function newInteractionPlayer(): (given: TranscriptCase) => string {
  const output = new Output();
  const stage: Stage = { cluster: new Cluster(output), output };
  return (given) => {
    output.take();
    try {
      const command = Object.hasOwn(COMMANDS, given.command) ? COMMANDS[given.command] : undefined;
      if (command === undefined) throw new CommandError('unknown command');
      command(stage, given);
    } catch (error) {
      const text = commandErrorText(error);
      // Errors are printed even where all other output is off.
      if (output.isQuiet) return text;
      output.write(text);
    }
    return output.take() || 'ok';
  };
}

function commandErrorText(error: unknown): string {
  if (error instanceof CommandError) return error.message;
  if (error instanceof RaftError) return transcriptErrorText(error);
  throw error;
}

function first({ cluster }: Stage, given: TranscriptCase): Member {
  return cluster.member(firstNumber(given));
}

function onEach(
  { cluster, output }: Stage,
  given: TranscriptCase,
  what: string,
  run: (member: Member) => void,
): void {
  const members = plainNumbers(given).map((id) => cluster.member(id));
  for (const member of members) {
    if (members.length === 1) {
      run(member);
    } else {
      output.writeLine(`> ${member.id} ${what}`);
      output.indented(() => run(member));
    }
  }
}

function tickTimes({ node }: Member, count: number): void {
  for (let n = 0; n < count; n += 1) node.tick();
}

function setLogLevel(output: Output, name: string): void {
  const level = parseLogLevel(name);
  if (level === undefined) throw new CommandError(`log levels must be either of [${LOG_LEVELS.join(' ')}]`);
  output.level = level;
}

function stabilize({ cluster, output }: Stage, given: TranscriptCase): void {
  const ids = plainNumbers(given);
  const before = output.level;
  try {
    const level = valuesOf(given, 'log-level')?.at(-1);
    if (level !== undefined) setLogLevel(output, level);
    cluster.stabilize(ids.length > 0 ? ids.map((id) => cluster.member(id)) : cluster.members);
  } finally {
    output.level = before;
  }
}

function deliverMessages({ cluster, output }: Stage, given: TranscriptCase): void {
  const recipients: Recipient[] = plainNumbers(given).map((id) => ({ id, drop: false }));
  let type: MessageType | undefined;
  for (const { key, values } of given.args) {
    for (const value of values) {
      if (key === 'type') {
        if (!isMessageType(value)) badCase(given, `unknown message type ${value}`);
        type = value;
      } else if (key === 'drop') {
        const id = parseNumber(given, value);
        if (recipients.some((recipient) => recipient.id === id))
          badCase(given, `both deliver and drop for ${id}`);
        recipients.push({ id, drop: true });
      }
    }
  }
  if (cluster.deliver(recipients, type) === 0) output.writeLine('no messages');
}

function isMessageType(name: string): name is MessageType {
  return Object.hasOwn(MESSAGE_TYPES, name);
}

function confChangeOf(given: TranscriptCase): AnyConfChange {
  let isV1 = false;
  let transition: ConfChangeTransition = 'ConfChangeTransitionAuto';
  for (const { key, values } of given.args.slice(1)) {
    for (const value of values) {
      if (key === 'v1') {
        const truth = parseTruth(value);
        if (truth === undefined)
          throw new CommandError(`strconv.ParseBool: parsing "${value}": invalid syntax`);
        isV1 = truth;
      } else if (key === 'transition') {
        const known = Object.hasOwn(TRANSITIONS, value) ? TRANSITIONS[value] : undefined;
        if (known === undefined) throw new CommandError(`unknown transition ${value}`);
        transition = known;
      } else {
        throw new CommandError(`unknown command ${key}`);
      }
    }
  }
  const changes = parseChanges(given.input);
  if (typeof changes === 'string') throw new CommandError(changes);
  if (!isV1) return { transition, changes, context: NO_BYTES };
  const [single, ...more] = changes;
  if (more.length > 0 || transition !== 'ConfChangeTransitionAuto') {
    throw new CommandError('v1 conf change can only have one operation and no transition');
  }
  if (single === undefined) return badCase(given, 'a v1 conf change needs one operation');
  return { ...single, context: NO_BYTES, id: 0 };
}

/** Settings that a transcript leaves open: no limits, and an election timeout of a few ticks. */
function defaultConfig(output: Output): { -readonly [Key in keyof MemberConfig]: MemberConfig[Key] } {
  return {
    electionTicks: ELECTION_TICKS,
    heartbeatTicks: HEARTBEAT_TICKS,
    maxMessageBytes: Number.POSITIVE_INFINITY,
    maxInflightMessages: MAX_INFLIGHT_MESSAGES,
    // The middle of the range. Transcripts that depend on the drawn timeout set it.
    random: () => 0.5,
    logger: output,
  };
}

function addNodes({ cluster, output }: Stage, given: TranscriptCase): void {
  const config = defaultConfig(output);
  const voters: number[] = [];
  const learners: number[] = [];
  let index = 0;
  let data: Uint8Array = NO_BYTES;
  for (const { key, values } of given.args.slice(1)) {
    for (const value of values) {
      switch (key) {
        case 'voters':
          voters.push(parseNumber(given, value));
          break;
        case 'learners':
          learners.push(parseNumber(given, value));
          break;
        case 'index':
          index = parseNumber(given, value);
          config.applied = index;
          break;
        case 'content':
          data = new TextEncoder().encode(value);
          break;
        case 'inflight':
          config.maxInflightMessages = parseNumber(given, value);
          break;
        case 'async-storage-writes':
          config.asyncStorageWrites = truthOf(given, value);
          break;
        case 'prevote':
          config.preVote = truthOf(given, value);
          break;
        case 'checkquorum':
          config.checkQuorum = truthOf(given, value);
          break;
        case 'max-committed-size-per-ready':
          config.maxApplyingBytes = parseNumber(given, value);
          break;
        case 'disable-conf-change-validation':
          config.disableConfChangeValidation = truthOf(given, value);
          break;
        case 'read-only':
          if (value !== 'safe' && value !== 'lease-based') {
            throw new CommandError(`invalid read-only option "${value}"`);
          }
          config.readOnly = value;
          break;
        case 'step-down-on-removal':
          config.stepDownOnRemoval = truthOf(given, value);
          break;
        default:
      }
    }
  }
  const isEmpty = index === 0 && data.length === 0 && voters.length + learners.length === 0;
  const confState = { ...EMPTY_CONF_STATE, voters, learners };
  const snapshot: Snapshot = { data, metadata: { confState, index, term: isEmpty ? 0 : 1 } };
  cluster.add(firstNumber(given), config, snapshot);
}
