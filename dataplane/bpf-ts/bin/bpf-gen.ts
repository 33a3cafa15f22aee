#!/usr/bin/env node
/** bpf-gen OBJ OUT.ts: writes the TypeScript types and codecs of an eBPF object file. */
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { generateFromFile } from '../src/generate.ts';

const usage = `usage: bpf-gen OBJ OUT.ts [--prefix P] [--type NAME]... [--enums] [--import-from MODULE]

Writes interfaces, sizes, codecs and map layouts of the eBPF object file OBJ, read from its BTF, to OUT.ts.
  --prefix P            put P before every exported name
  --type NAME           also this struct, union, enum or typedef, though no map uses it (repeatable)
  --enums               also every named enum
  --import-from MODULE  where to import the codec types from (default bpf-ts)`;

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      prefix: { type: 'string' },
      type: { type: 'string', multiple: true },
      enums: { type: 'boolean' },
      'import-from': { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const [object, out] = positionals;
  if (values.help === true) {
    console.log(usage);
    return;
  }
  if (object === undefined || out === undefined || positionals.length > 2) throw new Error(usage);
  const text = generateFromFile(object, {
    source: path.basename(object),
    ...(values.prefix === undefined ? {} : { prefix: values.prefix }),
    ...(values.type === undefined ? {} : { types: values.type }),
    ...(values.enums === undefined ? {} : { enums: values.enums }),
    ...(values['import-from'] === undefined ? {} : { importFrom: values['import-from'] }),
  });
  fs.mkdirSync(path.dirname(out), { recursive: true });
  fs.writeFileSync(out, text);
}

try {
  main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
