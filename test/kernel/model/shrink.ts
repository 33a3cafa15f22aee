/** Makes a failing state and frame smaller for as long as they still fail. */
import type { DesiredState } from '../../../dataplane/state/desired.ts';

/** What fails. */
export type Case = { readonly state: DesiredState; readonly frame: Uint8Array };

/** Most attempts, so that a slow check ends. */
const attemptsMax = 2000;

/** The smallest case found that `fails` as well. */
export function shrink(start: Case, fails: (candidate: Case) => boolean): Case {
  let best = start;
  let attempts = 0;
  for (let better = true; better; ) {
    better = false;
    for (const candidate of smaller(best)) {
      if (attempts >= attemptsMax) return best;
      attempts += 1;
      if (!fails(candidate)) continue;
      best = candidate;
      better = true;
      break;
    }
  }
  return best;
}

/** Cases one step smaller: without a part of the state, or a shorter frame, or one with a byte more that is 0. */
function* smaller({ state, frame }: Case): Generator<Case> {
  for (const part of ['services', 'endpoints', 'nodes', 'attachments'] as const) {
    for (const item of state[part]) {
      if (part === 'nodes' && 'slot' in item && item.slot === state.self) continue;
      yield {
        state: { ...state, [part]: (state[part] as unknown[]).filter((each) => each !== item) },
        frame,
      };
    }
  }
  for (const [index, service] of state.services.entries()) {
    if (service.generations.length === 0) continue;
    const services = state.services.with(index, {
      ...service,
      generations: service.generations.slice(0, -1),
    });
    yield { state: { ...state, services }, frame };
  }
  for (const length of [Math.floor(frame.length / 2), frame.length - 8, frame.length - 1]) {
    if (length >= 14 && length < frame.length) yield { state, frame: frame.slice(0, length) };
  }
  for (const [index, octet] of frame.entries()) {
    if (octet !== 0) yield { state, frame: frame.with(index, 0) };
  }
}
