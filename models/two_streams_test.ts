import assert from "node:assert/strict";
import { modelSpec } from "./config.ts";
import { openForward } from "./forward.ts";
import { type Matrix, plainBlock, plainEmbed, randomWeights } from "./plain_forward_test_support.ts";
import { linearInputs } from "./tensors.ts";

const DECODER = {
  ...{ model_type: "llama", hidden_size: 24, intermediate_size: 40, num_hidden_layers: 1, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, head_dim: 8, vocab_size: 31 },
};
const CASES = {
  llama: DECODER,
  "llama with an input in several strips": { ...DECODER, intermediate_size: 1100 },
  qwen3: { ...DECODER, model_type: "qwen3" },
  opt: {
    model_type: "opt",
    hidden_size: 32,
    ffn_dim: 48,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    vocab_size: 31,
  },
  "opt normalised after": {
    ...{
      model_type: "opt",
      hidden_size: 32,
      ffn_dim: 48,
      num_hidden_layers: 1,
      num_attention_heads: 4,
      vocab_size: 31,
    },
    do_layer_norm_before: false,
  },
};
const SIZE = { windows: 3, length: 7 };

for (const [name, config] of Object.entries(CASES)) {
  for (const fused of [true, false]) {
    Deno.test(`openForward() gathers cross moments of two streams as float64 does: ${name}, ${fused ? "" : "not "}fused`, async () => {
      const spec = modelSpec(config), original = randomWeights(spec, 3), changed = randomWeights(spec, 4);
      const tokens = (seed: number) =>
        Array.from({ length: SIZE.windows }, (_, w) => Array.from({ length: 7 }, (_, i) => (seed * w + 5 * i) % 31));
      const states = (seed: number) => tokens(seed).map((window) => plainEmbed(spec, original, window));
      const [now, before] = [states(7), states(11)];
      const flat = (all: readonly Matrix[]) => Float32Array.from(all.flatMap(({ data }) => [...data]));
      const inputs = (weights: typeof original, all: readonly Matrix[]) =>
        all.map((hidden) => plainBlock(spec, weights, { block: 0, hidden }));
      const forward = await openForward(spec, { threads: 1, fused, memoryBudget: 1 });
      try {
        // As calibrate does it: the same weights for both streams, the original's output, all inputs.
        const both = await forward.openBlock(0, original, {
          gather: "full",
          output: false,
          original: { output: true },
        });
        const result = await both.run(flat(now), { ...SIZE, original: flat(before) });
        assert.equal(result.hidden, undefined);
        near(result.original?.hidden ?? [], flat(inputs(original, before).map(({ output }) => output)));
        near(result.original?.input ?? [], flat(before));
        const sums = await both.finish();
        const [x, xo] = [inputs(original, now), inputs(original, before)];
        for (const [input, size] of linearInputs(spec)) {
          near(sums[input].cross ?? [], product(xo.map((r) => r.inputs[input]), x.map((r) => r.inputs[input])));
          near(
            sums[input].upper ?? [],
            upperOf(product(x.map((r) => r.inputs[input]), x.map((r) => r.inputs[input])), size),
          );
        }
        // As a block's renewed inputs are gathered: other weights in the first stream, one input, no output.
        const other = inputs(changed, now);
        for (const input of linearInputs(spec).keys()) {
          const options = { gather: "full", output: false, inputs: [input], original: { output: false } } as const;
          const run = await forward.openBlock(0, changed, { ...options, originals: original });
          assert.equal((await run.run(flat(now), { ...SIZE, original: flat(before) })).original?.hidden, undefined);
          const found = await run.finish();
          assert.deepEqual(Object.keys(found), [input]);
          near(found[input].cross ?? [], product(xo.map((r) => r.inputs[input]), other.map((r) => r.inputs[input])));
        }
        const residual = { gather: "full", output: false, original: { output: false, residual: true } } as const;
        if (!spec.block.preNorm) {
          await assert.rejects(forward.openBlock(0, changed, residual), /nothing is plainly added/);
        } else {
          const run = await forward.openBlock(0, changed, { ...residual, originals: original });
          await run.run(flat(now), { ...SIZE, original: flat(before), marks: [2] });
          const found = await run.finish();
          for (const [input, { residual: sum, marks = [] }] of Object.entries(found)) {
            if (xo[0].added[input] === undefined) {
              assert.equal(sum, undefined);
              continue;
            }
            const away = xo.map((r, w) => minus(r.added[input], other[w].added[input]));
            near(sum ?? [], product(away, other.map((r) => r.inputs[input])));
            near(marks[0].residual ?? [], product(away.slice(0, 2), other.slice(0, 2).map((r) => r.inputs[input])));
          }
          assert.deepEqual(Object.keys(found).filter((input) => found[input].residual), ["output", "down"]);
        }
        await assert.rejects(
          forward.openBlock(0, original, { gather: "none", output: true, original: { output: true } }),
          /gather must be full: current value is none/,
        );
        const single = await forward.openBlock(0, original, { gather: "full", output: false, inputs: ["mlp"] });
        await assert.rejects(
          single.run(flat(now), { ...SIZE, original: flat(before) }),
          /only when it is opened for them/,
        );
        const { input } = await single.run(flat(now), SIZE);
        near(input, flat(now));
        assert.deepEqual(Object.keys(await single.finish()), ["mlp"]);
      } finally {
        await forward.close();
      }
    });
  }
}

/** AᵀB over all windows. */
function product(a: readonly Matrix[], b: readonly Matrix[]): number[] {
  const { cols } = a[0], wide = b[0].cols, out = new Array<number>(cols * wide).fill(0);
  for (const [w, { rows, data }] of a.entries()) {
    for (let t = 0; t < rows; t++) {
      for (let i = 0; i < cols; i++) {
        for (let j = 0; j < wide; j++) out[i * wide + j] += data[t * cols + i] * b[w].data[t * wide + j];
      }
    }
  }
  return out;
}

function minus(a: Matrix, b: Matrix): Matrix {
  return { ...a, data: a.data.map((x, i) => x - b.data[i]) };
}

function upperOf(full: readonly number[], size: number): number[] {
  return full.filter((_, at) => at % size >= Math.floor(at / size));
}

/** Compares by the largest difference over the largest value. */
function near(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  assert.equal(actual.length, expected.length);
  let [difference, largest] = [0, 0];
  for (let i = 0; i < actual.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  assert.ok(difference <= 1e-5 * largest, `off by ${difference} of ${largest}`);
}
