/** Markdown as GitHub reads it: tables, with every value escaped. */

/** A cell: text, which is escaped, or what stands out. */
export type MarkdownCell = string | { readonly bold: string } | { readonly code: string };

/** A column. */
export interface MarkdownColumn {
  readonly head: string;
  readonly side?: "left" | "right";
}

/**
 * Lines of a table.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(markdownTable([{ head: "a" }, { head: "b", side: "right" }], [["x|y", { bold: "1" }]]), [
 *   "| a | b |",
 *   "| --- | ---: |",
 *   "| x\\|y | **1** |",
 * ]);
 * ```
 */
export function markdownTable(
  columns: readonly MarkdownColumn[],
  rows: readonly (readonly MarkdownCell[])[],
): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(columns.map(({ head }) => markdownText(head))),
    line(columns.map(({ side }) => side === "right" ? "---:" : "---")),
    ...rows.map((row) => line(row.map(cellText))),
  ];
}

/**
 * Text in which nothing is markup.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(markdownText("a_b *c* <d>\n|"), "a\\_b \\*c\\* &lt;d> \\|");
 * ```
 */
export function markdownText(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll(/[\\`*_[\]|~]/g, "\\$&").replaceAll("&", "&amp;").replaceAll(
    "<",
    "&lt;",
  );
}

/** Text as code; a grave accent, which ends code, is an apostrophe in it. */
export function markdownCode(text: string): string {
  return `\`${text.replaceAll(/\s+/g, " ").replaceAll("`", "'").replaceAll("|", "\\|")}\``;
}

function cellText(cell: MarkdownCell): string {
  if (typeof cell === "string") return markdownText(cell);
  return "bold" in cell ? `**${markdownText(cell.bold)}**` : markdownCode(cell.code);
}
