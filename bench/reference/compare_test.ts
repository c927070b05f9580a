import assert from "node:assert/strict";
import fc from "fast-check";
import { boundsOf, compareOutcome, type Outcome, percent, type Verdict } from "./compare.ts";

const row: Outcome = { perplexity: 40, layerError: 0.08, keep: [5, 4, 3] };

const cases: readonly (readonly [string, string, Partial<Outcome>, Verdict])[] = [
  ["the same numbers are met", "tiny-llama", {}, "met"],
  ["perplexity just within 3 % is met", "tiny-llama", { perplexity: 41.19 }, "met"],
  ["perplexity just beyond 3 % is missed", "tiny-llama", { perplexity: 41.21 }, "missed"],
  ["perplexity more than 3 % lower is better", "tiny-llama", { perplexity: 38.7 }, "better"],
  ["layer error just within 2 % is met", "tiny-llama", { layerError: 0.0815 }, "met"],
  ["layer error just beyond 2 % is missed", "tiny-llama", { layerError: 0.0817 }, "missed"],
  ["layer error more than 2 % lower is better", "tiny-llama", { layerError: 0.078 }, "better"],
  ["better in one and missed in the other is missed", "tiny-llama", { perplexity: 30, layerError: 0.09 }, "missed"],
  ["another N in one block is missed", "tiny-llama", { keep: [5, 3, 4] }, "missed"],
  ["another number of blocks is missed", "tiny-llama", { keep: [5, 4] }, "missed"],
  // ln 40 · 1.02 = ln 43.06.
  ["log-perplexity just within 2 % is met", "smollm2-135m", { perplexity: 43.05 }, "met"],
  ["log-perplexity just beyond 2 % is missed", "smollm2-135m", { perplexity: 43.07 }, "missed"],
];

for (const [name, model, change, verdict] of cases) {
  Deno.test(`compareOutcome(): ${name}`, () => {
    assert.equal(compareOutcome({ ...row, ...change }, row, boundsOf(model)).verdict, verdict);
  });
}

Deno.test("compareOutcome() gives the deviation as a share of the row", () => {
  const { perplexity, layerError } = compareOutcome({ ...row, perplexity: 42, layerError: 0.06 }, row, boundsOf("x"));
  assert.ok(Math.abs(perplexity.deviation - (Math.log(42) / Math.log(40) - 1)) < 1e-12);
  assert.ok(layerError && Math.abs(layerError.deviation + 0.25) < 1e-12);
});

Deno.test("compareOutcome() goes by the perplexity alone where the row has no error of its own", () => {
  const { layerError: _none, ...bare } = row;
  const { layerError, verdict } = compareOutcome({ ...row, layerError: 1 }, bare, boundsOf("tiny-llama"));
  assert.deepEqual([layerError, verdict], [undefined, "met"]);
});

Deno.test("compareOutcome() refuses what is no measurement", () => {
  for (const perplexity of [NaN, Infinity, 0, -1]) {
    assert.throws(() => compareOutcome({ ...row, perplexity }, row, boundsOf("tiny-llama")), RangeError);
  }
});

Deno.test("compareOutcome() never judges a lower error as worse", () => {
  const order: readonly Verdict[] = ["better", "met", "missed"];
  const error = fc.double({ min: 1e-4, max: 1, noNaN: true });
  fc.assert(fc.property(error, error, (one, other) => {
    const verdictOf = (layerError: number) =>
      compareOutcome({ ...row, layerError }, row, boundsOf("tiny-llama")).layerError?.verdict ?? "missed";
    const [low, high] = [Math.min(one, other), Math.max(one, other)];
    assert.ok(order.indexOf(verdictOf(low)) <= order.indexOf(verdictOf(high)));
  }));
});

Deno.test("percent() writes no minus zero", () => {
  assert.deepEqual([0.0123, -0.0004, 0.0004, -0.02].map(percent), ["+1.2 %", "0.0 %", "0.0 %", "-2.0 %"]);
});
