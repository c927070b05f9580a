import assert from "node:assert/strict";
import { modelSpec } from "./config.ts";
import { openForward } from "./forward.ts";
import { plainEmbed, randomWeights } from "./plain_forward_test_support.ts";

const SPEC = modelSpec({
  ...{ model_type: "llama", hidden_size: 24, intermediate_size: 1100, num_hidden_layers: 1, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, head_dim: 8, vocab_size: 31 },
});
const LENGTH = 7;

/** Hidden states of some windows, from window `first` on. */
function statesOf(first: number, windows: number, seed: number): Float32Array {
  const weights = randomWeights(SPEC, 3);
  const ids = (w: number) => Array.from({ length: LENGTH }, (_, i) => (seed * w + 5 * i) % 31);
  return Float32Array.from(
    Array.from({ length: windows }, (_, w) => [...plainEmbed(SPEC, weights, ids(first + w)).data]).flat(),
  );
}

Deno.test("a block that is run with marks gathers the same sums, bit for bit, and those of the windows before each mark", async () => {
  const original = randomWeights(SPEC, 3), changed = randomWeights(SPEC, 4);
  const forward = await openForward(SPEC, { threads: 1, memoryBudget: 1 });
  /** Sums over batches of windows, each with its marks. */
  const gather = async (runs: readonly { readonly windows: number; readonly marks?: readonly number[] }[]) => {
    const block = await forward.openBlock(0, changed, {
      ...{ gather: "full", output: false, original: { output: false }, originals: original },
    });
    let first = 0;
    for (const { windows, marks } of runs) {
      const states = { length: LENGTH, original: statesOf(first, windows, 11) };
      await block.run(statesOf(first, windows, 7), { windows, ...states, ...(marks ? { marks } : {}) });
      first += windows;
    }
    return await block.finish();
  };
  try {
    const plain = await gather([{ windows: 3 }, { windows: 2 }]);
    const marked = await gather([{ windows: 3, marks: [1, 3] }, { windows: 2, marks: [1] }]);
    for (const [input, { marks, ...sums }] of Object.entries(marked)) {
      assert.deepEqual(sums, plain[input]);
      assert.deepEqual(marks?.map(({ windows }) => windows), [1, 3, 4]);
      for (const { windows, upper, cross } of marks ?? []) {
        const { [input]: alone } = await gather([{ windows }]);
        assert.deepEqual([upper, cross], [alone.upper, alone.cross], `${input}, ${windows} windows`);
      }
    }
    for (const marks of [[0], [2, 2], [4]]) {
      await assert.rejects(gather([{ windows: 3, marks }]), /marks must ascend from 1 to 3 windows/);
    }
  } finally {
    await forward.close();
  }
});
