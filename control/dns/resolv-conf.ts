/** Reads the name servers out of a resolv.conf text, resolv.conf(5). */
import { isIP } from 'node:net';

/** As many as the C library looks at (MAXNS). */
export const maxNameservers = 3;

/** An upstream server. */
export type Upstream = { address: string; port: number };

/**
 * Name servers in the order given, without duplicates, at most three. Lines that name no valid address are passed
 * over, as resolv.conf(5) has it.
 */
export function parseResolvConf(text: string): Upstream[] {
  const found = new Set<string>();
  for (const line of text.split('\n')) {
    if (found.size >= maxNameservers) break;
    const match = /^nameserver[ \t]+([^ \t\r#;]+)/.exec(line);
    const address = match?.[1];
    if (address !== undefined && isIP(address) !== 0) found.add(address);
  }
  return [...found].map((address) => ({ address, port: 53 }));
}
