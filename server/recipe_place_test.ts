/** What the editor makes of a recipe that is being written: where the caret is, and what may stand there. */
import assert from "node:assert/strict";
import { recipeJsonSchema } from "../recipes/json_schema.ts";
import { RecipeSchema } from "../stages/schema.ts";
import { describe, suggest } from "./assets/recipe_schema.js";
import { placeAt } from "./assets/yaml_place.js";

const schema = JSON.parse(recipeJsonSchema(RecipeSchema));

/** Texts with `|` for the caret: what path, kind and prefix are there. */
const PLACES: readonly (readonly [string, string, string, string])[] = [
  ["|", "", "key", ""],
  ["sta|", "", "key", "sta"],
  ["stages:\n  |", "stages", "key", ""],
  ["stages:\n  spbo:\n    it|", "stages.spbo", "key", "it"],
  ["stages:\n  spbo:\n    iterations: 1|", "stages.spbo.iterations", "value", "1"],
  ["stages:\n  spbo:\n    iterations: 1\n  |", "stages", "key", ""],
  ["stages:\n  spbo:\n    iterations: 1\n\n    |\n  pack: {}", "stages.spbo", "key", ""],
  ["stages:\n  spbo: { it|", "stages.spbo", "key", "it"],
  ["stages:\n  spbo: { solver: joint, re| }", "stages.spbo", "key", "re"],
  ["stages:\n  spbo: { solver: jo|, resign: 1 }", "stages.spbo.solver", "value", "jo"],
  ["stages:\n  calibrate: { dataset: { win|", "stages.calibrate.dataset", "key", "win"],
  ["stages:\n  calibrate: {\n    dataset: { text: a },\n    sa|\n  }", "stages.calibrate", "key", "sa"],
  ["stages:\n  evaluate: { perplexity: [wiki|", "stages.evaluate.perplexity.*", "value", "wiki"],
  ["stages:\n  evaluate:\n    perplexity:\n      - p|", "stages.evaluate.perplexity.*", "value", "p"],
  ["stages:\n  evaluate:\n    perplexity:\n    - name: a\n      da|", "stages.evaluate.perplexity.*", "key", "da"],
  ["model: { hub: a/b, revision: main }\nst|", "", "key", "st"],
  ['name: "a # b"\nde|', "", "key", "de"],
  ["name: it's {not\nde|", "", "key", "de"],
  ["na|me: x", "", "key", "na"],
  ["name|: x", "", "key", "name"],
];

Deno.test("placeAt() tells the path, and whether a key or a value is written", () => {
  for (const [marked, path, kind, prefix] of PLACES) {
    const offset = marked.indexOf("|"), place = placeAt(marked.replace("|", ""), offset);
    assert.deepEqual([place?.path.join("."), place?.kind, place?.prefix], [path, kind, prefix], marked);
    assert.equal(place?.from, offset - prefix.length, marked);
  }
  for (const marked of ["# a|", "name: x # a|", "stages: { spbo: {} } # |", "stages: # {|"]) {
    assert.equal(placeAt(marked.replace("|", ""), marked.indexOf("|")), undefined, marked);
  }
});

Deno.test("placeAt() holds out whatever the text is", () => {
  const parts = ["{", "}", "[", "]", ":", ",", "- ", "#", '"', "'", "a", "\n", "  ", ": "];
  let state = 1;
  for (let round = 0; round < 300; round++) {
    let text = "";
    for (let i = 0; i < 30; i++) text += parts[(state = (state * 48271) % 2147483647) % parts.length];
    for (let offset = 0; offset <= text.length; offset++) placeAt(text, offset);
  }
});

Deno.test("suggest() offers what the schema allows and the recipe lacks", () => {
  const labels = (marked: string) => {
    const place = placeAt(marked.replace("|", ""), marked.indexOf("|"));
    return place === undefined ? [] : suggest(schema, place).map(({ label }: { label: string }) => label);
  };
  assert.deepEqual(labels("model: {}\nst|"), ["stages"]);
  assert.ok(labels("stages:\n  |").includes("spbo"));
  assert.ok(!labels("stages:\n  spbo: {}\n  |").includes("spbo"));
  assert.deepEqual(
    labels("stages:\n  calibrate: { inputs: o|"),
    ["original", "sequential"].filter((word) => /^o/.test(word)),
  );
  assert.deepEqual(labels("stages:\n  spbo: { salient: |"), ["true", "false"]);
  assert.ok(labels("stages:\n  calibrate: { dataset: { |").includes("windows"));
  assert.deepEqual(labels("stages:\n  evaluate: { perplexity: [wiki|"), ["wikitext2"]);
  assert.deepEqual(labels("nothing:\n  |"), []);
  assert.deepEqual(describe(schema, ["stages", "spbo", "salient_max"]), {
    ...{ description: "Columns: at most so many are salient; clamped to group width − 1", standard: "49" },
    type: "whole number from 1 to 4096",
  });
  assert.equal(describe(schema, ["nothing"]), undefined);
});
