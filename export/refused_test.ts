import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writePackedModel } from "../checkpoints/packed/write.ts";
import { InputError } from "../files/input_error.ts";
import { readSafetensors, type Tensor } from "../files/safetensors.ts";
import type { ExportKind } from "./mod.ts";
import {
  assertSameWeights,
  changedModel,
  coded,
  exported,
  FAMILIES,
  LLAMA,
  OPT,
  project,
  withFolder,
} from "./export_test_support.ts";

/** A tensor with one value changed. */
const spoilt = (name: string, value: number) => (all: Record<string, Tensor>): Record<string, Tensor> => ({
  ...all,
  [name]: {
    ...all[name],
    dtype: "F32",
    data: Float32Array.from({ length: all[name].data.length }, (_, i) => i === 5 ? value : 0),
  },
});
const DOWN = "model.layers.1.mlp.down_proj.weight";

const refused: readonly {
  readonly what: string;
  readonly kind: ExportKind;
  readonly change?: Parameters<typeof changedModel>[2];
  readonly from?: string;
  readonly why: RegExp;
}[] = [
  {
    what: "OPT as GGUF",
    from: OPT,
    kind: { format: "gguf", type: "F16" },
    why: /llama.cpp has no models of family opt; use --format safetensors$/,
  },
  {
    what: "a value beyond F16, in safetensors",
    kind: { format: "safetensors", type: "F16" },
    change: { tensors: spoilt(DOWN, 70_000) },
    why:
      /^Cannot export tensor "model.layers.1.mlp.down_proj.weight" as F16: 70000 at 5 is beyond F16.*use --type bf16$/,
  },
  {
    what: "a value beyond F16, in GGUF",
    kind: { format: "gguf", type: "F16" },
    change: { tensors: spoilt(DOWN, -7e8) },
    why: /"model.layers.1.mlp.down_proj.weight" .* as F16: -700000000 at 5 .*use --type bf16$/,
  },
  {
    what: "weights that are no codes of one bit",
    kind: { format: "gguf", type: "Q1_0" },
    why: /self_attn.q_proj.weight" \[256, 256\] as Q1_0: .*nothing is written that only comes near/,
  },
  {
    what: "weights of two bits in one",
    kind: { format: "gguf", type: "Q1_0" },
    change: { tensors: (all) => coded([1, -1, 0], all) },
    why: /as Q1_0: 0 at \d+ stands beside 0.0625/,
  },
  {
    what: "dynamic rotary scaling in GGUF",
    kind: { format: "gguf", type: "F16" },
    change: { config: { rope_scaling: { rope_type: "dynamic", factor: 2 } } },
    why: /no dynamic scaling of rotary positions/,
  },
  {
    what: "rows that are no blocks",
    from: join(project, FAMILIES.qwen3),
    kind: { format: "gguf", type: "Q1_0" },
    why: /rows of Q1_0 are blocks of 128, and its rows have 64 weights/,
  },
];

for (const { what, kind, change = {}, from = LLAMA, why } of refused) {
  Deno.test(`exportModel() refuses ${what}, and leaves nothing`, () =>
    withFolder(async (folder) => {
      const path = await changedModel(from, join(folder, "model"), change), to = join(folder, "out");
      await assert.rejects(exported(path, kind, { to }), (error) => {
        assert.ok(error instanceof InputError);
        assert.match(error.message, why);
        return true;
      });
      assert.equal(existsSync(to), false);
    }));
}

Deno.test("exportModel() refuses a packed folder that holds other tensors than its model has", () =>
  withFolder(async (folder) => {
    const { tensors } = await readSafetensors(join(LLAMA, "model.safetensors"));
    const config = JSON.parse(readFileSync(join(LLAMA, "config.json"), "utf8"));
    const norm = { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) } as const;
    const all = Object.entries(tensors);
    const wrong: readonly (readonly [string, (readonly [string, Tensor])[], RegExp])[] = [
      ["more", [...all, ["../../evil", norm]], /no llama model has a tensor "..\/..\/evil"/],
      ["less", all.slice(1), /does not hold "/],
      ["another", [...all.slice(1), [all[0][0], norm]], /its shape must be/],
    ];
    for (const [name, others, why] of wrong) {
      const path = join(folder, name);
      await writePackedModel(path, { layers: [], others, config, tokenizer: undefined, source: {} });
      for (const kind of [{ format: "gguf", type: "F16" }, { format: "safetensors", type: "F16" }] as const) {
        await assert.rejects(exported(path, kind, { to: join(folder, "out") }), (error) => {
          assert.ok(error instanceof InputError);
          assert.match(error.message, why);
          return true;
        });
      }
    }
    assert.equal(existsSync(join(folder, "out")), false);
  }));

Deno.test("exportModel() tells of biases that transformers cannot be told of, and writes them for llama.cpp", () =>
  withFolder(async (folder) => {
    const biased = (all: Record<string, Tensor>) => {
      const zeros = Array.from({ length: 6 }, (_, i) => [
        `model.layers.${i}.self_attn.k_proj.bias`,
        { dtype: "F32", shape: [128], data: Float32Array.from({ length: 128 }, (_, j) => j / 256) } as const,
      ]);
      return { ...all, ...Object.fromEntries(zeros) };
    };
    const path = await changedModel(LLAMA, join(folder, "model"), { tensors: biased });
    await assert.rejects(
      exported(path, { format: "safetensors", type: "F16" }, { to: join(folder, "hf") }),
      /transformers has no llama with biases on .*key.* only/,
    );
    const { files: [file] } = await exported(path, { format: "gguf", type: "F16" }, { to: join(folder, "out") });
    await assertSameWeights(join(folder, "out", file), path);
  }));
