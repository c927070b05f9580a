import assert from "node:assert/strict";
import { modelSpec } from "../models/config.ts";
import { batches, halfOf } from "./hidden_states.ts";

const spec = modelSpec({
  model_type: "llama",
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  vocab_size: 32000,
});

for (const [windows, length] of [[1, 2], [128, 2048], [7, 300], [33, 16]]) {
  Deno.test(`batches() covers ${windows} windows of ${length} once, in order`, () => {
    const cut = batches(spec, { ids: new Int32Array(0), windows, length });
    let next = 0;
    for (const [index, batch] of cut.entries()) {
      assert.equal(batch.index, index);
      assert.equal(batch.first, next);
      assert.ok(batch.windows > 0);
      next += batch.windows;
    }
    assert.equal(next, windows);
  });
}

Deno.test("batches() holds one long window of a wide model at a time", () => {
  assert.equal(batches(spec, { ids: new Int32Array(0), windows: 4, length: 2048 }).length, 4);
});

Deno.test("halfOf() is the end of a batch nearest to half of the windows, or the middle of the only one", () => {
  const cutOf = (...counts: readonly number[]) =>
    counts.map((windows, index) => ({
      ...{ index, windows },
      first: counts.slice(0, index).reduce((sum, count) => sum + count, 0),
    }));
  assert.equal(halfOf(cutOf(32, 32, 32, 32)), 64);
  assert.equal(halfOf(cutOf(3, 3, 3, 3, 3, 1)), 9);
  assert.equal(halfOf(cutOf(5, 2)), 5);
  assert.equal(halfOf(cutOf(7)), 3);
});
