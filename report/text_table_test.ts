import assert from "node:assert/strict";
import fc from "fast-check";
import { textWidth } from "../files/text_width.ts";
import { renderTable, wrapText } from "./text_table.ts";

const columns = [{ head: "model" }, { head: "size", side: "right" }] as const;

Deno.test("renderTable() aligns wide characters, marks and emoji, and writes out what steers a terminal", () => {
  assert.deepEqual(
    renderTable(columns, [["plain", "1"], ["漢字", "20"], ["e\u0301t", "3"], ["👩‍💻", "4"], ["a\x1b[2J\nb", "5"]]),
    [
      "model              size",
      "─────────────────  ────",
      "plain                 1",
      "漢字                 20",
      "e\u0301t                    3",
      "👩‍💻                    4",
      "a\\u001b[2J\\u000ab     5",
    ],
  );
});

Deno.test("renderTable() cuts no name to less than half of it: rows stand under one another before", () => {
  const rows = [["model.layers.0.mlp.down_proj.weight", "1"], ["漢字".repeat(10), "20"]];
  assert.deepEqual(renderTable(columns, rows, { width: 26 })[2], "model.layers.0.mlp.…     1");
  assert.deepEqual(renderTable(columns, rows, { width: 20 }), [
    "model.layers.0.mlp.…",
    "  size  1",
    "漢字漢字漢字漢字漢…",
    "  size  20",
  ]);
});

Deno.test("renderTable() and wrapText() keep within any width that words allow", () => {
  const cell = fc.string({ unit: "grapheme", maxLength: 60 });
  fc.assert(fc.property(fc.array(fc.tuple(cell, cell, cell)), fc.integer({ min: 20, max: 60 }), (rows, width) => {
    const many = [...columns, { head: "cost", side: "right" }] as const;
    return renderTable(many, rows, { width }).every((line) => textWidth(line) <= width);
  }));
  assert.deepEqual(wrapText("漢字 漢字 漢字", 9, "  "), ["漢字 漢字", "  漢字"]);
});
