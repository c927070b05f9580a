/** Real models cut short, and recipes for them that are done in seconds. */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { type Tensor, writeSafetensors } from "../files/safetensors.ts";
import { project } from "./command_line_test_support.ts";
import { readPlain, writePlain } from "./plain_safetensors_test_support.ts";

/** The models that are part of this repository. */
export const models = {
  llama: join(project, "configs", "models", "tiny-llama"),
  opt: join(project, "tests", "fixtures", "tiny-opt"),
} as const;

/** Copies a model with only its first blocks. */
export function cutModel(from: string, to: string, blocks: number): void {
  mkdirSync(to, { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) copyFileSync(join(from, file), join(to, file));
  const config = JSON.parse(readFileSync(join(from, "config.json"), "utf8"));
  writeFileSync(join(to, "config.json"), JSON.stringify({ ...config, num_hidden_layers: blocks }));
  const { tensors } = readPlain(join(from, "model.safetensors"));
  const kept = [...tensors].filter(([name]) => Number(/layers\.(\d+)\./.exec(name)?.[1] ?? -1) < blocks);
  writePlain(join(to, "model.safetensors"), new Map(kept));
}

/** What differs from the quickstart's settings. */
export interface SmallRecipe {
  /** Folder of the model. */
  readonly model: string;
  /** Folder with `windows.safetensors`; default: the model's. */
  readonly windows?: string;
  readonly name?: string;
  /** Settings by stage, over those of the recipe that is extended. */
  readonly stages?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Recipe to start from; default: the quickstart. */
  readonly extends?: string;
}

/** A recipe of few windows, as an object. */
export function smallRecipe(
  { model, windows = model, name, stages = {}, extends: base = join(project, "configs", "quickstart.yaml") }:
    SmallRecipe,
): Record<string, unknown> {
  const from = (tensor: string) => ({ windows: join(windows, "windows.safetensors"), tensor });
  return {
    extends: base,
    ...(name === undefined ? {} : { name }),
    model: { path: model },
    stages: {
      ...stages,
      calibrate: { dataset: from("calibration"), samples: 8, length: 64, ...stages.calibrate },
      evaluate: {
        perplexity: [{ name: "heldout", dataset: from("heldout"), samples: 4, length: 64 }],
        ...stages.evaluate,
      },
    },
  };
}

/** Writes a recipe. @returns its path */
export function writeRecipe(folder: string, recipe: SmallRecipe, file = "small.yaml"): string {
  const path = join(folder, file);
  writeFileSync(path, stringify(smallRecipe(recipe)));
  return path;
}

/** Tokens of a window of random ids. */
const RANDOM_LENGTH = 32;

/** Writes a recipe for a model of a small vocabulary, and windows of random ids of it. @returns the recipe's path */
export async function writeRandomRecipe(
  folder: string,
  recipe: Pick<SmallRecipe, "model" | "name">,
): Promise<string> {
  const ids = (windows: number, seed: number): Tensor => ({
    dtype: "I32",
    shape: [windows, RANDOM_LENGTH],
    data: Int32Array.from({ length: windows * RANDOM_LENGTH }, (_, i) => ((i + seed) * (i + 7) * 48_271 % 9_973) % 96),
  });
  const path = join(folder, "windows.safetensors");
  await writeSafetensors(path, { calibration: ids(8, 1), heldout: ids(4, 2) });
  const dataset = { windows: path, tensor: "heldout" };
  const perplexity = [{ name: "heldout", dataset, samples: 4, length: RANDOM_LENGTH }];
  const stages = { calibrate: { samples: 8, length: RANDOM_LENGTH }, evaluate: { perplexity } };
  return writeRecipe(folder, { ...recipe, windows: folder, stages });
}
