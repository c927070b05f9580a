/** Tables and wrapped text, for a terminal. */

/** A column: its head, and on which side its cells stand. */
export interface Column {
  readonly head: string;
  readonly side?: "left" | "right";
}

/**
 * Lines of a table: a head, a rule, rows; columns two spaces apart.
 *
 * @param width columns of the terminal: the widest left-sided column is cut to fit
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { width = 80 }: { readonly width?: number } = {},
): string[] {
  const heads = columns.map(({ head }) => head);
  const widths = columns.map((_, index) => Math.max(...[heads, ...rows].map((row) => lengthOf(row[index] ?? ""))));
  const spare = () => width - widths.reduce((sum, each) => sum + each, 2 * (widths.length - 1));
  while (spare() < 0) {
    const left = widths.map((each, index) => columns[index].side === "right" ? 0 : each);
    const widest = left.indexOf(Math.max(...left));
    if (left[widest] <= 8) break;
    widths[widest]--;
  }
  const line = (row: readonly string[]) =>
    columns.map(({ side }, index) => fit(row[index] ?? "", widths[index], side)).join("  ").trimEnd();
  return [line(heads), widths.map((each) => "─".repeat(each)).join("  "), ...rows.map(line)];
}

/** Breaks text at spaces into lines of at most `width` columns; later lines start with `indent`. */
export function wrapText(text: string, width: number, indent = ""): string[] {
  const lines: string[] = [];
  let line = "";
  // Spaces before a word belong to it, so that indents stay.
  for (const word of text.match(/ *[^ ]+/g) ?? [""]) {
    if (line !== "" && lengthOf(line + word) > width) {
      lines.push(line);
      line = indent + word.trimStart();
    } else line += word;
  }
  return [...lines, line];
}

function fit(cell: string, width: number, side: Column["side"]): string {
  const length = lengthOf(cell);
  if (length > width) return `${[...cell].slice(0, width - 1).join("")}…`;
  const space = " ".repeat(width - length);
  return side === "right" ? space + cell : cell + space;
}

function lengthOf(text: string): number {
  return [...text].length;
}
