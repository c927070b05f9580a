import assert from "node:assert/strict";
import { boundsOf, compareOutcome } from "./compare.ts";
import { nearbySettings, spreadOf } from "./spread.ts";

const model = "smollm2-135m", row = { perplexity: 12_749, layerError: 0.087, keep: [] };

function settingsFor(change: Partial<typeof row>, of = model) {
  const comparison = compareOutcome({ ...row, ...change }, row, boundsOf(of));
  return nearbySettings({ model: of, comparison, damping: 0.01 });
}

Deno.test("nearbySettings(): a missed perplexity of a chaotic model is made again with four dampings around its own", () => {
  assert.deepEqual(settingsFor({ perplexity: 33_627 }), [
    "stages.compensate.damping=0.0098",
    "stages.compensate.damping=0.0099",
    "stages.compensate.damping=0.0101",
    "stages.compensate.damping=0.0102",
  ]);
});

Deno.test("nearbySettings(): chance is no excuse where layers are worse, on a model that is not chaotic, or where the row is met", () => {
  assert.deepEqual(settingsFor({ perplexity: 33_627, layerError: 0.09 }), []);
  assert.deepEqual(settingsFor({ perplexity: 33_627 }, "tiny-llama"), []);
  assert.deepEqual(settingsFor({}), []);
});

Deno.test("spreadOf(): the record counts as covered between the least and the most, not beyond", () => {
  assert.deepEqual(spreadOf([33_627, 9_182, 46_964], 12_749), { least: 9_182, most: 46_964, covers: true });
  assert.equal(spreadOf([33_627, 29_000], 12_749).covers, false);
});
