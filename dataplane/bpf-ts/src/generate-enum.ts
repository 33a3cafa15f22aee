/** Enums as const objects with reverse names. */
import type { BtfEnum } from './btf.ts';

/** Largest value up to which reverse names are an array; sparser enums get a record. */
const NAMES_ARRAY_MAX = 4095n;

function literal(value: bigint, asBigint: boolean): string {
  return asBigint ? `${value}n` : `${value}`;
}

/** The text of one enum: the const object, the type of its values, and their names. */
export function generateEnum(type: BtfEnum, name: string): string {
  const wide = type.size === 8;
  const members = type.values.map(({ name: key, value }) => `  ${key}: ${literal(value, wide)},`);
  const object = `export const ${name} = {\n${members.join('\n')}\n} as const;`;
  const values = `export type ${name} = (typeof ${name})[keyof typeof ${name}];`;
  const names = new Map<bigint, string>();
  for (const { name: key, value } of type.values) if (!names.has(value)) names.set(value, key);
  const sorted = [...names].sort(([a], [b]) => (a < b ? -1 : 1));
  const highest = sorted.at(-1)?.[0] ?? -1n;
  const dense = (sorted[0]?.[0] ?? 0n) >= 0n && highest <= NAMES_ARRAY_MAX;
  if (!dense) {
    const entries = sorted.map(([value, key]) => `  '${value}': '${key}',`);
    const record = `export const ${name}_names: Readonly<Record<string, string>> = {\n${entries.join('\n')}\n};`;
    return `${object}\n${values}\n/** Names by value, as a decimal string. */\n${record}`;
  }
  const entries = Array.from({ length: Number(highest) + 1 }, (_, i) => {
    const key = names.get(BigInt(i));
    return key === undefined ? '  undefined,' : `  '${key}',`;
  });
  const array = `export const ${name}_names: readonly (string | undefined)[] = [\n${entries.join('\n')}\n];`;
  return `${object}\n${values}\n/** Names by value. */\n${array}`;
}
