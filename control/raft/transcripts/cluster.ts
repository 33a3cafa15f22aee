/** The nodes of a transcript and the messages between them. Nothing moves unless a command says so. */

import { describeEntries, describeMessage, describeProgress } from '../core/describe.ts';
import { isLocalTarget, newMessage } from '../core/messages.ts';
import type { Message, MessageType, Snapshot } from '../core/types.ts';
import { CommandError } from './command-error.ts';
import { transcriptErrorText } from './errors.ts';
import { Member, type MemberConfig } from './member.ts';
import type { Output } from './output.ts';

/** Rounds of `stabilize` after which a transcript counts as one that never comes to rest. */
const MAX_STABILIZE_ROUNDS = 10_000;

/** To whom messages go, and whether they get there. */
export interface Recipient {
  readonly id: number;
  readonly drop: boolean;
}

/** All members, and the messages on their way. */
export class Cluster {
  readonly members: Member[] = [];
  readonly #output: Output;
  #messages: Message[] = [];
  readonly #deliver = (message: Message): void => {
    this.#messages.push(message);
  };

  constructor(output: Output) {
    this.#output = output;
  }

  /** The member with this id; ids are given from 1 on. */
  member(id: number): Member {
    const member = this.members[id - 1];
    if (member === undefined) throw new RangeError(`there is no node ${id}, only ${this.members.length}`);
    return member;
  }

  /** Adds nodes that start from `first`, which may be empty. */
  add(count: number, config: MemberConfig, first: Snapshot): void {
    const { index, confState } = first.metadata;
    const isBootstrap =
      index !== 0 || first.data.length > 0 || confState.voters.length + confState.learners.length > 0;
    for (let n = 0; n < count; n += 1) {
      if (isBootstrap && index <= 1)
        throw new CommandError('index must be specified as > 1 due to bootstrap');
      this.members.push(new Member(this.members.length + 1, config, first, this.#output, this.#deliver));
    }
  }

  /** Hands out or drops the messages to each recipient, of one type or of all. Returns how many. */
  deliver(recipients: readonly Recipient[], type?: MessageType): number {
    let count = 0;
    for (const recipient of recipients) {
      const messages = this.#take(recipient, type);
      count += messages.length;
      for (const message of messages) {
        this.#output.writeLine(`${recipient.drop ? 'dropped: ' : ''}${describeMessage(message)}`);
        if (!recipient.drop) this.#step(message);
      }
    }
    return count;
  }

  #step(message: Message): void {
    const member = this.member(message.to);
    try {
      member.node.step(message);
    } catch (error) {
      this.#output.writeLine(transcriptErrorText(error));
    }
  }

  #take({ id, drop }: Recipient, type?: MessageType): Message[] {
    const taken: Message[] = [];
    this.#messages = this.#messages.filter((message) => {
      const matches = message.to === id && (type === undefined || message.type === type);
      // What a node tells itself cannot get lost.
      if (!matches || (drop && isInternal(message))) return true;
      taken.push(message);
      return false;
    });
    return taken;
  }

  /**
   * Until nothing is left to do: each member handles a Ready, if it has one; then each receives its messages;
   * then come the append threads, then the apply threads.
   */
  stabilize(members: readonly Member[]): void {
    for (let round = 0; round < MAX_STABILIZE_ROUNDS; round += 1) {
      let isDone = true;
      const each = (what: string, isDue: (member: Member) => boolean, run: (member: Member) => void) => {
        for (const member of members) {
          if (!isDue(member)) continue;
          isDone = false;
          this.#output.writeLine(`> ${member.id} ${what}`);
          run(member);
        }
      };
      const indented = (print: () => void) => this.#output.indented(print);
      each(
        'handling Ready',
        (member) => member.node.hasReady(),
        (member) => indented(() => member.processReady()),
      );
      each(
        'receiving messages',
        (member) => this.#messages.some((message) => message.to === member.id),
        (member) => indented(() => this.deliver([{ id: member.id, drop: false }])),
      );
      each(
        'processing append thread',
        (member) => member.appendWork.length > 0,
        (member) => {
          while (member.appendWork.length > 0) indented(() => member.processAppendThread());
        },
      );
      each(
        'processing apply thread',
        (member) => member.applyWork.length > 0,
        (member) => {
          while (member.applyWork.length > 0) indented(() => member.processApplyThread());
        },
      );
      if (isDone) return;
    }
    throw new Error(`the cluster did not come to rest within ${MAX_STABILIZE_ROUNDS} rounds`);
  }

  /** Puts a snapshot of `from` on its way to `to`, whether that needs one or not. */
  sendSnapshot(from: Member, to: Member): void {
    const message = newMessage('MsgSnap', to.id, from.id);
    message.term = from.node.basicStatus().hardState.term;
    message.snapshot = from.storage.snapshot();
    this.#messages.push(message);
    this.#output.write(describeMessage(message));
  }

  /** Prints what a member has in its storage. */
  printLog(member: Member): void {
    const { storage } = member;
    const first = storage.firstIndex();
    const last = storage.lastIndex();
    if (last < first) {
      this.#output.write(`log is empty: first index=${first}, last index=${last}`);
      return;
    }
    this.#output.write(describeEntries(storage.entries(first, last + 1, Number.POSITIVE_INFINITY)));
  }

  /** Prints role, vote, term and leader of all members, each as it sees itself. */
  printStates(): void {
    for (const { id, node } of this.members) {
      const { softState, hardState, confState } = node.status();
      const isVoter = confState.voters.includes(id) || confState.votersOutgoing.includes(id);
      this.#output.writeLine(
        `${id}: ${softState.role} ${isVoter ? '(Voter)' : '(Non-Voter)'} Term:${hardState.term} Lead:${softState.lead}`,
      );
    }
  }

  /** Prints what a leader knows of the members. */
  printProgress(member: Member): void {
    for (const [id, progress] of member.node.status().progress) {
      this.#output.writeLine(`${id}: ${describeProgress(progress)}`);
    }
  }
}

function isInternal(message: Message): boolean {
  return message.from === message.to || isLocalTarget(message.from) || isLocalTarget(message.to);
}
