/** Transcripts of membership changes: `simple`, `enter-joint` and `leave-joint`, without any log. */

import {
  type ChangeBase,
  type ChangeResult,
  changeSimply,
  enterJoint,
  leaveJoint,
} from '../core/confchange.ts';
import { describeMembership, describeProgress } from '../core/describe.ts';
import { Inflights } from '../core/inflights.ts';
import { progressStatusOf } from '../core/status.ts';
import { EMPTY_MEMBERSHIP } from '../core/tracker.ts';
import { badCase, truthOf, valuesOf } from './arguments.ts';
import { parseChanges } from './changes.ts';
import type { TranscriptCase } from './datadriven.ts';
import { transcriptErrorText } from './errors.ts';

/** Size of the window of a member; it has no part in these transcripts. */
const MAX_INFLIGHT = 10;

/** A player with a membership that each case changes. The log grows by one per case. */
export function newConfChangePlayer(): (given: TranscriptCase) => string {
  let base: ChangeBase = {
    membership: EMPTY_MEMBERSHIP,
    progress: new Map(),
    lastIndex: 0,
    newInflights: () => new Inflights(MAX_INFLIGHT, Number.POSITIVE_INFINITY),
  };
  return (given) => {
    const before = base;
    base = { ...before, lastIndex: before.lastIndex + 1 };
    try {
      const result = change(before, given);
      if (typeof result === 'string') return result;
      base = { ...base, ...result };
      return describeResult(result);
    } catch (error) {
      return `${transcriptErrorText(error)}\n`;
    }
  };
}

function change(base: ChangeBase, given: TranscriptCase): ChangeResult | string {
  const changes = parseChanges(given.input);
  if (typeof changes === 'string') return `${changes}\n`;
  switch (given.command) {
    case 'simple':
      return changeSimply(base, changes);
    case 'enter-joint': {
      const [autoLeave = 'false'] = valuesOf(given, 'autoleave') ?? [];
      return enterJoint(base, truthOf(given, autoLeave), changes);
    }
    case 'leave-joint':
      return changes.length > 0 ? 'this command takes no input\n' : leaveJoint(base);
    default:
      return badCase(given, 'unknown command');
  }
}

function describeResult({ membership, progress }: ChangeResult): string {
  const members = [...progress].sort(([a], [b]) => a - b);
  const lines = members.map(([id, each]) => `${id}: ${describeProgress(progressStatusOf(each))}\n`);
  return `${describeMembership(membership)}\n${lines.join('')}`;
}
