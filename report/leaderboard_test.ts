import assert from "node:assert/strict";
import fc from "fast-check";
import { axisNames } from "./axis_names.ts";
import { buildLeaderboard } from "./leaderboard.ts";
import { paretoFront } from "./pareto.ts";
import { METHODS, sweepOf, type TestPoint } from "./sweep_test_support.ts";

const SEED = "stages.calibrate.seed", KEEP = "stages.coarse-search.keep";

/** Points of two settings under three seeds. */
const REPEATED: readonly TestPoint[] = [4, 5].flatMap((keep) =>
  [0, 1, 2].map((seed) => ({
    label: `keep ${keep}, seed ${seed}`,
    values: { [KEEP]: keep, [SEED]: seed },
    model: keep,
    perplexity: 40 - keep + seed,
    alone: 10 + seed,
  }))
);

Deno.test("buildLeaderboard() sorts by bits of the whole file, then perplexity; what is no number comes last", () => {
  const points = [
    { label: "a", model: 4, perplexity: NaN },
    { label: "b", model: 4, perplexity: Infinity },
    { label: "c", model: 4, perplexity: 30 },
    { label: "d", model: 3, perplexity: 90 },
    { label: "e", model: 4, perplexity: 29 },
  ];
  const sorted = buildLeaderboard(sweepOf(points)).rows;
  assert.deepEqual(sorted.map(({ label }) => label), ["d", "e", "c", "b", "a"]);
  assert.deepEqual(sorted.filter(({ front }) => front.length > 0).map(({ label }) => label), ["d", "e"]);
});

Deno.test("buildLeaderboard() makes points that repeat each other one row: mean, standard deviation, extremes, n", () => {
  const { rows, axes } = buildLeaderboard(sweepOf(REPEATED, { repeats: [SEED] }));
  assert.deepEqual(axes, [{ path: KEEP, name: "keep", said: true }]);
  assert.deepEqual(rows.map(({ label, points, of }) => [label, points.length, of]), [["keep 4", 3, 3], [
    "keep 5",
    3,
    3,
  ]]);
  assert.deepEqual(rows[0].perplexity.heldout, { mean: 37, sd: 1, min: 36, max: 38 });
  assert.deepEqual(rows[0].seconds, { alone: { mean: 11, sd: 1, min: 10, max: 12 } });
  assert.deepEqual(rows[0].values, { [KEEP]: 4 });
});

Deno.test("buildLeaderboard() counts repeated points that have no result, and lists them", () => {
  const points = REPEATED.map((point, i) => i === 1 ? { ...point, state: "failed" as const, error: "no" } : point);
  const { rows, unfinished } = buildLeaderboard(sweepOf(points, { repeats: [SEED] }));
  assert.deepEqual(rows.map(({ points, of }) => [points.length, of]), [[2, 3], [3, 3]]);
  assert.deepEqual(unfinished.map(({ label, reason }) => [label, reason]), [["keep 4, seed 1", "no"]]);
});

Deno.test("buildLeaderboard() keeps a single value exact, and spreads of what is not finite away", () => {
  const points = [0, 1].map((seed) => ({
    label: `s ${seed}`,
    values: { [SEED]: seed },
    perplexity: [Infinity, 9][seed],
  }));
  const [{ perplexity, layerError }] = buildLeaderboard(sweepOf(points, { repeats: [SEED] })).rows;
  assert.equal(perplexity.heldout.mean, Infinity);
  assert.ok(Number.isNaN(perplexity.heldout.sd));
  assert.equal(layerError.mean.min, layerError.mean.mean);
  assert.equal(layerError.mean.sd, 0);
});

Deno.test("buildLeaderboard() has a front per model, and per evaluation", () => {
  const at = (label: string, name: string, model: number, a: number, b: number) => ({
    ...{ label, name, model, perplexity: { a, b }, values: { name: label } },
  });
  const board = buildLeaderboard(sweepOf([
    at("x", "tiny", 2, 50, 90),
    at("y", "tiny", 3, 60, 80),
    at("z", "large", 9, 70, 70),
  ]));
  assert.deepEqual(board.rows.map(({ label, front }) => [label, front]), [["x", ["a", "b"]], ["y", ["b"]], ["z", [
    "a",
    "b",
  ]]]);
  assert.deepEqual(board.originals.map(({ model }) => model), ["tiny", "large"]);
  assert.deepEqual(board.evaluations, ["a", "b"]);
});

Deno.test("buildLeaderboard() gives every point without a result a reason", () => {
  const record = sweepOf([...METHODS, { label: "broken", values: { extends: "x.yaml" } }]);
  const points = record.points.map((point) =>
    point.label === "broken" ? { ...point, metrics: { perplexity: 1 } } : point
  );
  const { rows, unfinished } = buildLeaderboard({ ...record, points });
  assert.deepEqual(rows.map(({ label }) => label), ["rtn-1", "billm", "gptq-3", "pbs2p-4of8"]);
  assert.deepEqual(unfinished.map(({ label, reason }) => [label, reason]), [
    ["stbllm-9of8", "Cannot keep 9 of 8 weights as there are only 8"],
    ["wanda", "the same command goes on"],
    ["sparsegpt", "not run yet"],
    ["broken", "it left no metrics that can be read"],
  ]);
});

Deno.test("paretoFront() marks what nothing dominates: a staircase", () => {
  const number = fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constant(Infinity), fc.constant(NaN));
  fc.assert(fc.property(fc.array(fc.tuple(number, number)), (points) => {
    const marks = paretoFront(points, (point) => point);
    const front = points.filter((_, i) => marks[i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    for (const [i, [x, y]] of front.entries()) {
      assert.ok(Number.isFinite(x) && Number.isFinite(y));
      if (i > 0) assert.ok(y < front[i - 1][1] || (x === front[i - 1][0] && y === front[i - 1][1]));
    }
    for (const [i, [x, y]] of points.entries()) {
      if (marks[i] || !Number.isFinite(x + y)) continue;
      assert.ok(front.some(([a, b]) => a <= x && b <= y), "what is not on the front has one on it that beats it");
    }
  }));
});

Deno.test("axisNames() never gives two axes one name", () => {
  const part = fc.constantFrom("a", "b", "c");
  const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("."));
  fc.assert(fc.property(fc.uniqueArray(path, { maxLength: 6 }), (paths) => {
    const names = axisNames(paths);
    assert.equal(new Set(names.map(({ name }) => name)).size, paths.length);
    for (const { path, name } of names) assert.ok(`.${path}`.endsWith(`.${name}`));
  }));
});
