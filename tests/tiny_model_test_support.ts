/** A random LLaMA of one block that is compressed in a second, and runs of it in this process. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { seededRandom } from "../datasets/random.ts";
import { type Tensor, writeSafetensors } from "../files/safetensors.ts";
import { loadRecipe } from "../pipeline/mod.ts";
import { openSubject } from "../pipeline/subject.ts";
import { executeRun, makePlan, openCache, type RunResult } from "../runner/mod.ts";
import { stages as pipelineStages } from "../stages/mod.ts";
import { metricsOf } from "./command_line_test_support.ts";

/** Sizes: hidden and vocabulary 64, feed-forward 128, two heads, 64 positions. */
const CONFIG = {
  model_type: "llama",
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  vocab_size: 64,
  max_position_embeddings: 64,
  tie_word_embeddings: false,
};

/** Settings that are quick. */
export const QUICK = { candidates: 3, iterations: 1, salient_max: 4, group_size: 64 } as const;

type Settings = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/**
 * Writes model and windows.
 *
 * @param options by what the weights of the head are multiplied, and those of `layers` by the ends of their names
 */
export async function writeTinyModel(
  folder: string,
  { head = 1, layers = {} }: { readonly head?: number; readonly layers?: Readonly<Record<string, number>> } = {},
): Promise<void> {
  const random = seededRandom(1, "weights");
  const tensor = (shape: number[], value = () => (random.below(2001) - 1000) / 5000): Tensor => ({
    dtype: "F32",
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, value),
  });
  const block = "model.layers.0.", one = () => 1;
  const layer = (name: string, shape: number[]) => {
    const values = tensor(shape), factor = layers[name.slice(name.lastIndexOf(".") + 1)] ?? 1;
    return [`${block}${name}.weight`, {
      ...values,
      data: (values.data as Float32Array).map((value) => factor * value),
    }];
  };
  const squares = ["q", "k", "v", "o"].map((name) => layer(`self_attn.${name}_proj`, [64, 64]));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(CONFIG));
  await writeSafetensors(join(folder, "model.safetensors"), {
    "model.embed_tokens.weight": tensor([64, 64]),
    "model.norm.weight": tensor([64], one),
    "lm_head.weight": tensor([64, 64], () => head * (random.below(2001) - 1000) / 5000),
    [`${block}input_layernorm.weight`]: tensor([64], one),
    [`${block}post_attention_layernorm.weight`]: tensor([64], one),
    ...Object.fromEntries(squares),
    ...Object.fromEntries([
      layer("mlp.gate_proj", [128, 64]),
      layer("mlp.up_proj", [128, 64]),
      layer("mlp.down_proj", [64, 128]),
    ]),
  });
  const ids = (windows: number): Tensor => ({
    dtype: "I32",
    shape: [windows, 32],
    data: Int32Array.from({ length: 32 * windows }, () => random.below(64)),
  });
  await writeSafetensors(join(folder, "windows.safetensors"), { calibration: ids(8), heldout: ids(4) });
}

/** A recipe for the model in `folder`. */
export function tinyRecipe(folder: string, stages: Settings = {}): Record<string, unknown> {
  const from = (tensor: string) => ({ windows: join(folder, "windows.safetensors"), tensor });
  return {
    model: { path: folder },
    stages: {
      "coarse-search": {},
      "fine-search": {},
      compensate: {},
      pack: {},
      ...stages,
      calibrate: { dataset: from("calibration"), samples: 8, length: 32, ...stages.calibrate },
      spbo: { ...QUICK, ...stages.spbo },
      evaluate: { perplexity: [{ name: "heldout", dataset: from("heldout") }], ...stages.evaluate },
    },
  };
}

/** Writes a recipe beside the model. @returns its path */
export function writeTinyRecipe(folder: string, recipe: Readonly<Record<string, unknown>>): string {
  const path = join(folder, "recipe.yaml");
  writeFileSync(path, stringify(recipe));
  return path;
}

/** Runs a recipe with the cache and the runs beside it. */
export async function runTiny(
  folder: string,
  path: string,
  stages: typeof pipelineStages = pipelineStages,
): Promise<RunResult> {
  const { recipe } = await loadRecipe(path);
  const cache = await openCache(join(folder, "cache"));
  try {
    const subject = await openSubject(stages, recipe, { purpose: "run", device: "cpu", cache: cache.folder });
    try {
      const plan = await makePlan(subject, cache, { recipe });
      return await executeRun(plan, subject, { cache, recipe, runsDir: join(folder, "runs") });
    } finally {
      await subject.close();
    }
  } finally {
    cache.close();
  }
}

/** Metrics of a run. */
export function tinyMetrics({ folder }: RunResult): ReturnType<typeof metricsOf> {
  return metricsOf({ path: folder });
}
