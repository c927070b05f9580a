import assert from "node:assert/strict";
import { compareRuns } from "./compare_runs.ts";
import type { RunRecord } from "./history.ts";
import type { Json } from "./stage.ts";

function run(settings: Json | undefined, metrics: Json | undefined): RunRecord {
  return {
    ...{ run: "r", folder: "/runs/r", recipe: "mine", model: "tiny", method: "pbs2p", outcome: "finished" as const },
    ...{ started: 0, seconds: 1, steps: { run: 1, cached: 0 }, device: { kind: "cpu", name: "test", why: "no other" } },
    events: [],
    ...(settings === undefined ? {} : { settings }),
    ...(metrics === undefined ? {} : { metrics }),
  };
}

Deno.test("compareRuns() gives the recipe's innermost values that differ in any run", () => {
  const cases: readonly (readonly [readonly (Json | undefined)[], unknown])[] = [
    [[{ a: { b: 1, c: 2 } }, { a: { b: 1, c: 3 } }, { a: { b: 1, c: 2 } }], [{ field: "a.c", values: [2, 3, 2] }]],
    [[{ a: 1 }, { a: 1, b: { c: 2 } }], [{ field: "b", values: [undefined, { c: 2 }] }]],
    [[{ a: { b: 1 } }, { a: 7 }], [{ field: "a", values: [{ b: 1 }, 7] }]],
    [[{ a: [1, 2] }, { a: [1, 3] }], [{ field: "a.1", values: [2, 3] }]],
    [[{ a: [1] }, { a: { 0: 1 } }], [{ field: "a", values: [[1], { 0: 1 }] }]],
    [[{ b: 1, a: 2 }, { a: 2, b: 1 }], []],
    [[undefined, { a: 1 }], [{ field: "", values: [undefined, { a: 1 }] }]],
    [[undefined, undefined], []],
    [[{ a: null }, { a: false }], [{ field: "a", values: [null, false] }]],
  ];
  for (const [settings, expected] of cases) {
    assert.deepEqual(compareRuns(settings.map((each) => run(each, undefined))).recipe, expected);
  }
});

Deno.test("compareRuns() puts numbers that only some runs have among their neighbours", () => {
  const bits = (stored: Record<string, Json>) => ({ keep: [4], bits: { stored: { ...stored, total: 3 }, model: 4 } });
  const all = [bits({ mask: 1, scales: 2 }), bits({ codes: "Infinity", scales: 1 }), undefined];
  assert.deepEqual(compareRuns(all.map((each) => run({}, each))).metrics, [
    { path: "bits.stored.mask", values: [1, undefined, undefined] },
    { path: "bits.stored.scales", values: [2, 1, undefined] },
    { path: "bits.stored.total", values: [3, 3, undefined] },
    { path: "bits.stored.codes", values: [undefined, Infinity, undefined] },
    { path: "bits.model", values: [4, 4, undefined] },
  ]);
});
