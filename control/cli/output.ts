/** What the command line prints: tables for people, one JSON document for programs. */

/** Characters of an id in tables; enough to name the object, as everywhere among Docker's users. */
const shortIdLength = 12;

/** The first characters of an id. Pure. */
export function shortId(id: string): string {
  return id.slice(0, shortIdLength);
}

/** Text from elsewhere, safe to show on a terminal: control characters become `?`. Pure. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}

/** Rows under a header, columns padded to their widest cell and three spaces apart. Pure. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows.map((row) => row.map(printable))];
  const widths = header.map((_, column) =>
    lines.reduce((widest, line) => Math.max(widest, line[column]?.length ?? 0), 0),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

/** Names and values, one pair per line, values in one column. Pure. */
export function formatFields(fields: readonly (readonly [string, string])[]): string {
  const widest = fields.reduce((width, [name]) => Math.max(width, name.length), 0);
  return fields
    .map(([name, value]) => `${`${name}:`.padEnd(widest + 1)}  ${printable(value)}`.trimEnd())
    .join('\n');
}

/** How a command's result is shown. */
export type Format = 'table' | 'json';

/** Standard output and error in one format. */
export class Output {
  readonly format: Format;

  constructor(format: Format) {
    this.format = format;
  }

  /** The result: `value` as one JSON document, or what `text` makes of it. */
  result(value: unknown, text: () => string): void {
    const shown = this.format === 'json' ? JSON.stringify(value, null, 2) : text();
    if (shown !== '') process.stdout.write(`${shown}\n`);
  }

  /** Something to know beside the result; programs find it in the document. */
  warn(text: string): void {
    if (this.format === 'table') process.stderr.write(`shoal: ${printable(text)}\n`);
  }
}
