import assert from "node:assert/strict";
import fc from "fast-check";
import { csvField, leaderboardCsv } from "./leaderboard_csv.ts";
import { METHODS, sweepOf } from "./sweep_test_support.ts";

/** Reads CSV as RFC 4180 says, with nothing of what is tested. */
function parseCsv(text: string): string[][] {
  const records: string[][] = [];
  let record: string[] = [], field = "", quoted = false;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (quoted) {
      if (letter !== '"') field += letter;
      else if (text[at + 1] === '"') field += text[++at];
      else quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === ",") [record, field] = [[...record, field], ""];
    else if (letter === "\r" && text[at + 1] === "\n") {
      records.push([...record, field]);
      [record, field] = [[], ""];
      at++;
    } else field += letter;
  }
  assert.equal(field, "");
  return records;
}

Deno.test("csvField() gives back any text through a reader of RFC 4180", () => {
  const text = fc.string({ unit: fc.constantFrom('"', ",", "\r", "\n", " ", "a", "é", ";", "=") });
  fc.assert(fc.property(fc.array(fc.array(text, { minLength: 2, maxLength: 2 })), (records) => {
    const written = records.map((fields) => `${fields.map(csvField).join(",")}\r\n`).join("");
    assert.deepEqual(parseCsv(written), records);
  }));
});

Deno.test("csvField() writes every digit of a number", () => {
  fc.assert(
    fc.property(fc.double(), (value) => assert.ok(Object.is(Number(csvField(value)), value === 0 ? 0 : value))),
  );
});

Deno.test("leaderboardCsv() has a record per point, each with the head's fields", () => {
  const record = sweepOf(METHODS);
  const [head, ...rows] = parseCsv(leaderboardCsv(record).map((line) => `${line}\n`).join(""));
  assert.deepEqual(head, [
    ...["point", "label", "state", "extends", "model", "method", "perplexity.heldout", "original.heldout"],
    ...["bits.nominal", "bits.stored", "bits.stored.mask", "bits.stored.signs", "bits.stored.segments"],
    ...["bits.stored.scales", "bits.stored.codes", "bits.stored.zeros", "bits.stored.salient"],
    ...[
      "bits.embedding",
      "bits.head",
      "bits.model",
      "bytes.packed",
      "bytes.original",
      "layer_error.mean",
      "layer_error.total",
    ],
    ...["seconds.sweep", "seconds.alone", "peak_memory_bytes", "run", "exit", "step", "error"],
  ]);
  assert.deepEqual(rows.map((row) => row.length), METHODS.map(() => head.length));
  const at = (row: number, name: string) => rows[row][head.indexOf(name)];
  assert.deepEqual([at(0, "label"), at(0, "bits.model"), at(0, "perplexity.heldout")], [
    "pbs2p-4of8",
    "4.4921",
    "34.383",
  ]);
  assert.deepEqual([at(3, "perplexity.heldout"), at(3, "bits.stored.mask")], ["Infinity", ""]);
  assert.deepEqual([at(4, "state"), at(4, "exit"), at(4, "step"), at(4, "bits.model")], ["failed", "5", "spbo[3]", ""]);
});

Deno.test("leaderboardCsv() does not take an axis for a column of its own name", () => {
  const record = sweepOf([{ label: "a", values: { run: "mine", step: [1, 2] }, run: "runs/a" }]);
  const [head, [...row]] = parseCsv(leaderboardCsv(record).map((line) => `${line}\n`).join(""));
  assert.deepEqual([head.indexOf("run"), head.lastIndexOf("run") > 5], [3, true]);
  assert.deepEqual([row[3], row[4], row[head.lastIndexOf("run")]], ["mine", "[1,2]", "runs/a"]);
});

Deno.test("leaderboardCsv() has fields of divergence where a point was compared, empty elsewhere", () => {
  const record = sweepOf([{ ...METHODS[0], kl: 0.5213 }, METHODS[1]]);
  const [head, ...rows] = parseCsv(leaderboardCsv(record).map((line) => `${line}\n`).join(""));
  const of = (name: string) => rows.map((row) => row[head.indexOf(name)]);
  assert.deepEqual([of("kl.heldout"), of("same_top.heldout")], [["0.5213", ""], ["0.5969", ""]]);
});
