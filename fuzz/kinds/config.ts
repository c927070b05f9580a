/** config.json and its neighbours, of every family. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { projectFolder } from "../../cli/places.ts";
import { type Tensor, writeSafetensors } from "../../files/safetensors.ts";
import { modelSpec } from "../../models/config.ts";
import { blockShapes, embeddingShapes, headShapes } from "../../models/tensors.ts";
import type { Kind } from "../kind.ts";
import { readModel } from "../read_model.ts";
import { readJson, smallConfig, writeJson } from "../small_model.ts";

const testdata = join(projectFolder, "models", "testdata");

/** Sizes that make a config's model small; the families' other keys stay. */
const SMALL = {
  ...{ hidden_size: 16, intermediate_size: 32, num_attention_heads: 2, num_key_value_heads: 1, num_hidden_layers: 1 },
  ...{ head_dim: 8, vocab_size: 96, layer_types: undefined },
};

/** Rotary scaling of the kinds that are known. */
const LLAMA3 = {
  rope_scaling: {
    ...{ rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
    original_max_position_embeddings: 32,
  },
};

/** The kind. */
export const config: Kind = {
  name: "config",
  async make(folder) {
    const opt = join(projectFolder, "checkpoints", "testdata", "tiny_opt");
    const configs: Record<string, Record<string, unknown>> = {
      llama: { ...await smallConfig(), ...LLAMA3, vocab_size: 96 },
      opt: { ...await readJson(join(opt, "config.json")), num_hidden_layers: 1 },
    };
    for (const family of ["mistral", "qwen2-untied", "qwen3"]) {
      configs[family] = { ...await readJson(join(testdata, family, "config.json")), ...SMALL };
    }
    for (const [name, content] of Object.entries(configs)) {
      await Deno.mkdir(join(folder, name));
      await writeJson(join(folder, name, "config.json"), content);
      await writeSafetensors(join(folder, name, "model.safetensors"), zeros(content), {}, { flush: false });
    }
    const generation = join(projectFolder, "configs", "models", "tiny-llama", "generation_config.json");
    // Beside the first only, so that the others are read without one.
    const [first] = Object.keys(configs);
    await copyFile(generation, join(folder, first, "generation_config.json"));
    return Object.keys(configs).map((name) => ({
      name,
      targets: ["config.json", ...name === first ? ["generation_config.json"] : []]
        .map((path) => ({ path, syntax: "json" })),
    }));
  },
  read: (folder, _sample, seen) => readModel({ path: folder }, seen),
};

/** Zeros in every tensor that a config asks for. */
function zeros(content: Record<string, unknown>): Record<string, Tensor> {
  const spec = modelSpec(content);
  const shapes = [embeddingShapes(spec), headShapes(spec), blockShapes(spec, 0)].flatMap((each) => [...each]);
  return Object.fromEntries(shapes.map(([name, shape]): [string, Tensor] => {
    const data = new Uint16Array(shape.reduce((product, length) => product * length, 1));
    return [name, { dtype: "F16", shape, data }];
  }));
}
