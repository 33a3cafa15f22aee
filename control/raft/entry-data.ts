/** What a normal log entry carries: a command and the id of the request that asked for it, as JSON. */
import type { Command } from '../store/commands.ts';

/** One request to change the store. */
export type Proposal = { requestId: string; command: Command };

/** Longest proposal: a service with all the endpoints it may have fits several times. */
export const proposalLimit_bytes = 1024 * 1024;

export function encodeProposal(proposal: Proposal): Uint8Array {
  return Buffer.from(JSON.stringify([proposal.requestId, proposal.command]));
}

/** The reverse; entries in the log were checked before they were proposed. */
export function decodeProposal(data: Uint8Array): Proposal {
  const [requestId, command] = JSON.parse(
    Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8'),
  ) as [string, Command];
  return { requestId, command };
}
