import assert from "node:assert/strict";
import fc from "fast-check";
import { fitText, graphemes, textWidth } from "./text_width.ts";

Deno.test("textWidth() counts columns: wide characters and emoji take two, marks and controls none", () => {
  const widths: readonly (readonly [string, number])[] = [
    ["", 0],
    ["plain", 5],
    ["漢字", 4],
    ["한국", 4],
    ["ｆｕｌｌ", 8],
    ["e\u0301", 1],
    ["กิ", 1],
    ["👍", 2],
    ["👍🏽", 2],
    ["👩‍👩‍👧‍👦", 2],
    ["🇩🇪", 2],
    ["a\u200bb", 2],
    ["±…–·", 4],
  ];
  for (const [text, width] of widths) assert.equal(textWidth(text), width, JSON.stringify(text));
});

Deno.test("fitText() never takes more columns than it may, and cuts no character in two", () => {
  assert.equal(fitText("漢字漢字", 4), "漢…");
  assert.equal(fitText("👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 3), "👩‍👩‍👧‍👦…");
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 1, max: 20 }), (text, width) => {
    const cut = fitText(text, width);
    return textWidth(cut) <= width && (cut === text || text.startsWith(cut.slice(0, -1)));
  }));
  assert.deepEqual(graphemes("e\u0301漢"), ["e\u0301", "漢"]);
});
