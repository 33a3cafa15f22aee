/** Command-line flags of the lab's programs. */
import { parseArgs } from 'node:util';

/** A flag's value, by name; a flag may come more than once. */
export type Flags = Record<string, string[]>;

/**
 * Reads `--flag VALUE` pairs.
 * @param known the flags that may be given
 * @throws Error naming what is unknown
 */
export function readFlags(known: readonly string[]): Flags {
  const options = Object.fromEntries(
    known.map((name) => [name, { type: 'string', multiple: true } as const]),
  );
  const { values } = parseArgs({ options, strict: true });
  const flags: Flags = {};
  for (const name of known) {
    const given = values[name];
    flags[name] = Array.isArray(given) ? given.map(String) : [];
  }
  return flags;
}

/** The last value of a flag. @throws Error if it is not given and there is no default */
export function text(flags: Flags, name: string, otherwise?: string): string {
  const value = flags[name]?.at(-1) ?? otherwise;
  if (value === undefined) throw new Error(`--${name} is missing`);
  return value;
}

/** The last value of a flag as a whole number of at least `minimum`. */
export function integer(flags: Flags, name: string, otherwise?: number, minimum = 0): number {
  const value = Number(text(flags, name, otherwise?.toString()));
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new Error(`--${name}: '${text(flags, name)}' is not a whole number of at least ${minimum}`);
  }
  return value;
}

/** `192.0.2.1:80` as host and port; an IPv6 address stands in brackets. */
export function hostAndPort(target: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(target);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) throw new Error(`'${target}' is not ADDRESS:PORT`);
  return { host, port: Number(match?.[3]) };
}

/** `address:port` with the `::ffff:` of mapped addresses taken off. */
export function showAddress(address: string | undefined, port: number | undefined): string {
  const plain = (address ?? '?').replace(/^::ffff:/, '');
  return plain.includes(':') ? `[${plain}]:${port ?? '?'}` : `${plain}:${port ?? '?'}`;
}
