import assert from "node:assert/strict";
import { spbo } from "./spbo.ts";

/** Choices and the settings that then do not matter. */
const unread: readonly [string, Readonly<Record<string, unknown>>, readonly string[]][] = [
  ["alternate", {}, []],
  ["joint", { solver: "joint" }, ["iterations", "schedule"]],
  ["no solver", { solver: "none" }, ["block_metric", "iterations", "schedule"]],
  ["no salient columns", { salient: false }, ["salient_max"]],
  ["one split point", { split_points: 1 }, ["split_search"]],
  ["one split point, no salient columns", { split_points: 1, salient: false }, [
    "salient_max",
    "search_grid",
    "split_search",
  ]],
  ["no split points", { split_points: 0 }, ["candidates", "split_search"]],
  ["no search", { split_points: 0, salient: false }, [
    "candidates",
    "salient_max",
    "search_grid",
    "search_target",
    "split_on",
    "split_search",
  ]],
  ["codes for others", { split_points: 0, salient: false, profile: "ternary" }, [
    "candidates",
    "iterations",
    "salient_max",
    "schedule",
    "search_grid",
    "search_target",
    "solver",
    "split_on",
    "split_search",
  ]],
];

for (const [name, change, wanted] of unread) {
  Deno.test(`spbo.reads() leaves out exactly what does not matter: ${name}`, () => {
    const params = spbo.params.parse(change), reads = spbo.reads(params);
    const missing = Object.keys(params).filter((key) => !reads.includes(key)).sort();
    assert.deepEqual(missing, wanted);
  });
}

Deno.test("spbo.reads() names what decides which columns are taken together, whatever else is chosen", () => {
  for (const [, change] of unread) {
    const reads = spbo.reads(spbo.params.parse(change));
    assert.ok(spbo.groupKeys?.every((key) => reads.includes(key)));
  }
});
