/** Tables and wrapped text, for a terminal. Not the result of one run, which is `result_table.ts`. */
import { visibleText } from "../files/clear_text.ts";
import { fitText, textWidth } from "../files/text_width.ts";

/** A column: its head, and on which side its cells stand. */
export interface Column {
  readonly head: string;
  readonly side?: "left" | "right";
}

/** Fewest columns that a left-sided cell is cut to, and the least share of it: names often differ at their ends. */
const NARROWEST = 8, LEAST = 0.5;

/**
 * Lines of a table: a head, a rule, rows; columns two spaces apart. Where that does not fit, each row stands as lines of
 * its own under its first cell.
 *
 * @param width columns of the terminal: the widest left-sided column is cut to fit
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { width = 80 }: { readonly width?: number } = {},
): string[] {
  const heads = columns.map(({ head }) => head);
  const cells = rows.map((row) => heads.map((_, index) => visibleText(row[index] ?? "")));
  const widths = columns.map((_, index) =>
    [heads, ...cells].reduce((most, row) => Math.max(most, textWidth(row[index])), 0)
  );
  const least = widths.map((each) => Math.max(NARROWEST, LEAST * each));
  const spare = () => width - widths.reduce((sum, each) => sum + each, 2 * (widths.length - 1));
  while (spare() < 0) {
    const left = widths.map((each, index) => columns[index].side === "right" ? 0 : each);
    const widest = left.indexOf(Math.max(...left));
    if (left[widest] - 1 < least[widest]) return stack(heads, cells, width);
    widths[widest]--;
  }
  const line = (row: readonly string[]) =>
    columns.map(({ side }, index) => fit(row[index], widths[index], side)).join("  ").trimEnd();
  return [line(heads), widths.map((each) => "─".repeat(each)).join("  "), ...cells.map(line)];
}

/** Rows as blocks: the first cell, then the others with their heads. */
function stack([, ...heads]: readonly string[], rows: readonly (readonly string[])[], width: number): string[] {
  const label = heads.reduce((most, head) => Math.max(most, textWidth(head)), 0);
  return rows.flatMap(([first, ...rest]) => [
    fitText(first, width),
    ...rest.flatMap((cell, index) =>
      cell === "" ? [] : [fitText(`  ${fit(heads[index], label, "left")}  ${cell}`, width)]
    ),
  ]);
}

/** Breaks text at spaces into lines of at most `width` columns; later lines start with `indent`. */
export function wrapText(text: string, width: number, indent = ""): string[] {
  const lines: string[] = [];
  let line = "";
  // Spaces before a word belong to it, so that indents stay.
  for (const word of visibleText(text).match(/ *[^ ]+/g) ?? [""]) {
    if (line !== "" && textWidth(line + word) > width) {
      lines.push(line);
      line = indent + word.trimStart();
    } else line += word;
  }
  return [...lines, line];
}

function fit(cell: string, width: number, side: Column["side"]): string {
  const text = fitText(cell, width);
  const space = " ".repeat(width - textWidth(text));
  return side === "right" ? space + text : text + space;
}
