/** `shoal drops` and `shoal flows`: what this node's data plane has counted. */
import { Command } from 'commander';
import type { DropList, FlowList } from '../../api/routes/dataplane/schemas.ts';
import { examples, valueOption } from '../options.ts';
import { formatTable } from '../output.ts';
import { formatDuration } from '../parse/duration.ts';
import { parseInteger } from '../parse/number.ts';
import { withAgent } from '../session.ts';

/** Most flows that the API answers with. */
const mostFlows = 100_000;

/** The table of `shoal drops`: reasons that were met, or all of them, the most frequent first. Pure. */
export function dropTable(drops: DropList, all: boolean): string {
  const shown = drops.filter(({ packets }) => all || packets > 0).sort((a, b) => b.packets - a.packets);
  if (shown.length === 0) return 'No packet has been dropped.';
  return formatTable(
    ['REASON', 'PACKETS', 'DESCRIPTION'],
    shown.map(({ reason, packets, description }) => [reason, String(packets), description]),
  );
}

/** Whole seconds are enough, and below one second there are none. Pure. */
function ageText(age_ms: number): string {
  const age_s = Math.floor(age_ms / 1_000);
  return age_s === 0 ? '<1s' : formatDuration(age_s * 1_000);
}

/** The table of `shoal flows`. Pure. */
export function flowTable({ flows, total }: FlowList): string {
  if (total === 0 && flows.length === 0) return 'No flow has its endpoint on this node.';
  const table = formatTable(
    ['PROTOCOL', 'CLIENT', 'FRONTEND', 'ENDPOINT', 'VIA', 'STATE', 'PACKETS', 'BYTES', 'AGE'],
    flows.map((flow) => [
      flow.protocol,
      flow.client,
      flow.frontend,
      flow.endpoint,
      flow.via,
      flow.state,
      String(flow.packets),
      String(flow.bytes),
      flow.age_ms === undefined ? '' : ageText(flow.age_ms),
    ]),
  );
  return flows.length < total ? `${table}\n\n${flows.length} of ${total} flows; --limit shows more.` : table;
}

export function dropsCommand(): Command {
  const command = new Command('drops')
    .description('Packets that this node dropped, by reason, since its data plane was first loaded.')
    .option('-a, --all', 'also reasons that were never met')
    .action((options: { all?: boolean }) =>
      withAgent(command, async ({ agent, output }) => {
        const drops = await agent.get<DropList>('/v1/drops');
        output.result(drops, () => dropTable(drops, options.all === true));
      }),
    );
  return examples(command, 'shoal drops', 'shoal drops --all --format json');
}

export function flowsCommand(): Command {
  const command = new Command('flows')
    .description('The flow table of this node: connections whose endpoints are here.')
    .addOption(
      valueOption('--limit <n>', 'show at most so many (default: 100)', (flag, value) =>
        parseInteger(flag, value, 1, mostFlows),
      ),
    )
    .action((options: { limit?: number }) =>
      withAgent(command, async ({ agent, output }) => {
        const flows = await agent.get<FlowList>('/v1/flows', { limit: options.limit });
        output.result(flows, () => flowTable(flows));
      }),
    );
  return examples(command, 'shoal flows', 'shoal flows --limit 10000 --format json');
}
