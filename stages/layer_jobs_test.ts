import assert from "node:assert/strict";
import { type Recipe, RecipeSchema } from "./schema.ts";
import { binarizeReads, searchReads } from "./layer_jobs.ts";

function recipe(stages: Record<string, Record<string, unknown>>): Recipe {
  return RecipeSchema.parse({ model: { path: "/model" }, stages });
}

/** Choices and the parameters of spbo that then do not matter. */
const unread: readonly [string, Record<string, Record<string, unknown>>, readonly string[]][] = [
  ["alternate", {}, []],
  ["joint", { spbo: { solver: "joint" } }, ["iterations", "schedule"]],
  ["no solver", { spbo: { solver: "none" } }, ["iterations", "schedule"]],
  ["no salient columns", { spbo: { salient: false } }, ["salient_max"]],
  ["one split point", { spbo: { split_points: 1 } }, ["split_search"]],
  ["one split point, no salient columns", { spbo: { split_points: 1, salient: false } }, [
    "salient_max",
    "search_grid",
    "split_search",
  ]],
  ["no split points", { spbo: { split_points: 0 } }, ["candidates", "split_search"]],
  ["no search", { spbo: { split_points: 0, salient: false } }, [
    "candidates",
    "salient_max",
    "search_grid",
    "search_target",
    "split_on",
    "split_search",
  ]],
];

for (const [name, stages, wanted] of unread) {
  Deno.test(`binarizeReads() leaves out exactly what does not matter: ${name}`, () => {
    const one = recipe(stages);
    const reads = binarizeReads(one).filter((path) => path.startsWith("stages.spbo."));
    const missing = Object.keys(one.stages.spbo).filter((key) => !reads.includes(`stages.spbo.${key}`)).sort();
    assert.deepEqual(missing, wanted);
  });
}

Deno.test("searchReads() and binarizeReads() share the choice of masks", () => {
  const updated = recipe({});
  const original = recipe({ "fine-search": { mask_from: "original" } });
  assert.ok(searchReads(updated).every((path) => binarizeReads(updated).includes(path)));
  assert.ok(!binarizeReads(original).includes("stages.fine-search.metric"));
  assert.ok(searchReads(recipe({ "fine-search": { metric: "random" } })).includes("stages.fine-search.seed"));
  assert.ok(!searchReads(updated).includes("stages.fine-search.seed"));
});
