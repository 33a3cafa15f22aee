/** What the demo says, and whether all of it was as it should be. */

const isColoured = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;

function paint(code: number, text: string): string {
  return isColoured ? `\u001b[${code}m${text}\u001b[0m` : text;
}

const bold = 1;
const dim = 2;
const red = 31;
const green = 32;
const cyan = 36;

/** Tells what happens and keeps count of what was right. */
export class Story {
  readonly #started_ms = performance.now();
  #right = 0;
  readonly #wrong: string[] = [];
  /** Checks that are told together, after a table. */
  #notes: { text: string; isRight: boolean }[] = [];
  #chapters = 0;

  /** Begins a part. */
  chapter(title: string): void {
    this.#chapters += 1;
    const seconds = ((performance.now() - this.#started_ms) / 1_000).toFixed(1);
    console.log(`\n${paint(bold, `${this.#chapters}. ${title}`)} ${paint(dim, `(${seconds} s)`)}`);
  }

  line(text: string): void {
    console.log(`   ${text}`);
  }

  /** A command as the operator would type it. */
  command(host: string, words: readonly string[]): void {
    console.log(`   ${paint(dim, `${host}#`)} ${paint(cyan, words.join(' '))}`);
  }

  table(lines: readonly string[]): void {
    for (const [index, line] of lines.entries()) this.line(index === 0 ? paint(dim, line) : line);
  }

  /** Something that must be so. `detail` is shown if it is not. */
  check(text: string, isRight: boolean, detail = ''): void {
    if (isRight) this.#right += 1;
    else this.#wrong.push(text);
    const mark = isRight ? paint(green, '✓') : paint(red, '✗');
    console.log(`   ${mark} ${text}${isRight || detail === '' ? '' : `: ${detail}`}`);
  }

  /** A check that is told by `showNotes`. */
  note(text: string, isRight: boolean): void {
    this.#notes.push({ text, isRight });
  }

  /** Tells the notes: the wrong ones each, the right ones as a number. */
  showNotes(): void {
    const notes = this.#notes;
    this.#notes = [];
    const right = notes.filter(({ isRight }) => isRight);
    this.#right += right.length;
    for (const { text } of notes.filter(({ isRight }) => !isRight)) this.check(text, false);
    if (right.length === notes.length) {
      console.log(`   ${paint(green, '✓')} ${right.length} answers, all as they should be`);
    }
  }

  /** Sums up. Returns the exit code. */
  finish(): number {
    const seconds = ((performance.now() - this.#started_ms) / 1_000).toFixed(1);
    if (this.#wrong.length === 0) {
      console.log(`\n${paint(green, `All ${this.#right} checks passed`)} in ${seconds} s.`);
      return 0;
    }
    console.log(
      `\n${paint(red, `${this.#wrong.length} of ${this.#right + this.#wrong.length} checks failed`)}:`,
    );
    for (const text of this.#wrong) console.log(`   ${text}`);
    return 1;
  }
}

/** Rows as lines with padded columns. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
