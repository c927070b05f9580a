import assert from "node:assert/strict";
import type { Tensor } from "../files/safetensors.ts";
import { modelSpec } from "../models/config.ts";
import { batches, halfOf, isHeldOut, storedWindows, storeWindows } from "./hidden_states.ts";

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

Deno.test("batches() cuts windows as without those held out, which have batches of their own behind them", () => {
  const text = { ids: new Int32Array(0), windows: 7, length: 300 };
  const without = batches(spec, text), all = batches(spec, { ...text, heldOut: 5 });
  assert.deepEqual(all.slice(0, without.length), without);
  const behind = all.slice(without.length);
  assert.deepEqual([behind[0].first, behind.reduce((sum, { windows }) => sum + windows, 0)], [7, 5]);
  assert.ok(all.every((batch, i) => batch.index === i && isHeldOut(batch, text) === i >= without.length));
});

Deno.test("storedWindows() shows windows held out to those who ask for them only", async () => {
  const files = new Map<string, Readonly<Record<string, Tensor>>>();
  const write = (name: string, tensors: Readonly<Record<string, Tensor>>) =>
    Promise.resolve(void files.set(name, tensors));
  const read = (name: string) => Promise.resolve(files.get(name) ?? assert.fail(name));
  const ids = Int32Array.of(1, 2, 3, 4), heldOut = { ids: Int32Array.of(5, 6), windows: 1 };
  await storeWindows({ write }, { ids, windows: 2, length: 2, heldOut });
  assert.deepEqual(await storedWindows({ read }), { ids, windows: 2, length: 2 });
  const all = await storedWindows({ read }, { heldOut: 1 });
  assert.deepEqual(all, { ids: Int32Array.of(1, 2, 3, 4, 5, 6), windows: 2, length: 2, heldOut: 1 });
});
